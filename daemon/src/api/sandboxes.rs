//! `/cnm/v1/sandboxes`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::error::{Refusal, UNSUPPORTED};
use super::extract::{Body, Name, Query};
use super::model::Message;
use super::model::endpoint::{Endpoint, NewEndpoint};
use super::model::plan::Plan;
use super::model::sandbox::{DisconnectFrom, NewSandbox, Sandbox};
use super::networks::Manner;
use crate::metrics::Operation;

/// Every path of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(inspect, remove))
        .routes(routes!(connect))
        .routes(routes!(disconnect))
}

/// Every sandbox with its endpoints.
#[utoipa::path(get, path = "/sandboxes", tag = "sandboxes", responses((status = 200, body = Vec<Sandbox>)))]
async fn list(State(app): State<App>) -> Json<Vec<Sandbox>> {
    Json(shown(&app, &app.controller.sandboxes()))
}

/// Creates a sandbox, with everything that it is to be attached to.
#[utoipa::path(
    post, path = "/sandboxes", tag = "sandboxes", request_body = NewSandbox,
    responses((status = 201, body = Sandbox), (status = 501, description = UNSUPPORTED, body = Message), (status = "default", body = Message)),
)]
async fn create(State(app): State<App>, Body(body): Body<NewSandbox>) -> Result<(StatusCode, Json<Sandbox>), Refusal> {
    let request = body.read()?;
    let controller = app.controller.clone();
    let names = Arc::clone(&app.names);
    let work = async move {
        let created = controller.create_sandbox(request).await;
        names.settled().await;
        created
    };
    let sandbox = app.act(Operation::CreateSandbox, work).await?;
    Ok((StatusCode::CREATED, Json(with_endpoints(&app, &sandbox))))
}

/// A sandbox with its endpoints.
#[utoipa::path(
    get, path = "/sandboxes/{sandbox}", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "id, name, or beginning of an id")),
    responses((status = 200, body = Sandbox), (status = "default", body = Message)),
)]
async fn inspect(State(app): State<App>, Name(name): Name) -> Result<Json<Sandbox>, Refusal> {
    Ok(Json(with_endpoints(&app, &app.controller.sandbox(&name)?)))
}

/// Detaches whatever is in a sandbox, and deletes it.
#[utoipa::path(
    delete, path = "/sandboxes/{sandbox}", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "id, name, or beginning of an id")),
    responses((status = 204), (status = "default", body = Message)),
)]
async fn remove(State(app): State<App>, Name(name): Name) -> Result<StatusCode, Refusal> {
    let controller = app.controller.clone();
    app.act(Operation::DeleteSandbox, async move { controller.delete_sandbox(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Attaches a sandbox to a network by an endpoint that lives as long as that; or tells the plan.
#[utoipa::path(
    post, path = "/sandboxes/{sandbox}/connect", tag = "sandboxes", request_body = NewEndpoint,
    params(("sandbox" = String, Path, description = "id, name, or beginning of an id"), Manner),
    responses(
        (status = 201, body = Endpoint), (status = 200, description = "dry run", body = Plan),
        (status = 501, description = UNSUPPORTED, body = Message), (status = "default", body = Message),
    ),
)]
async fn connect(
    State(app): State<App>,
    Name(name): Name,
    Query(manner): Query<Manner>,
    Body(body): Body<NewEndpoint>,
) -> Result<Response, Refusal> {
    let request = body.read()?;
    let controller = app.controller.clone();
    if manner.dry_run {
        let work = async move { controller.plan_connect(&name, request).await };
        let plan = app.act(Operation::Plan, work).await?;
        return Ok(Json(app.plan(&plan)?).into_response());
    }
    let endpoint = {
        let names = Arc::clone(&app.names);
        let work = async move {
            let connected = controller.connect(&name, request).await;
            names.settled().await;
            connected
        };
        app.act(Operation::Attach, work).await?
    };
    Ok((StatusCode::CREATED, Json(app.endpoint(&endpoint))).into_response())
}

/// Cuts a sandbox off from a network.
#[utoipa::path(
    post, path = "/sandboxes/{sandbox}/disconnect", tag = "sandboxes", request_body = DisconnectFrom,
    params(("sandbox" = String, Path, description = "id, name, or beginning of an id")),
    responses((status = 204), (status = "default", body = Message)),
)]
async fn disconnect(
    State(app): State<App>,
    Name(name): Name,
    Body(body): Body<DisconnectFrom>,
) -> Result<StatusCode, Refusal> {
    let network = body.read()?;
    let controller = app.controller.clone();
    app.act(Operation::Detach, async move { controller.disconnect(&name, &network).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn with_endpoints(app: &App, sandbox: &trestle_core::sandbox::Sandbox) -> Sandbox {
    let endpoints = app.controller.endpoints_in(sandbox.id);
    Sandbox::new(
        sandbox,
        endpoints.iter().map(|endpoint| app.endpoint(endpoint)).collect(),
        app.names.files(sandbox.id),
    )
}

/// Sandboxes with their endpoints, which are asked for once.
fn shown(app: &App, sandboxes: &[Arc<trestle_core::sandbox::Sandbox>]) -> Vec<Sandbox> {
    let mut inside = std::collections::HashMap::<_, Vec<Endpoint>>::new();
    for endpoint in app.controller.endpoints() {
        if let Some(sandbox) = endpoint.state.sandbox() {
            inside.entry(sandbox).or_default().push(app.endpoint(&endpoint));
        }
    }
    sandboxes
        .iter()
        .map(|it| Sandbox::new(it, inside.remove(&it.id).unwrap_or_default(), app.names.files(it.id)))
        .collect()
}
