//! From a kind of error to the status that Docker gives it: here, and nowhere else.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use trestle_core::{Error, ErrorKind};

use crate::api;

/// A request that was not done, and why: `{"message": …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of refusal, as HTTP tells it.
    pub status: StatusCode,
    /// What went wrong. Where tools read it, it is worded as Docker words it.
    pub message: String,
}

#[derive(Serialize)]
struct Message {
    message: String,
}

impl Refusal {
    /// A refusal of a status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// A 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// A 501: Docker offers it, and this daemon does not. The sentence tells what to do instead.
    pub fn absent(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }
}

/// The status of a kind of error.
///
/// `Exhausted` is a 503 as Docker's "no available addresses"; `Unsupported` is what this daemon can't do yet, or not
/// on this kernel.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Exhausted | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(status(error.kind()), error.to_string())
    }
}

impl From<api::error::Refusal> for Refusal {
    fn from(refusal: api::error::Refusal) -> Self {
        Self { status: refusal.status, message: refusal.message }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, axum::Json(Message { message: self.message })).into_response()
    }
}
