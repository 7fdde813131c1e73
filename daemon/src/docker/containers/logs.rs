//! `GET /containers/{name}/logs`.

use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use tokio::sync::mpsc;
use trestle_engine::attach::framed;
use trestle_engine::logs::LogRequest;

use super::found;
use crate::docker::app::App;
use crate::docker::error::Refusal;
use crate::docker::query::Query;
use crate::docker::stream::{Framing, pieces};
use crate::docker::version::ApiVersion;

pub(super) async fn logs(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Query,
    version: ApiVersion,
) -> Result<Response, Refusal> {
    let (containers, container) = found(&app, &name)?;
    let request = request(&query)?;
    if !request.stdout && !request.stderr {
        return Err(Refusal::invalid("Bad parameters: you must choose at least one stream"));
    }
    let tty = container.record().config.tty;
    let mut lines = containers.logs(&container, request)?;
    let (send, body) = mpsc::channel::<Bytes>(64);
    let mut stopping = app.stopping.clone();
    // It ends with the log, with the caller, or with the daemon.
    drop(tokio::spawn(async move {
        loop {
            let line = tokio::select! {
                line = lines.recv() => line,
                () = send.closed() => None,
                () = crate::serve::told_to_stop(&mut stopping) => None,
            };
            let Some((stream, line)) = line else { return };
            let line = if tty { line } else { framed(stream, &line) };
            if send.send(line).await.is_err() {
                return;
            }
        }
    }));
    let framing = if tty { Framing::Raw } else { Framing::Multiplexed };
    Ok(pieces(framing.content_type(version), body))
}

fn request(query: &Query) -> Result<LogRequest, Refusal> {
    let tail = match query.text("tail") {
        // Docker takes whatever is no number for all.
        Some(text) => text.parse().ok(),
        None => None,
    };
    Ok(LogRequest {
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        since: moment(query, "since")?,
        until: moment(query, "until")?,
        tail,
        timestamps: query.flag("timestamps"),
        follow: query.flag("follow"),
    })
}

/// A moment in seconds since 1970, with or without a fraction; 0 is none.
fn moment(query: &Query, name: &str) -> Result<Option<SystemTime>, Refusal> {
    let Some(text) = query.text(name) else { return Ok(None) };
    let wrong = || Refusal::invalid(format!("{name}: {text:?} is no time in seconds since 1970"));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: u64 = seconds.parse().map_err(|_| wrong())?;
    if fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let nanoseconds: u32 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    let since = Duration::new(seconds, nanoseconds);
    match since.is_zero() {
        true => Ok(None),
        false => SystemTime::UNIX_EPOCH.checked_add(since).map(Some).ok_or_else(wrong),
    }
}
