//! What is done with a container.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use trestle_core::{Error, ErrorKind};
use trestle_engine::container::state::State as Stands;

use super::found;
use crate::docker::app::App;
use crate::docker::error::Refusal;
use crate::docker::query::Query;

pub(super) async fn start(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    let (containers, container) = found(&app, &name)?;
    let started = app.act(async move { containers.start(&container).await }).await.map_err(why_not_started)?;
    Ok(if started { StatusCode::NO_CONTENT } else { StatusCode::NOT_MODIFIED })
}

/// A program that is not there, or can't be run, is the request's fault, as Docker tells it.
fn why_not_started(refusal: Refusal) -> Refusal {
    let told = &refusal.message;
    let is_theirs = ["executable file not found", "no such file or directory", "permission denied"];
    match is_theirs.iter().any(|it| told.contains(it)) {
        true => Refusal::invalid(told.clone()),
        false => refusal,
    }
}

/// How many seconds a container has to end.
fn patience(query: &Query) -> Result<Option<i64>, Refusal> {
    query.number("t")
}

pub(super) async fn stop(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let (containers, container) = found(&app, &name)?;
    let (patience, signal) = (patience(&query)?, query.text("signal").map(str::to_owned));
    let stopped = app.act(async move { containers.stop(&container, patience, signal.as_deref()).await }).await?;
    Ok(if stopped { StatusCode::NO_CONTENT } else { StatusCode::NOT_MODIFIED })
}

pub(super) async fn restart(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let (containers, container) = found(&app, &name)?;
    let (patience, signal) = (patience(&query)?, query.text("signal").map(str::to_owned));
    app.act(async move { containers.restart(&container, patience, signal.as_deref()).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn kill(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let (containers, container) = found(&app, &name)?;
    let signal = query.text("signal").unwrap_or_default().to_owned();
    app.act(async move { containers.kill(&container, &signal).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pause(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    let (containers, container) = found(&app, &name)?;
    app.act(async move { containers.pause(&container).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unpause(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    let (containers, container) = found(&app, &name)?;
    app.act(async move { containers.unpause(&container).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn rename(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let (containers, container) = found(&app, &name)?;
    let wanted = query.text("name").unwrap_or_default().to_owned();
    app.act(async move { containers.rename(&container, &wanted).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn resize(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let (containers, container) = found(&app, &name)?;
    let (height, width) = window(&query)?;
    containers.resize(&container, height, width)?;
    Ok(StatusCode::OK)
}

/// The size of a window, in letters.
pub(crate) fn window(query: &Query) -> Result<(u16, u16), Refusal> {
    let side = |name: &str| {
        let number = query.number(name)?.and_then(|number| u16::try_from(number).ok());
        number.ok_or_else(|| Refusal::invalid(format!("{name}: a window has 0 to 65535 letters on each side")))
    };
    Ok((side("h")?, side("w")?))
}

pub(super) async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let (containers, container) = found(&app, &name)?;
    if query.flag("link") {
        return Err(Refusal::absent("this daemon can't remove a link between containers yet"));
    }
    let (force, volumes) = (query.flag("force"), query.flag("v"));
    app.act(async move { containers.remove(&container, force, volumes).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes every container that does not run.
pub(super) async fn prune(State(app): State<App>, query: Query) -> Result<Json<Value>, Refusal> {
    let containers = super::containers(&app)?;
    let filters = query.filters(&["label", "label!", "until"])?;
    if filters.has("until") {
        return Err(Refusal::absent("this daemon can't prune containers by their age yet; filter by label"));
    }
    let removed = app.act(async move {
        let mut removed = Vec::new();
        for container in containers.list() {
            let record = container.record();
            let rests = matches!(record.state, Stands::Created { .. } | Stands::Exited(_));
            let labels = record.config.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            if !rests || !filters.labels(&labels) {
                continue;
            }
            match containers.remove(&container, false, false).await {
                Ok(()) => removed.push(record.id.to_string()),
                // Somebody started or removed it meanwhile.
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
                Err(error) => return Err::<_, Error>(error),
            }
        }
        Ok(removed)
    });
    let removed = removed.await?;
    let told = if removed.is_empty() { Value::Null } else { json!(removed) };
    Ok(Json(json!({ "ContainersDeleted": told, "SpaceReclaimed": 0 })))
}
