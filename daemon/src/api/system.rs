//! The daemon itself: version, drivers, verify and repair, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use trestle_core::Error;

use super::app::App;
use super::error::{Refusal, UNSUPPORTED};
use super::model::Message;
use super::model::plan::Drifts;
use super::model::system::{Driver, Version};
use crate::metrics::{self, Objects, Operation};

/// Every path of this file below the API's root.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(version))
        .routes(routes!(drivers))
        .routes(routes!(verify))
        .routes(routes!(repair))
}

/// The paths that are known by everybody and stand at the very root.
pub fn root_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Which daemon this is.
#[utoipa::path(get, path = "/version", tag = "system", responses((status = 200, body = Version)))]
async fn version(State(app): State<App>) -> Json<Version> {
    Json(app.about.version.clone())
}

/// Every network driver with the options that its networks take.
#[utoipa::path(get, path = "/drivers", tag = "system", responses((status = 200, body = Vec<Driver>)))]
async fn drivers(State(app): State<App>) -> Json<Vec<Driver>> {
    Json(app.controller.drivers().into_iter().map(Driver::from).collect())
}

/// What of everything is not as its plan says.
#[utoipa::path(
    get, path = "/verify", tag = "system",
    responses((status = 200, body = Drifts), (status = "default", body = Message)),
)]
async fn verify(State(app): State<App>) -> Result<Json<Drifts>, Refusal> {
    let controller = app.controller.clone();
    Ok(Json(app.act(Operation::Verify, async move { controller.verify().await }).await?.into()))
}

/// Makes everything as its plan says; the answer is what was amiss before.
#[utoipa::path(
    post, path = "/repair", tag = "system",
    responses((status = 200, body = Drifts), (status = 501, description = UNSUPPORTED, body = Message), (status = "default", body = Message)),
)]
async fn repair(State(app): State<App>) -> Result<Json<Drifts>, Refusal> {
    let controller = app.controller.clone();
    Ok(Json(app.act(Operation::Repair, async move { controller.repair().await }).await?.into()))
}

/// What is counted, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "system",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)),
)]
async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    let objects = Objects {
        networks: app.controller.networks().len(),
        endpoints: app.controller.endpoints().len(),
        sandboxes: app.controller.sandboxes().len(),
        names: app.names.count(),
    };
    let told = app.metrics.text(objects).map_err(|error| Error::internal(format!("writing metrics: {error}")))?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], told).into_response())
}
