//! The door: bodies, queries and names out of a request, or a refusal that says what is wrong with them.

use axum::body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use trestle_core::{Error, Result};

use super::error::Refusal;
use crate::serve::TooSlow;

/// The largest body that is read, in bytes. The largest sensible one, a few thousand ports, is a tenth of it.
pub const LARGEST_BODY: usize = 1 << 20;

/// How much of a larger body is taken in and thrown away, in bytes: who hears of the refusal only while sending would
/// see a broken connection instead.
const LARGEST_WASTE: usize = 16 << 20;

/// A body of JSON.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        check_declared(request.headers())?;
        Ok(Self(parse(&collect(request.into_body()).await?)?))
    }
}

/// A body that is declared as something else is an accident: what is not declared as JSON was not written as JSON.
fn check_declared(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let unsupported = |message| Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    let kind = text(header::CONTENT_TYPE);
    if !kind.as_deref().is_some_and(is_json) {
        let given = kind.as_deref().unwrap_or("nothing");
        return unsupported(format!("Content-Type: application/json is expected, and {given} was sent"));
    }
    match text(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => {
            unsupported(format!("Content-Encoding: {encoding} is not understood; send the body as it is"))
        }
        _ => Ok(()),
    }
}

fn is_json(declared: &str) -> bool {
    let essence = declared.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// All of a body, if it comes in time and is not too large.
pub(crate) async fn collect(mut body: body::Body) -> Result<Bytes, Refusal> {
    let error = match Limited::new(&mut body, LARGEST_BODY).collect().await {
        Ok(whole) => return Ok(whole.to_bytes()),
        Err(error) => error,
    };
    if error.is::<LengthLimitError>() {
        waste(body).await;
        let message = format!("body: it is larger than the {LARGEST_BODY} bytes allowed");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    if let Some(slow) = error.source().and_then(|cause| cause.downcast_ref::<TooSlow>()) {
        return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, format!("body: {slow}")));
    }
    Err(Refusal::new(StatusCode::BAD_REQUEST, format!("body: it ended before it was complete ({error})")))
}

/// Takes in what comes and throws it away, within reason.
async fn waste(mut body: body::Body) {
    let mut wasted = 0;
    while let Some(Ok(frame)) = body.frame().await {
        wasted += frame.data_ref().map_or(0, Bytes::len);
        if wasted > LARGEST_WASTE {
            break;
        }
    }
}

/// Reads a JSON object; an error names the field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    check_object(bytes)?;
    // Only who is refused waits for the way to his mistake to be found.
    serde_json::from_slice(bytes).or_else(|_| explain(bytes))
}

/// Reads it again, slowly.
fn explain<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (field, fault) = (field(error.path()), error.inner());
        if fault.is_eof() {
            let (length, line, column) = (bytes.len(), fault.line(), fault.column());
            let cause = format!("the body is cut off: it ends after {length} bytes, at line {line} column {column}");
            return Error::invalid(format!("{field}: {cause}, before the JSON is complete"));
        }
        Error::invalid(format!("{field}: {fault}"))
    })?;
    reader.end().map_err(|error| Error::invalid(format!("body: {error}")))?;
    Ok(value)
}

/// Refuses what is no object: serde would read a list as the values of the fields in their order.
fn check_object(bytes: &[u8]) -> Result<()> {
    let found = match bytes.trim_ascii_start().first() {
        Some(b'{') => return Ok(()),
        None => "empty",
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(_) => "something else",
    };
    Err(Error::invalid(format!("body: it is {found}, and a JSON object is expected")))
}

/// The field that a path leads to, as far as it is known.
fn field(path: &serde_path_to_error::Path) -> String {
    let known = path.iter().take_while(|segment| !matches!(segment, Segment::Unknown));
    let mut field = String::new();
    for segment in known {
        if !field.is_empty() && !matches!(segment, Segment::Seq { .. }) {
            field.push('.');
        }
        field.push_str(&segment.to_string());
    }
    if field.is_empty() { "body".to_owned() } else { field }
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

    #[test]
    fn a_body_that_is_cut_off_is_told_so_with_its_end() {
        #[derive(Debug, serde::Deserialize)]
        struct Asked {
            #[serde(rename = "name")]
            _name: String,
        }
        let told = |body: &str| parse::<Asked>(body.as_bytes()).unwrap_err().to_string();
        let cut_off = "the body is cut off: it ends after";
        assert!(told("{").starts_with(&format!("body: {cut_off} 1 bytes, at line 1 column 1")), "{}", told("{"));
        let in_value = told("{\n\"name\": \"fro");
        assert!(in_value.contains(&format!("{cut_off} 14 bytes, at line 2 column 12")), "{in_value}");
        assert!(told("{\"na").starts_with("body: the body is cut off"), "{}", told("{\"na"));
        assert!(!told("{\"name\" 5}").contains('?'), "{}", told("{\"name\" 5}"));
    }
}
