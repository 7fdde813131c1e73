//! Images on their way in and out: load, save, import, pull.

use std::io::{self, Write};

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde_json::json;
use tokio::sync::mpsc;

use trestle_core::{Error, Result};
use trestle_engine::event::Noun;
use trestle_engine::image::{Import, Platform, Progress, Reference};

use crate::docker::app::App;
use crate::docker::error::Refusal;
use crate::docker::query::Query;
use crate::docker::upload::Archive;
use crate::docker::{progress, stream};

/// How many pieces of an archive lie ready for the caller, and how long one is at least, in bytes.
const AHEAD: usize = 8;
const PIECE: usize = 64 << 10;

pub(super) async fn load(State(app): State<App>, query: Query, mut archive: Archive) -> Result<Response, Refusal> {
    let quiet = query.flag("quiet");
    let platform = platform(&query)?;
    let engine = app.engine.clone();
    progress::answer(&app, move |tell| {
        on_a_thread(move || {
            engine.images().load(&mut archive, &platform, &mut |progress| {
                let line = match &progress {
                    Progress::State { .. } if quiet => None,
                    Progress::Image { id, name } => {
                        let attributes = [("name", id.to_string())];
                        engine.tell(Noun::Image, "load", id.to_string(), attributes);
                        let line = name.as_ref().map_or_else(
                            || format!("Loaded image ID: {id}\n"),
                            |name| format!("Loaded image: {name}\n"),
                        );
                        Some(json!({"stream": line}))
                    }
                    other => progress::written(other),
                };
                if line.is_some_and(|line| tell.send(line).is_err()) {
                    tracing::trace!("nobody reads how far a load is any more");
                }
            })
        })
    })
    .await
}

pub(super) async fn save_many(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let names = values(&query.unwrap_or_default(), "names")?;
    save(&app, names).await
}

pub(super) async fn save(app: &App, names: Vec<String>) -> Result<Response, Refusal> {
    let selection = app.engine.images().select(&names)?;
    for id in selection.ids() {
        app.engine.tell(Noun::Image, "save", id.to_string(), [("name", id.to_string())]);
    }
    let (out, pieces) = mpsc::channel(AHEAD);
    // It ends with the archive, or with who reads it.
    drop(tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(PIECE, Pieces(out));
        if let Err(error) = selection.write(&mut out) {
            tracing::warn!(%error, "an archive of images breaks off");
        }
    }));
    Ok(stream::pieces(HeaderValue::from_static("application/x-tar"), pieces))
}

/// A stream as a blocking writer.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map(|()| bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Import, where a source is told; else pull.
pub(super) async fn create(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    query: Query,
    headers: HeaderMap,
    archive: Archive,
) -> Result<Response, Refusal> {
    match (query.text("fromImage"), query.text("fromSrc")) {
        (Some(image), _) => super::pull::pull(&app, image, &query, &headers).await,
        (None, Some("-")) => import(&app, &query, &raw.unwrap_or_default(), archive).await,
        (None, Some(_)) => Err(Refusal::absent(
            "this daemon fetches no archives by their address: fetch it yourself, and send it by \"docker import -\"",
        )),
        (None, None) => Err(Refusal::invalid("neither fromImage nor fromSrc is told")),
    }
}

async fn import(app: &App, query: &Query, raw: &str, mut archive: Archive) -> Result<Response, Refusal> {
    let name = query.text("repo").map(str::parse::<Reference>).transpose()?;
    let name = match (name, query.text("tag")) {
        (Some(name), Some(tag)) => Some(name.tag_as(tag)?),
        (name, _) => name,
    };
    if name.as_ref().is_some_and(|name| name.digest().is_some()) {
        return Err(Refusal::invalid("cannot import digest reference"));
    }
    let import = Import {
        platform: platform(query)?,
        changes: values(raw, "changes")?,
        message: query.text("message").unwrap_or_default().to_owned(),
        name,
    };
    let engine = app.engine.clone();
    progress::answer(app, move |tell| {
        on_a_thread(move || {
            let id = engine.images().import(&mut archive, import)?;
            engine.tell(Noun::Image, "import", id.to_string(), [("name", id.to_string())]);
            if tell.send(json!({"status": id})).is_err() {
                tracing::trace!("nobody reads the id of an import any more");
            }
            Ok(())
        })
    })
    .await
}

/// All values of a key that may be given any number of times.
fn values(raw: &str, key: &str) -> Result<Vec<String>, Refusal> {
    let uri = format!("/?{raw}").parse().map_err(|error| Refusal::invalid(format!("query: {error}")))?;
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri);
    let pairs = pairs.map_err(|error| Refusal::invalid(format!("query: {}", error.body_text())))?.0;
    Ok(pairs.into_iter().filter(|(found, _)| found == key).map(|(_, value)| value).collect())
}

/// What is asked for, else this machine's.
pub(super) fn platform(query: &Query) -> Result<Platform> {
    query.text("platform").map_or_else(|| Ok(Platform::of_this_machine()), str::parse)
}

/// Reading and writing archives blocks.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal(error.to_string()))?
}
