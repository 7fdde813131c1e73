//! HTTP. One table makes the router and the OpenAPI document, so that neither can know a path that the other doesn't.
//!
//! | to find | look in |
//! |---|---|
//! | what is sent and answered | [`model`] |
//! | how a request is read, and refused | [`extract`], [`error`] |
//! | what browsers are refused, and what no operation takes | `browser`, `document` |
//! | how work is done for a caller who may hang up | [`app`] |
//! | the paths | [`networks`], [`endpoints`], [`sandboxes`], [`events`], [`system`] |

pub mod app;
pub(crate) mod browser;
mod document;
pub mod endpoints;
pub mod error;
pub mod events;
pub mod extract;
pub mod model;
pub mod networks;
pub mod sandboxes;
pub mod system;
pub(crate) mod unending;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, body::Bytes};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use app::App;
use document::Taken;
use error::Refusal;

/// Where our own API begins.
pub const ROOT: &str = "/cnm/v1";

/// Whether a path is one of this API's; the others are Docker's.
pub fn is_ours(path: &str) -> bool {
    path == METRICS || path.starts_with("/cnm/") || path == "/cnm"
}

/// Where Prometheus looks for what is counted.
const METRICS: &str = "/metrics";

/// Where its document is found.
pub const DOCUMENT: &str = "/cnm/v1/openapi.json";

#[derive(OpenApi)]
#[openapi(info(
    title = "Trestle",
    description = "Container networks: networks, endpoints and sandboxes. Every refusal is `{\"message\": …}`: 400 for a \
        wrong field, which it names; 403 for what an object's rules forbid, and for what a page of another site asks; 404 for what is not there; 408 for \
        a body that does not come; 409 for what is in the way, or used up; 413 for a body that is too large, and 415 for one \
        that is not JSON; 501 for what this kernel or version can't do; 503 for what may work later.",
))]
struct Document;

/// The router, and the document that describes it.
pub fn router(app: App) -> (Router, utoipa::openapi::OpenApi) {
    let ours = OpenApiRouter::new()
        .merge(networks::routes())
        .merge(endpoints::routes())
        .merge(sandboxes::routes())
        .merge(events::routes())
        .merge(system::routes());
    let all = OpenApiRouter::with_openapi(Document::openapi()).nest(ROOT, ours).merge(system::root_routes());
    let (router, document) = all.split_for_parts();
    // Its text is made once. A document that can't be written would be a defect, told to whoever asks for it.
    let text = document.to_json().map(Bytes::from).map_err(|error| error.to_string());
    let serve = move || async move {
        let failed = |why| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("writing the document: {why}"));
        text.map(|text| ([(CONTENT_TYPE, "application/json")], text)).map_err(failed)
    };
    let router = router
        .route(DOCUMENT, get(serve))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(Arc::new(Taken::of(&document)), guard))
        .with_state(app);
    (router, document)
}

/// Lets a request through, or refuses it before anybody reads it.
async fn guard(State(taken): State<Arc<Taken>>, mut request: Request, next: Next) -> Result<Response, Refusal> {
    browser::check(&request)?;
    taken.check(&mut request).await?;
    Ok(next.run(request).await)
}

async fn unknown_path(method: Method, uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("{method} {}: there is no such path; see {DOCUMENT}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let message = format!("{method} {}: the path does not take this method; see {DOCUMENT}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message)
}
