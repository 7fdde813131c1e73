//! A caller with one connection that he keeps: a refusal that breaks it is seen at the next request.

use std::fmt::Write as _;
use std::path::Path;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

pub(crate) struct Caller(SendRequest<Full<Bytes>>);

/// What the daemon answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The sentence of a refusal.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl Caller {
    pub(crate) async fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Asks on the one connection; the path is sent as it is.
    pub(crate) async fn ask(&mut self, method: &Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(HOST, "x");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body.unwrap_or_default().into())).unwrap();
        let asked = async {
            self.0.ready().await?;
            let answer = self.0.send_request(request).await?;
            let status = answer.status().as_u16();
            hyper::Result::Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        let (status, body) =
            asked.await.unwrap_or_else(|error| panic!("{method} {path}: the connection broke: {error}"));
        Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() }
    }
}

/// Text as a part of a path or of a query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut part, byte| {
        if byte.is_ascii_alphanumeric() {
            part.push(char::from(byte))
        } else {
            write!(part, "%{byte:02X}").unwrap()
        }
        part
    })
}
