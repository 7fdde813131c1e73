//! One request, over HTTP or HTTPS.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use trestle_core::error::{Doing, Error, Result};

/// How long a server may take to be reached, and to answer or go on.
const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(60);

/// What we call ourselves.
const NAME: &str = concat!("trestle/", env!("CARGO_PKG_VERSION"));

/// Asks servers. Trusts what the machine trusts.
#[derive(Clone)]
pub(super) struct Client {
    tls: TlsConnector,
}

impl Client {
    /// # Errors
    /// `Internal` if the machine's certificates can't be used.
    pub(super) fn new() -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (_, ignored) = roots.add_parsable_certificates(found.certs);
        if ignored > 0 || !found.errors.is_empty() {
            tracing::debug!(ignored, errors = ?found.errors, "some of the machine's certificates can't be used");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal(format!("setting up TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends a request; its address is whole. The answer's body comes later.
    ///
    /// # Errors
    /// `Unavailable` if the server can't be reached or does not answer.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let uri = request.uri().clone();
        self.try_send(request, &uri).await.doing(|| format!("asking {}", shown(&uri)))
    }

    async fn try_send(&self, mut request: Request<Full<Bytes>>, uri: &Uri) -> Result<Response<Incoming>> {
        let unreachable = |cause: String| Error::unavailable(cause);
        let host = uri.host().ok_or_else(|| Error::invalid("the address names no host"))?;
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let connected = timeout(CONNECT, TcpStream::connect((host.as_str(), port))).await;
        let stream = connected.map_err(|_| unreachable("it can't be reached".into()))?;
        let stream = stream.map_err(|error| unreachable(error.to_string()))?;
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let headers = request.headers_mut();
        let value = |text: &str| text.try_into().map_err(|_| Error::invalid("the address names no host"));
        headers.insert(HOST, value(&authority)?);
        headers.insert(USER_AGENT, value(NAME)?);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| Error::invalid("the address can't be asked for"))?;
        if !is_tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(host).map_err(|error| Error::invalid(error.to_string()))?;
        let secured = timeout(CONNECT, self.tls.connect(name, stream)).await;
        let secured = secured.map_err(|_| unreachable("the TLS handshake takes too long".into()))?;
        exchange(secured.map_err(|error| unreachable(error.to_string()))?, request).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>> {
    let broken = |error: hyper::Error| Error::unavailable(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with the answer's body.
    drop(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a registry broke off");
        }
    }));
    let answer = timeout(ANSWER, sender.send_request(request)).await;
    answer.map_err(|_| Error::unavailable("it does not answer"))?.map_err(broken)
}

/// The next piece of a body; `None` at its end.
///
/// # Errors
/// `Unavailable` if the server breaks off or is silent for too long.
pub(super) async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>> {
    loop {
        let frame = timeout(ANSWER, body.frame()).await.map_err(|_| Error::unavailable("the server says no more"))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(Error::unavailable(format!("the server broke off: {error}"))),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

/// All of a body that is short.
///
/// # Errors
/// As [`next_piece`], and `Invalid` for one that is longer than `longest` bytes.
pub(super) async fn whole(mut body: Incoming, longest: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = next_piece(&mut body).await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > longest {
            return Err(Error::invalid(format!("the answer is longer than {longest} bytes")));
        }
    }
    Ok(bytes)
}

/// Without the query, which may hold what is not for logs.
fn shown(uri: &Uri) -> String {
    let (scheme, authority) = (uri.scheme_str().unwrap_or_default(), uri.authority());
    format!("{scheme}://{}{}", authority.map_or("", |authority| authority.as_str()), uri.path())
}
