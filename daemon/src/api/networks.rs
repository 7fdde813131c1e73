//! `/cnm/v1/networks`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::error::{Refusal, UNSUPPORTED};
use super::extract::{Body, Name, Query};
use super::model::Message;
use super::model::network::{Network, NetworkDetails, NewNetwork};
use super::model::plan::{Drifts, Plan};
use crate::metrics::Operation;

/// Every path of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(inspect, remove))
        .routes(routes!(plan))
        .routes(routes!(verify))
}

/// How a request is to be done.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Manner {
    /// Whether nothing is to be done, and the answer to be the plan that would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// Every network.
#[utoipa::path(get, path = "/networks", tag = "networks", responses((status = 200, body = Vec<Network>)))]
async fn list(State(app): State<App>) -> Json<Vec<Network>> {
    Json(app.controller.networks().iter().map(|network| Network::from(&**network)).collect())
}

/// Creates a network, or tells its plan.
#[utoipa::path(
    post, path = "/networks", tag = "networks", params(Manner), request_body = NewNetwork,
    responses(
        (status = 201, body = Network), (status = 200, description = "dry run", body = Plan),
        (status = 501, description = UNSUPPORTED, body = Message), (status = "default", body = Message),
    ),
)]
async fn create(
    State(app): State<App>,
    Query(manner): Query<Manner>,
    Body(body): Body<NewNetwork>,
) -> Result<Response, Refusal> {
    let request = app.with_defaults(body.read()?);
    let controller = app.controller.clone();
    if manner.dry_run {
        let (_, plan) = app.act(Operation::Plan, async move { controller.plan_network(request).await }).await?;
        return Ok(Json(app.plan(&plan)?).into_response());
    }
    let work = async move { controller.create_network(request).await };
    let network = app.act(Operation::CreateNetwork, work).await?;
    Ok((StatusCode::CREATED, Json(Network::from(&network))).into_response())
}

/// A network with its endpoints.
#[utoipa::path(
    get, path = "/networks/{network}", tag = "networks",
    params(("network" = String, Path, description = "id, name, or beginning of an id")),
    responses((status = 200, body = NetworkDetails), (status = "default", body = Message)),
)]
async fn inspect(State(app): State<App>, Name(name): Name) -> Result<Json<NetworkDetails>, Refusal> {
    let network = app.controller.network(&name)?;
    let endpoints = app.controller.endpoints();
    let endpoints = endpoints.iter().filter(|endpoint| endpoint.network == network.id);
    let endpoints = endpoints.map(|endpoint| app.endpoint(endpoint)).collect();
    Ok(Json(NetworkDetails { network: Network::from(&network), endpoints }))
}

/// Deletes a network that no endpoint is on.
#[utoipa::path(
    delete, path = "/networks/{network}", tag = "networks",
    params(("network" = String, Path, description = "id, name, or beginning of an id")),
    responses((status = 204), (status = "default", body = Message)),
)]
async fn remove(State(app): State<App>, Name(name): Name) -> Result<StatusCode, Refusal> {
    let controller = app.controller.clone();
    app.act(Operation::DeleteNetwork, async move { controller.delete_network(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is in the kernel because of a network and of all that is attached to it.
#[utoipa::path(
    get, path = "/networks/{network}/plan", tag = "networks",
    params(("network" = String, Path, description = "id, name, or beginning of an id")),
    responses((status = 200, body = Plan), (status = "default", body = Message)),
)]
async fn plan(State(app): State<App>, Name(name): Name) -> Result<Json<Plan>, Refusal> {
    Ok(Json(app.plan(&app.controller.whole_plan(&name)?)?))
}

/// What of a network is not as its plan says.
#[utoipa::path(
    get, path = "/networks/{network}/verify", tag = "networks",
    params(("network" = String, Path, description = "id, name, or beginning of an id")),
    responses((status = 200, body = Drifts), (status = "default", body = Message)),
)]
async fn verify(State(app): State<App>, Name(name): Name) -> Result<Json<Drifts>, Refusal> {
    let controller = app.controller.clone();
    let work = async move { controller.verify_network(&name).await };
    Ok(Json(app.act(Operation::Verify, work).await?.into()))
}
