//! `GET /containers/{name}/top`: the container's processes, as `ps` on the host shows them.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::found;
use crate::docker::app::App;
use crate::docker::error::Refusal;
use crate::docker::query::Query;

pub(super) async fn top(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<Value>, Refusal> {
    let (containers, container) = found(&app, &name)?;
    let arguments = query.text("ps_args").unwrap_or("-ef").to_owned();
    let table = app.act(async move { containers.top(&container, &arguments).await }).await?;
    Ok(Json(json!({ "Titles": table.titles, "Processes": table.processes })))
}
