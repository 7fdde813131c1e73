//! The door: bodies, queries and names out of a request, or a refusal that says what is wrong with them.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use trestle_core::{Error, Result};

use super::error::Refusal;

/// The largest body that is read, in bytes. The largest sensible one, a few thousand ports, is a tenth of it.
pub const LARGEST_BODY: usize = 1 << 20;

/// How long a caller may take to send a body.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// A body of JSON.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        // A body of another type is an accident: what is not declared as JSON was not written as JSON.
        let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !declared.is_some_and(is_json) {
            let given = declared.unwrap_or("nothing");
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("Content-Type: application/json is expected, and {given} was sent"),
            ));
        }
        let body = Limited::new(request.into_body(), LARGEST_BODY).collect();
        let bytes = match tokio::time::timeout(BODY_PATIENCE, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let message = format!("body: it is larger than the {LARGEST_BODY} bytes allowed");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
            Ok(Err(error)) => {
                let message = format!("body: it ended before it was complete ({error})");
                return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
            }
            Err(_) => {
                let message = format!("body: it did not arrive within {} seconds", BODY_PATIENCE.as_secs());
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message));
            }
        };
        Ok(Self(parse(&bytes)?))
    }
}

fn is_json(declared: &str) -> bool {
    let essence = declared.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Reads a JSON object; an error names the field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // serde would read a list as the values of the fields in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::invalid("body: it is a list, and an object is expected"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "body".to_owned() } else { path };
        Error::invalid(format!("{field}: {}", error.inner()))
    })?;
    reader.end().map_err(|error| Error::invalid(format!("body: {error}")))?;
    Ok(value)
}

/// The part behind `?`.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(error) => Err(Refusal::new(StatusCode::BAD_REQUEST, format!("query: {}", error.body_text()))),
        }
    }
}

/// The one name in the path.
#[derive(Debug)]
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(error) => Err(Refusal::new(StatusCode::BAD_REQUEST, format!("path: {}", error.body_text()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_type_alone() {
        assert!(is_json("application/json") && is_json("Application/JSON; charset=utf-8"));
        assert!(!is_json("text/plain") && !is_json("") && !is_json("application/jsonp"));
    }
}
