//! How the daemon is asked: one connection a request.

use std::io;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use trestle_core::Error;

use super::failure::{Code, Failure};
use super::handshake;
use crate::api::ROOT;
use crate::api::model::Message;
use crate::config::{Host, TlsFiles};
use crate::tls;

/// A daemon, as far as it can be asked.
pub struct Client {
    host: Host,
    tls: Option<(Arc<ClientConfig>, TlsFiles)>,
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Client {
    /// A client of the daemon at that host.
    pub fn new(host: Host, tls: Option<TlsFiles>) -> Result<Self, Failure> {
        let with_config = |files: TlsFiles| Ok((tls::client(&files)?, files));
        let tls = tls.map(with_config).transpose().map_err(|error: Error| Failure::usage(error.to_string()))?;
        Ok(Self { host, tls })
    }

    /// Whether the daemon is on this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.host, Host::Unix(_))
    }

    /// Asks for something to be shown.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.read(self.ask(Method::GET, path, None).await?).await
    }

    /// Asks for something to be done; the answer is shown.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.read(self.ask(Method::POST, path, Some(json(body)?)).await?).await
    }

    /// Asks for something to be done; there is nothing to be shown.
    pub async fn post_quietly(&self, path: &str, body: &impl Serialize) -> Result<(), Failure> {
        self.ask(Method::POST, path, Some(json(body)?)).await.map(drop)
    }

    /// Asks for something to be deleted.
    pub async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.ask(Method::DELETE, path, None).await.map(drop)
    }

    /// Asks, and returns the answer if it is no refusal. The path stands below the API's root.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Response<Incoming>, Failure> {
        let request = Request::builder().method(method).uri(format!("{ROOT}{path}"));
        let mut request = request.header(HOST, self.host.authority());
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body.unwrap_or_default()));
        let request = request.map_err(|error| Failure::usage(format!("{path:?} can't be asked for: {error}")))?;
        let wire = self.connect().await.map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(wire)).await.map_err(|error| self.broken(&error))?;
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| self.broken(&error))?.to_bytes();
        let message = serde_json::from_slice::<Message>(&body).map(|told| told.message);
        // Something between us and the daemon may answer in its own way.
        Err(Failure::refused(status, message.unwrap_or_else(|_| format!("{} answers {status}", self.host))))
    }

    async fn read<T: DeserializeOwned>(&self, answer: Response<Incoming>) -> Result<T, Failure> {
        let body = answer.into_body().collect().await.map_err(|error| self.broken(&error))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| {
            Failure::failed(format!(
                "the answer of {} can't be read ({error}); `trestle version` may tell why",
                self.host
            ))
        })
    }

    async fn connect(&self) -> io::Result<Box<dyn Wire>> {
        match &self.host {
            Host::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Host::Activation => Err(io::Error::other("only the daemon itself can use fd://")),
            Host::Tcp { name, port } => {
                let stream = TcpStream::connect((name.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                let Some((tls, _)) = &self.tls else { return Ok(Box::new(stream)) };
                let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
                Ok(Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?))
            }
        }
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        if let Some(told) = self.tls_told(error) {
            return told;
        }
        let way_out = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused if self.is_local() => {
                "is trestled running? systemctl start trestle"
            }
            io::ErrorKind::PermissionDenied => "use sudo, or join the group trestle",
            _ if self.is_local() => "systemctl status trestle may tell more",
            _ => "is the host right (-H, TRESTLE_HOST), and does it ask for TLS (--cert-path)?",
        };
        Failure::new(Code::Unreachable, format!("no daemon answers at {}: {error}; {way_out}", self.host))
    }

    /// What TLS has to say about an error.
    fn tls_told(&self, error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
        let (_, files) = self.tls.as_ref()?;
        let told = handshake::explained(error, &self.host, files)?;
        Some(Failure::new(Code::Unreachable, told))
    }

    fn broken(&self, error: &hyper::Error) -> Failure {
        if let Some(told) = self.tls_told(error) {
            return told;
        }
        if let Some((_, files)) = &self.tls {
            return Failure::new(Code::Unreachable, handshake::silent(&self.host, files, error));
        }
        let way_out = match self.is_local() {
            true => "did trestled stop? journalctl -u trestle",
            false => "does it ask for TLS (--cert-path)?",
        };
        Failure::new(Code::Unreachable, format!("the daemon at {} broke off: {error}; {way_out}", self.host))
    }
}

fn json(body: &impl Serialize) -> Result<Bytes, Failure> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| Failure::failed(format!("writing the request: {error}")))
}

/// A name as one part of a path.
pub fn part(name: &str) -> String {
    let mut part = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => part.push(char::from(byte)),
            _ => part.push_str(&format!("%{byte:02X}")),
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path_whatever_is_in_it() {
        assert_eq!(part("front/web?x=é .."), "front%2Fweb%3Fx%3D%C3%A9%20%2E%2E");
    }
}
