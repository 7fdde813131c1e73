//! The API's bodies: what is sent and what is answered, as JSON with `snake_case` names.
//!
//! The nouns of the core stay free of this shape, and this shape free of theirs: a stored record may change without
//! the API changing. Everything that can be wrong in a request is text here, and is read into the core's types by
//! `read`, which names the field that it could not read.

pub mod endpoint;
pub mod event;
mod json;
pub mod naming;
pub mod network;
pub mod plan;
pub mod sandbox;
pub mod system;

use std::fmt::Display;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use trestle_core::{Doing, Error, Result};

/// Names an object in a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// What every refusal is told with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// What went wrong, with which object or field, for a person.
    pub message: String,
}

/// Reads a field that is text, and names it if it is wrong.
fn read<T>(field: impl Display, text: &str, what: &str) -> Result<T>
where
    T: std::str::FromStr,
{
    text.parse().map_err(|_| Error::invalid(format!("{field}: {:?} is not {what}", shown(text))))
}

/// At most the first sixty characters, for an error's sake.
fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The same for an optional one; the error of a core type tells by itself what is wrong.
fn read_with<T>(
    field: impl Display,
    text: Option<String>,
    reader: impl FnOnce(String) -> Result<T>,
) -> Result<Option<T>> {
    text.map(|text| reader(text).doing(|| field.to_string())).transpose()
}

/// A moment as RFC 3339 writes it, in UTC.
fn timestamp(at: SystemTime) -> String {
    // Years past 9999 can't be written; a clock that says so is wrong anyway.
    OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests;
