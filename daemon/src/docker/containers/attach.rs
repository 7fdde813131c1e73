//! `POST /containers/{name}/attach`.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use trestle_engine::attach::{Talk, replay};
use trestle_engine::logs::LogRequest;

use super::found;
use crate::docker::app::App;
use crate::docker::error::Refusal;
use crate::docker::query::Query;
use crate::docker::stream::{Framing, takeover};
use crate::docker::version::ApiVersion;

pub(super) async fn attach(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Query,
    version: ApiVersion,
    heads: HeaderMap,
    // Read before the connection is taken over.
    _body: Bytes,
) -> Result<Response, Refusal> {
    let (containers, container) = found(&app, &name)?;
    let record = container.record();
    let tty = record.config.tty;
    let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
    let talk = Talk {
        stdin: query.flag("stdin") && record.config.open_stdin,
        stdout,
        stderr,
        tty,
        keys: query.text("detachKeys").unwrap_or_default().parse()?,
    };
    let attached = query.flag("stream").then(|| containers.attach(&container)).transpose()?;
    let past =
        query.flag("logs").then(|| containers.logs(&container, LogRequest { stdout, stderr, ..LogRequest::default() }));
    let mut past = past.transpose()?;
    let framing = if tty { Framing::Raw } else { Framing::Multiplexed };
    Ok(takeover(&heads, framing.content_type(version), move |mut caller| async move {
        if let Some(past) = &mut past {
            while let Some((stream, line)) = past.recv().await {
                if replay(&mut caller, tty, stream, &line).await.is_err() {
                    return;
                }
            }
        }
        let Some(attached) = attached else { return };
        if let Err(error) = containers.talk(attached, caller, &talk).await {
            tracing::warn!(%error, container = %container.id, "a caller lost his container");
        }
    }))
}
