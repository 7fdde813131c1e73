//! A record as it is written: with the version of its schema and its revision.

use serde::{Deserialize, Serialize};
use trestle_core::error::{Error, Result};
use trestle_core::store::{Key, Record, Revision, SCHEMA};

/// Read first, because nothing else of a newer record can be relied on.
#[derive(Deserialize)]
struct Heading {
    schema: u32,
}

#[derive(Deserialize)]
struct Envelope {
    revision: Revision,
    record: Record,
}

/// Where a record is kept: `endpoint/0123…`.
pub(crate) fn place(key: Key) -> String {
    match key {
        Key::Network(id) => format!("network/{id}"),
        Key::Endpoint(id) => format!("endpoint/{id}"),
        Key::Sandbox(id) => format!("sandbox/{id}"),
    }
}

/// A record's own text: what is compared to see whether it changed.
pub(crate) fn text(record: &Record) -> Result<String> {
    json(record)
}

/// The text with its envelope.
pub(crate) fn seal(text: &str, revision: Revision) -> String {
    format!(r#"{{"schema":{SCHEMA},"revision":{},"record":{text}}}"#, revision.0)
}

/// What an envelope holds.
///
/// # Errors
/// `Unsupported` for a newer schema than ours, `Internal` for what is no record.
pub(crate) fn open(place: &str, sealed: &str) -> Result<(Record, Revision)> {
    let broken = |cause: serde_json::Error| Error::internal(format!("the record {place} can't be read: {cause}"));
    let heading: Heading = serde_json::from_str(sealed).map_err(broken)?;
    check_schema(heading.schema)?;
    let envelope: Envelope = serde_json::from_str(sealed).map_err(broken)?;
    Ok((envelope.record, envelope.revision))
}

/// Refuses what a newer version of ours wrote.
pub(crate) fn check_schema(schema: u32) -> Result<()> {
    if schema <= SCHEMA {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "it was written by a newer Trestle (schema {schema}, this one knows up to {SCHEMA}); \
         start that version again, or one after it"
    )))
}

/// The bytes of most records: room that needs not grow while one is written.
const USUAL: usize = 2048;

/// Any value of ours as text.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String> {
    let mut text = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut text, value)
        .map_err(|cause| Error::internal(format!("it has no JSON form: {cause}")))?;
    String::from_utf8(text).map_err(|cause| Error::internal(format!("its JSON form is no text: {cause}")))
}
