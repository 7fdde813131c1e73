//! `/cnm/v1/endpoints`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::error::{Refusal, UNSUPPORTED};
use super::extract::{Body, Name, Query};
use super::model::Message;
use super::model::endpoint::{Calls, Endpoint, JoinSandbox, NewEndpoint, PortList, Published};
use crate::metrics::Operation;

/// Every path of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(inspect, remove))
        .routes(routes!(publish))
        .routes(routes!(unpublish))
        .routes(routes!(join))
        .routes(routes!(leave))
        .routes(routes!(call))
}

/// How an endpoint is deleted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Removal {
    /// Whether an attached one is detached first.
    #[serde(default)]
    pub force: bool,
}

/// Every endpoint.
#[utoipa::path(get, path = "/endpoints", tag = "endpoints", responses((status = 200, body = Vec<Endpoint>)))]
async fn list(State(app): State<App>) -> Json<Vec<Endpoint>> {
    Json(app.controller.endpoints().iter().map(|endpoint| app.endpoint(endpoint)).collect())
}

/// Reserves a place on a network; it lives until it is deleted.
#[utoipa::path(
    post, path = "/endpoints", tag = "endpoints", request_body = NewEndpoint,
    responses((status = 201, body = Endpoint), (status = 501, description = UNSUPPORTED, body = Message), (status = "default", body = Message)),
)]
async fn create(
    State(app): State<App>,
    Body(body): Body<NewEndpoint>,
) -> Result<(StatusCode, Json<Endpoint>), Refusal> {
    let request = body.read()?;
    let controller = app.controller.clone();
    let work = async move { controller.create_endpoint(request).await };
    let endpoint = app.act(Operation::CreateEndpoint, work).await?;
    Ok((StatusCode::CREATED, Json(app.endpoint(&endpoint))))
}

/// An endpoint.
#[utoipa::path(
    get, path = "/endpoints/{endpoint}", tag = "endpoints",
    params(("endpoint" = String, Path, description = "id, name, network/name (the slash as %2F), or beginning of an id")),
    responses((status = 200, body = Endpoint), (status = "default", body = Message)),
)]
async fn inspect(State(app): State<App>, Name(name): Name) -> Result<Json<Endpoint>, Refusal> {
    Ok(Json(app.endpoint(&app.controller.endpoint(&name)?)))
}

/// Deletes an endpoint.
#[utoipa::path(
    delete, path = "/endpoints/{endpoint}", tag = "endpoints",
    params(("endpoint" = String, Path, description = "id, name, network/name (the slash as %2F), or beginning of an id"), Removal),
    responses((status = 204), (status = "default", body = Message)),
)]
async fn remove(
    State(app): State<App>,
    Name(name): Name,
    Query(removal): Query<Removal>,
) -> Result<StatusCode, Refusal> {
    let controller = app.controller.clone();
    let work = async move { controller.delete_endpoint(&name, removal.force).await };
    app.act(Operation::DeleteEndpoint, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Publishes more ports; the answer is all that are published then.
#[utoipa::path(
    post, path = "/endpoints/{endpoint}/publish", tag = "endpoints", request_body = PortList,
    params(("endpoint" = String, Path, description = "id, name, network/name (the slash as %2F), or beginning of an id")),
    responses((status = 200, body = Published), (status = 501, description = UNSUPPORTED, body = Message), (status = "default", body = Message)),
)]
async fn publish(
    State(app): State<App>,
    Name(name): Name,
    Body(body): Body<PortList>,
) -> Result<Json<Published>, Refusal> {
    let ports = body.read_requests()?;
    let controller = app.controller.clone();
    let work = async move { controller.publish(&name, ports).await };
    Ok(Json(app.act(Operation::Publish, work).await?.into()))
}

/// Takes published ports back, as `80/tcp` or `8080:80/tcp`; the answer is all that are published then.
#[utoipa::path(
    post, path = "/endpoints/{endpoint}/unpublish", tag = "endpoints", request_body = PortList,
    params(("endpoint" = String, Path, description = "id, name, network/name (the slash as %2F), or beginning of an id")),
    responses((status = 200, body = Published), (status = "default", body = Message)),
)]
async fn unpublish(
    State(app): State<App>,
    Name(name): Name,
    Body(body): Body<PortList>,
) -> Result<Json<Published>, Refusal> {
    let ports = body.read_requests()?;
    let controller = app.controller.clone();
    let work = async move { controller.unpublish(&name, ports).await };
    Ok(Json(app.act(Operation::Unpublish, work).await?.into()))
}

/// Attaches a reserved endpoint to a sandbox.
#[utoipa::path(
    post, path = "/endpoints/{endpoint}/join", tag = "endpoints", request_body = JoinSandbox,
    params(("endpoint" = String, Path, description = "id, name, network/name (the slash as %2F), or beginning of an id")),
    responses((status = 200, body = Endpoint), (status = 501, description = UNSUPPORTED, body = Message), (status = "default", body = Message)),
)]
async fn join(
    State(app): State<App>,
    Name(name): Name,
    Body(body): Body<JoinSandbox>,
) -> Result<Json<Endpoint>, Refusal> {
    let sandbox = body.read()?;
    let controller = app.controller.clone();
    let endpoint = app
        .act(Operation::Attach, {
            let names = std::sync::Arc::clone(&app.names);
            async move {
                let joined = controller.join(&name, &sandbox).await;
                names.settled().await;
                joined
            }
        })
        .await?;
    Ok(Json(app.endpoint(&endpoint)))
}

/// Cuts an endpoint off from its sandbox.
#[utoipa::path(
    post, path = "/endpoints/{endpoint}/leave", tag = "endpoints",
    params(("endpoint" = String, Path, description = "id, name, network/name (the slash as %2F), or beginning of an id")),
    responses((status = 204), (status = "default", body = Message)),
)]
async fn leave(State(app): State<App>, Name(name): Name) -> Result<StatusCode, Refusal> {
    let controller = app.controller.clone();
    app.act(Operation::Detach, async move { controller.leave(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Calls an endpoint, and those that it links to, by other names from now on. Its traffic goes on.
#[utoipa::path(
    post, path = "/endpoints/{endpoint}/names", tag = "endpoints", request_body = Calls,
    params(("endpoint" = String, Path, description = "id, name, network/name (the slash as %2F), or beginning of an id")),
    responses((status = 200, body = Endpoint), (status = "default", body = Message)),
)]
async fn call(State(app): State<App>, Name(name): Name, Body(body): Body<Calls>) -> Result<Json<Endpoint>, Refusal> {
    let called = body.read()?;
    let (controller, names) = (app.controller.clone(), std::sync::Arc::clone(&app.names));
    let work = async move {
        let endpoint = controller.call(&name, called).await;
        names.settled().await;
        endpoint
    };
    Ok(Json(app.endpoint(&app.act(Operation::Call, work).await?)))
}
