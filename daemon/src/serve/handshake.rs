//! The TLS handshake: who is refused hears why, and the log tells who it was.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{CertificateError, Error as TlsError};
use tokio_rustls::server::TlsStream;

use super::Limits;

/// How much of what a refused caller still says is taken in, in bytes. Hanging up on it would take our alert back.
const LAST_WORDS: u64 = 64 << 10;

/// Shakes hands; `None` for who is refused, or takes too long.
pub(super) async fn shake(tls: TlsAcceptor, stream: TcpStream, limits: Limits) -> Option<TlsStream<TcpStream>> {
    let caller = stream.peer_addr().map_or_else(|_| "a caller".to_owned(), |address| format!("the caller {address}"));
    match timeout(limits.handshake, tls.accept(stream).into_fallible()).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err((error, stream))) => {
            tracing::info!("{caller} was refused: {}", reason(&error));
            if timeout(limits.farewell, let_finish(stream)).await.is_err() {
                tracing::debug!("{caller} did not hang up");
            }
            None
        }
        Err(_) => {
            tracing::info!("{caller} did not finish the TLS handshake in time");
            None
        }
    }
}

/// Lets the alert arrive before the connection ends.
async fn let_finish(mut stream: TcpStream) {
    // Whoever is gone already needs nothing more.
    if stream.shutdown().await.is_ok() {
        drop(tokio::io::copy(&mut stream.take(LAST_WORDS), &mut tokio::io::sink()).await);
    }
}

fn reason(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|cause| cause.downcast_ref::<TlsError>());
    match tls {
        Some(TlsError::NoCertificatesPresented) => "it showed no certificate".to_owned(),
        Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "no authority of --tlscacert signed its certificate".to_owned()
        }
        Some(TlsError::InvalidCertificate(cause)) => format!("its certificate is no good: {cause}"),
        Some(TlsError::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        _ => error.to_string(),
    }
}
