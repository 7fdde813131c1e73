//! The Docker Engine API, on the same listeners as our own: what the `docker` command line, Docker's SDKs and compose ask.
//!
//! | to find | look in |
//! |---|---|
//! | which version is spoken | [`version`] |
//! | what every handler has at hand, and how work is done for a caller who may hang up | [`app`] |
//! | how a request is read: bodies, queries, filters, times | [`body`], [`query`], [`filters`], [`timestamp`] |
//! | how it is refused | [`error`] |
//! | answers that stream, and connections that are taken over | [`stream`] |
//! | archives that are sent, and work that tells how far it is | [`upload`], [`progress`] |
//! | the paths | [`system`], [`events`], [`containers`], [`exec`], [`networks`], [`images`], [`volumes`]; what is not offered: [`absent`] |
//!
//! A handler knows no more than to ask the engine and the controller.

pub mod absent;
pub mod app;
pub mod body;
pub mod containers;
pub mod error;
pub mod events;
pub mod exec;
pub mod filters;
pub mod images;
pub mod networks;
pub mod progress;
pub mod query;
pub mod stream;
pub mod system;
pub mod timestamp;
pub mod upload;
pub mod version;
pub mod volumes;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tower_service::Service;

use crate::api;
use app::App;
use error::Refusal;

/// Every path of Docker's, without the version before it.
fn router(app: App) -> Router {
    Router::new()
        .merge(system::routes())
        .merge(images::routes())
        .merge(volumes::routes())
        .merge(events::routes())
        .merge(networks::routes())
        .merge(containers::routes())
        .merge(exec::routes())
        .merge(absent::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(app)
}

/// Docker's API beside our own.
pub fn beside(ours: Router, app: App) -> Router {
    let docker = router(app);
    Router::new().fallback(move |request: Request| {
        let (ours, docker) = (ours.clone(), docker.clone());
        async move {
            match api::is_ours(request.uri().path()) {
                true => pass(ours, request).await,
                false => answer(docker, request).await,
            }
        }
    })
}

async fn pass(mut router: Router, request: Request) -> Response {
    match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Finds out which version is spoken, and asks the router.
async fn answer(docker: Router, mut request: Request) -> Response {
    let mut response = match api::browser::check(&request) {
        Err(refusal) => Refusal::from(refusal).into_response(),
        Ok(()) => match version::settle(&mut request) {
            Err(refusal) => refusal.into_response(),
            Ok(()) => pass(docker, request).await,
        },
    };
    version::sign(response.headers_mut());
    response
}

/// Docker has one answer for a path and for a method that it does not know.
async fn unknown() -> Refusal {
    Refusal::not_found("page not found")
}
