//! From a kind of error to an HTTP status: here, and nowhere else.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use trestle_core::{Error, ErrorKind};

use super::model::Message;

/// What a 501 tells, for the document.
pub const UNSUPPORTED: &str =
    "This kernel lacks what it takes, or this version can't do it yet; the message says which.";

/// A request that was not done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of refusal, as HTTP tells it.
    pub status: StatusCode,
    /// What went wrong, for a person.
    pub message: String,
}

impl Refusal {
    /// A refusal of a status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: shortened(message.into()) }
    }
}

/// The longest message, in characters.
const LONGEST_MESSAGE: usize = 1000;

/// Takes out the middle of what nobody would read: it is a value as it was sent, or a long list.
fn shortened(message: String) -> String {
    let characters = message.chars().count();
    if characters <= LONGEST_MESSAGE {
        return message;
    }
    let start: String = message.chars().take(LONGEST_MESSAGE / 2).collect();
    let end: String = message.chars().skip(characters - LONGEST_MESSAGE / 3).collect();
    format!("{start} … {end}")
}

/// The status of a kind of error.
///
/// A supply that is used up (`Exhausted`) is a 409: the request meets the present state of things, and the caller can
/// change that by taking something away. A 5xx would tell proxies and clients to try the same again.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict | ErrorKind::Exhausted => StatusCode::CONFLICT,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(status(error.kind()), error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(Message { message: self.message })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_and_ends_as_it_was_however_long_its_middle() {
        let long = Refusal::new(StatusCode::BAD_REQUEST, format!("name: {:?} is too long", "é".repeat(1 << 20)));
        assert!(long.message.starts_with("name: \"éé") && long.message.ends_with("éé\" is too long"), "{long:?}");
        assert!(long.message.chars().count() < LONGEST_MESSAGE);
        assert_eq!(Refusal::new(StatusCode::BAD_REQUEST, "short").message, "short");
    }

    #[test]
    fn each_kind_has_its_status() {
        for (kind, code) in [
            (ErrorKind::Invalid, 400),
            (ErrorKind::NotFound, 404),
            (ErrorKind::Conflict, 409),
            (ErrorKind::Exhausted, 409),
            (ErrorKind::Forbidden, 403),
            (ErrorKind::Unsupported, 501),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Internal, 500),
        ] {
            let refusal = Refusal::from(Error::new(kind, "so it is").doing("trying"));
            assert_eq!((refusal.status.as_u16(), refusal.message.as_str()), (code, "trying: so it is"));
        }
    }
}
