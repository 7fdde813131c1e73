//! `/networks`.

mod shown;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use trestle_core::network::Network;
use trestle_engine::network::PREDEFINED;
use trestle_engine::network::create::NewNetwork;

use super::app::App;
use super::error::Refusal;
use super::filters::Filters;
use super::query::Query;
use super::version::ApiVersion;
use super::{body, timestamp};

/// Every path of this file.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{network}", get(inspect).delete(remove))
        .route("/networks/{network}/connect", post(connect))
        .route("/networks/{network}/disconnect", post(disconnect))
}

/// What lists are filtered by.
const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

async fn list(State(app): State<App>, spoken: ApiVersion, query: Query) -> Result<Json<Vec<Value>>, Refusal> {
    let filters = query.filters(&FILTERS)?;
    let dangling = filters.flag("dangling")?;
    if let Some(wrong) = filters.values("type").find(|it| !matches!(*it, "builtin" | "custom")) {
        return Err(Refusal::invalid(format!("invalid filter 'type={wrong}'")));
    }
    let mut shown = Vec::new();
    for network in app.engine.networks().list() {
        let is_used = || !app.engine.networks().endpoints_on(&network).is_empty() || is_predefined(&network);
        if is_wanted(&network, &filters) && dangling.is_none_or(|dangling| dangling != is_used()) {
            // Since 1.28 a list does not tell who is on a network.
            let members = if spoken.since(28) { Vec::new() } else { shown::members(&app.engine, &network) };
            shown.push(shown::network(&network, members, spoken));
        }
    }
    Ok(Json(shown))
}

fn is_wanted(network: &Network, filters: &Filters) -> bool {
    let kind = if is_predefined(network) { "builtin" } else { "custom" };
    filters.is("driver", &network.driver)
        && filters.is("scope", "local")
        && filters.is("type", kind)
        && filters.matches("id", &network.id.to_string())
        && filters.matches("name", network.name.as_str())
        && filters.labels(&network.labels)
}

fn is_predefined(network: &Network) -> bool {
    PREDEFINED.contains(&network.name.as_str())
}

async fn inspect(
    State(app): State<App>,
    Path(reference): Path<String>,
    spoken: ApiVersion,
    query: Query,
) -> Result<Json<Value>, Refusal> {
    let network = app.engine.networks().find(&reference)?;
    if let Some(scope) = query.text("scope").filter(|scope| *scope != "local") {
        return Err(Refusal::not_found(format!("network {reference} not found in scope {scope}")));
    }
    let mut shown = shown::network(&network, shown::members(&app.engine, &network), spoken);
    if query.flag("verbose") {
        shown["Services"] = Value::Object(serde_json::Map::new());
    }
    Ok(Json(shown))
}

/// What a creation answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    warning: String,
}

async fn create(
    State(app): State<App>,
    body::Json(asked): body::Json<NewNetwork>,
) -> Result<(StatusCode, Json<Created>), Refusal> {
    let engine = app.engine.clone();
    let network: Arc<Network> = app.act(async move { engine.networks().create(&asked).await }).await?;
    Ok((StatusCode::CREATED, Json(Created { id: network.id.to_string(), warning: String::new() })))
}

async fn remove(State(app): State<App>, Path(reference): Path<String>) -> Result<StatusCode, Refusal> {
    let engine = app.engine.clone();
    app.act(async move { engine.networks().remove(&reference).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a prune answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    networks_deleted: Option<Vec<String>>,
}

async fn prune(State(app): State<App>, query: Query) -> Result<Json<Pruned>, Refusal> {
    let filters = query.filters(&["label", "label!", "until"])?;
    let now = app.engine.clock().now();
    let mut untils = filters.values("until").map(|text| timestamp::read("until", text, now));
    let until = untils.next().transpose()?;
    if untils.next().is_some() {
        return Err(Refusal::invalid("more than one until filter specified"));
    }
    drop(untils);
    let engine = app.engine.clone();
    let work = async move {
        let meant =
            |network: &Network| until.is_none_or(|until| network.created < until) && filters.labels(&network.labels);
        engine.networks().prune(meant).await
    };
    let gone = app.act(work).await?;
    // Go tells a list that nothing was put into as null.
    Ok(Json(Pruned { networks_deleted: Some(gone).filter(|gone| !gone.is_empty()) }))
}

/// Which container is to be connected.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Connect {
    container: String,
}

async fn connect(
    State(app): State<App>,
    Path(reference): Path<String>,
    body::Json(asked): body::Json<Connect>,
) -> Result<StatusCode, Refusal> {
    app.engine.networks().find(&reference)?;
    Err(Refusal::not_found(format!("No such container: {}", asked.container)))
}

/// Which container is to be disconnected.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Disconnect {
    container: String,
    force: bool,
}

async fn disconnect(
    State(app): State<App>,
    Path(reference): Path<String>,
    body::Json(asked): body::Json<Disconnect>,
) -> Result<StatusCode, Refusal> {
    let network = app.engine.networks().find(&reference)?;
    if !asked.force {
        return Err(Refusal::not_found(format!("No such container: {}", asked.container)));
    }
    let engine = app.engine.clone();
    app.act(async move { engine.networks().disconnect_stranger(&network, &asked.container).await }).await?;
    Ok(StatusCode::OK)
}
