//! Connections that a handler takes over: behind the head of its answer they carry a raw stream, in both directions.
//!
//! Docker's attach and exec do so. hyper lets go of a connection only where the caller asked for an upgrade, and many of
//! Docker's callers don't; so the serving loop takes the connection from hyper itself, and writes the head.

use std::fmt;
use std::fmt::Write;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::http::header::CONTENT_LENGTH;
use axum::http::response;
use axum::response::Response;
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// What a handler does with a connection that is its own.
type Conversation = Box<dyn FnOnce(Raw) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Among an answer's extensions: its connection is taken over for this, once the head of the answer is written.
///
/// The request's body has to be read by then. Nothing else is answered on the connection, and it ends with the
/// conversation, or when the daemon stops.
#[derive(Clone)]
pub struct Takeover(Arc<Mutex<Option<Conversation>>>);

impl Takeover {
    /// A conversation to come.
    pub fn new<F, T>(conversation: F) -> Self
    where
        F: FnOnce(Raw) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let conversation: Conversation = Box::new(|stream| Box::pin(conversation(stream)));
        Self(Arc::new(Mutex::new(Some(conversation))))
    }

    /// Takes the connection over, if that was not done before.
    pub(super) async fn begin(self, head: response::Parts, mut stream: Raw) -> io::Result<()> {
        let conversation = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(conversation) = conversation else { return Ok(()) };
        stream.write_all(&written(&head)).await?;
        stream.flush().await?;
        conversation(stream).await;
        Ok(())
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}

/// For what an answer takes its connection over, if it does.
pub(super) fn of(response: &mut Response) -> Option<Takeover> {
    response.extensions_mut().remove()
}

/// The head of an answer as it is sent. It names no length: what follows lasts as long as the connection.
fn written(head: &response::Parts) -> Vec<u8> {
    let mut line = String::new();
    let reason = head.status.canonical_reason().unwrap_or_default();
    write!(line, "HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).expect("a text takes what is written");
    let mut text = line.into_bytes();
    // The router adds the length of the answer's own body, which is empty.
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != CONTENT_LENGTH) {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// What a connection is made of.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// A raw connection: what the caller sends is read until he is done, what is written reaches him as it is.
///
/// Shutting it down tells the caller that nothing more comes; he may still send.
pub struct Raw {
    early: Bytes,
    stream: Box<dyn Wire>,
}

impl Raw {
    /// A stream, and what of it came before its turn.
    pub(super) fn new(early: Bytes, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { early, stream: Box::new(stream) }
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").field("early", &self.early.len()).finish_non_exhaustive()
    }
}

impl AsyncRead for Raw {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let length = self.early.len().min(into.remaining());
        into.put_slice(&self.early.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Raw {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::{get, post};
    use tokio::io::AsyncReadExt;
    use tokio::sync::watch;

    use super::super::{Limits, Wire, answer};
    use super::*;

    /// Answers each line in capitals, and says goodbye when no more come.
    async fn shout(mut stream: Raw) {
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        stream.write_all(format!("{} bye", heard.to_uppercase()).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }

    fn router() -> Router {
        let shouting = || async {
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert("content-type", "application/x-raw".parse().unwrap());
            response.extensions_mut().insert(Takeover::new(shout));
            response
        };
        Router::new().route("/shout", post(shouting)).route("/plain", get(|| async { "plain" }))
    }

    async fn said(request: &str) -> String {
        let (mut caller, daemon) = tokio::io::duplex(64);
        let (_stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(answer(daemon, Wire::Unix, router(), Limits::default(), stopping));
        let (mut reading, mut writing) = tokio::io::split(&mut caller);
        let asking = async {
            writing.write_all(request.as_bytes()).await.unwrap();
            writing.shutdown().await.unwrap();
        };
        let mut answer = String::new();
        let (heard, ()) = tokio::join!(reading.read_to_string(&mut answer), asking);
        heard.unwrap();
        serving.await.unwrap().unwrap();
        answer
    }

    #[tokio::test]
    async fn a_caller_who_asks_for_no_upgrade_gets_a_raw_stream_behind_the_head() {
        let told = said("POST /shout HTTP/1.1\r\nhost: x\r\n\r\nhello, who is there?").await;
        assert_eq!(told, "HTTP/1.1 200 OK\r\ncontent-type: application/x-raw\r\n\r\nHELLO, WHO IS THERE? bye");
    }

    #[tokio::test]
    async fn requests_before_it_are_answered_on_the_same_connection() {
        let told = said("GET /plain HTTP/1.1\r\nhost: x\r\n\r\nPOST /shout HTTP/1.1\r\nhost: x\r\n\r\nhey").await;
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && told.contains("plain"), "{told}");
        assert!(told.ends_with("\r\n\r\nHEY bye"), "{told}");
    }

    #[tokio::test]
    async fn a_daemon_that_stops_ends_the_conversation() {
        let (mut caller, daemon) = tokio::io::duplex(1024);
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(answer(daemon, Wire::Unix, router(), Limits::default(), stopping));
        caller.write_all(b"POST /shout HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut head = [0; 16];
        caller.read_exact(&mut head).await.unwrap();
        stop.send_replace(true);
        serving.await.unwrap().unwrap();
    }
}
