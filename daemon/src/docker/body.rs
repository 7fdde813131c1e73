//! Bodies of JSON. That `null` is the same as nothing, as Go's clients mean it, is the concern of the types that are read.

use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;

use super::error::Refusal;
use crate::api::extract::collect;

/// A body of JSON that has to be there.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match MaybeJson::from_request(request, state).await? {
            MaybeJson(Some(body)) => Ok(Self(body)),
            MaybeJson(None) => Err(Refusal::invalid("invalid JSON: got EOF while reading request body")),
        }
    }
}

/// A body of JSON, or none.
#[derive(Debug)]
pub struct MaybeJson<T>(pub Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for MaybeJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let bytes = collect(body).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        let declared = parts.headers.get(header::CONTENT_TYPE);
        let declared = declared.map_or("".into(), |kind| String::from_utf8_lossy(kind.as_bytes()));
        let essence = declared.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let told = format!("unsupported Content-Type header ({declared}): must be 'application/json'");
            return Err(Refusal::invalid(told));
        }
        read(&bytes).map(|body| Self(Some(body)))
    }
}

/// Reads a JSON object.
///
/// # Errors
/// 400, naming the field.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    // serde would read a list as the values of the fields in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Refusal::invalid("invalid JSON: a list was sent, and an object is expected"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = match error.path().to_string() {
            path if path == "." || path == "?" => String::new(),
            path => format!("{path}: "),
        };
        Refusal::invalid(format!("invalid JSON: {field}{}", error.inner()))
    })?;
    reader.end().map_err(|error| Refusal::invalid(format!("invalid JSON: {error}")))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Asked {
        name: String,
        inner: Option<Box<Asked>>,
    }

    #[test]
    fn strange_fields_are_not_read() {
        let asked: Asked = read(br#"{"Name": "x", "Strange": [null]}"#).unwrap();
        assert_eq!(asked, Asked { name: "x".into(), inner: None });
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, told) in [
            ("", "invalid JSON: EOF"),
            ("{", "invalid JSON: EOF"),
            ("[]", "invalid JSON: a list"),
            ("5", "invalid JSON: invalid type: integer"),
            (r#"{"Inner": {"Name": 5}}"#, "invalid JSON: Inner.Name: invalid type"),
            (r#"{"Name": "x"} y"#, "invalid JSON: trailing"),
        ] {
            let refusal = read::<Asked>(body.as_bytes()).unwrap_err();
            assert!(refusal.message.starts_with(told), "{body}: {refusal:?}");
        }
    }
}
