//! One connection to a plugin.

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;

use super::tls::Greeting;
use super::{Address, Failure};
use crate::wire::MEDIA_TYPE;

/// A connection to a plugin, for one call at a time.
#[derive(Debug)]
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    _talk: Talk,
}

/// What moves the bytes; ends with the connection that it is for.
#[derive(Debug)]
struct Talk(AbortHandle);

impl Drop for Talk {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Link {
    /// Connects.
    pub(super) async fn open(address: &Address, tls: Option<&Greeting>) -> Result<Self, Failure> {
        let unreachable = |error: std::io::Error| Failure::Unreachable(format!("connecting to {address}: {error}"));
        match address {
            Address::Unix(path) => Self::over(UnixStream::connect(path).await.map_err(unreachable)?).await,
            // A library is asked without a connection.
            Address::Library(_) => Err(Failure::Unreachable(format!("{address} has no socket"))),
            Address::Tcp { host, port } | Address::Tls { host, port, .. } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                match tls {
                    None => Self::over(stream).await,
                    Some(greeting) => Self::over(greeting.shake_hands(stream).await.map_err(unreachable)?).await,
                }
            }
        }
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, Failure> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        let talk = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a plugin broke");
            }
        });
        Ok(Self { sender, _talk: Talk(talk.abort_handle()) })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Waits until the connection can be used; one that was kept may have been closed meanwhile.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Asks, and reads the answer to its end.
    pub(super) async fn ask(
        &mut self,
        address: &Address,
        method: &str,
        body: Bytes,
        largest: usize,
    ) -> Result<Answer, Failure> {
        let request = Request::post(format!("/{method}"))
            .header(HOST, address.host())
            .header(ACCEPT, MEDIA_TYPE)
            .body(Full::new(body))
            .map_err(|error| Failure::Garbled(format!("our request: {error}")))?;
        self.sender.ready().await.map_err(|error| broken(&error))?;
        let response = self.sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
        let body = read(response.into_body(), largest).await?;
        Ok(Answer { status, content_type, body })
    }
}

/// Reads no more than is allowed, and nothing of what says beforehand that it is more.
async fn read(mut body: Incoming, largest: usize) -> Result<Vec<u8>, Failure> {
    let promised = body.size_hint().lower();
    if promised > largest as u64 {
        return Err(Failure::TooLarge(largest));
    }
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() {
            if read.len() + data.len() > largest {
                return Err(Failure::TooLarge(largest));
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(read)
}

/// An answer that is no HTTP comes from a plugin that is there; all else is the connection's failure.
fn broken(error: &hyper::Error) -> Failure {
    use std::error::Error;
    let told = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    match error.is_parse() {
        true => Failure::Garbled(format!("no HTTP ({told})")),
        false => Failure::Unreachable(told),
    }
}
