//! `POST /containers/create`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use trestle_engine::container::config::{Config, CreateRequest, HostConfig, NetworkingConfig};

use crate::docker::app::App;
use crate::docker::body::read;
use crate::docker::error::Refusal;
use crate::docker::query::Query;

/// What stands beside the container's own configuration in the same object.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Beside {
    #[serde(rename = "HostConfig")]
    host_config: Option<HostConfig>,
    #[serde(rename = "NetworkingConfig")]
    networking_config: Option<NetworkingConfig>,
}

pub(super) async fn create(
    State(app): State<App>,
    query: Query,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let containers = super::containers(&app)?;
    if body.is_empty() {
        return Err(Refusal::invalid("invalid JSON: got EOF while reading request body"));
    }
    let config: Config = read(&body)?;
    let beside: Beside = read(&body)?;
    let request = CreateRequest {
        name: query.text("name").map(str::to_owned),
        config,
        host_config: beside.host_config.unwrap_or_default(),
        networking_config: beside.networking_config.unwrap_or_default(),
    };
    let created = app.act(async move { containers.create(request).await }).await?;
    let told = json!({ "Id": created.container.id.to_string(), "Warnings": created.warnings });
    Ok((StatusCode::CREATED, Json(told)))
}
