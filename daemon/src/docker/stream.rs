//! Answers that go on: bodies that stream, and connections that attach and exec take over.

use std::future::Future;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;

use super::version::ApiVersion;
use crate::serve::{Raw, Takeover, flow};

/// A stream of output as it is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A terminal's: bytes as they come.
    Raw,
    /// stdout and stderr in one: each piece behind eight bytes, its stream and its length.
    Multiplexed,
}

impl Framing {
    /// The type that tells it. Before 1.42 there was but one.
    pub fn content_type(self, version: ApiVersion) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Multiplexed if version.since(42) => "application/vnd.docker.multiplexed-stream",
            _ => "application/vnd.docker.raw-stream",
        })
    }
}

/// A 200 whose body is the pieces as they come. It ends when nobody is left who could send one; a sender learns by
/// [`mpsc::Sender::closed`] that the caller is gone.
pub fn pieces(content_type: HeaderValue, pieces: mpsc::Receiver<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, content_type)], flow(pieces)).into_response()
}

/// An answer behind whose head the connection carries a raw stream in both directions: a 101 for who asks for an
/// upgrade, else a 200, as Docker does. `asked` are the heads of the request, whose body has to be read by now.
pub fn takeover<F, T>(asked: &HeaderMap, content_type: HeaderValue, conversation: F) -> Response
where
    F: FnOnce(Raw) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    if let Some(protocol) = asked.get(header::UPGRADE) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    response.extensions_mut().insert(Takeover::new(conversation));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_for_an_upgrade_gets_one() {
        let mut asked = HeaderMap::new();
        let content_type = Framing::Multiplexed.content_type(ApiVersion::new(41));
        let plain = takeover(&asked, content_type.clone(), |_| async {});
        assert_eq!((plain.status().as_u16(), plain.headers().get("upgrade")), (200, None));
        asked.insert("upgrade", HeaderValue::from_static("tcp"));
        let upgraded = takeover(&asked, content_type, |_| async {});
        assert_eq!(
            (upgraded.status().as_u16(), &upgraded.headers()["upgrade"]),
            (101, &HeaderValue::from_static("tcp"))
        );
        assert_eq!(upgraded.headers()["content-type"], "application/vnd.docker.raw-stream");
    }
}
