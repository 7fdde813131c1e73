//! `/images`: what containers are made from.

mod list;
mod look;
mod pull;
mod transfer;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use trestle_engine::event::Noun;
use trestle_engine::image::{ImageId, Reference, Removal, Removed};

use super::app::App;
use super::error::Refusal;
use super::query::Query;
use super::timestamp;
use super::version::ApiVersion;

pub use list::summary;

/// Every path of this room. Names of images have slashes in them: what is asked of one stands behind its last.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/images/json", get(list::list))
        .route("/images/search", get(no_search))
        .route("/images/get", get(transfer::save_many))
        .route("/images/load", post(transfer::load))
        .route("/images/create", post(transfer::create))
        .route("/images/prune", post(prune))
        .route("/images/{*rest}", get(get_one).post(post_one).delete(remove))
}

async fn no_search() -> Refusal {
    Refusal::absent("this daemon searches no registry: look at the registry's own page, and pull the image by its name")
}

async fn get_one(State(app): State<App>, Path(rest): Path<String>, spoken: ApiVersion) -> Result<Response, Refusal> {
    match rest.rsplit_once('/') {
        Some((name, "json")) => look::inspect(&app, name, spoken).map(IntoResponse::into_response),
        Some((name, "history")) => look::history(&app, name).map(IntoResponse::into_response),
        Some((name, "get")) => transfer::save(&app, vec![name.to_owned()]).await,
        _ => Err(super::unknown().await),
    }
}

async fn post_one(State(app): State<App>, Path(rest): Path<String>, query: Query) -> Result<StatusCode, Refusal> {
    match rest.rsplit_once('/') {
        Some((name, "tag")) => tag(&app, name.to_owned(), &query).await,
        Some((_, "push")) => Err(Refusal::absent(
            "this daemon pushes no images: write the image to an archive by \"docker save\", and push that with skopeo",
        )),
        _ => Err(super::unknown().await),
    }
}

async fn tag(app: &App, asked: String, query: &Query) -> Result<StatusCode, Refusal> {
    let repository = query.text("repo").unwrap_or_default();
    let name: Reference = repository.parse::<Reference>()?;
    let name = query.text("tag").map_or(Ok(name.clone()), |tag| name.tag_as(tag))?.tagged();
    let images = app.engine.images().clone();
    let told = name.familiar();
    let id = app.act_blocking(move || images.tag(&asked, &name)).await?;
    app.engine.tell(Noun::Image, "tag", id.to_string(), [("name", told)]);
    Ok(StatusCode::CREATED)
}

async fn remove(State(app): State<App>, Path(asked): Path<String>, query: Query) -> Result<Json<Value>, Refusal> {
    let how = Removal { force: query.flag("force"), parents: !query.flag("noprune") };
    let images = app.engine.images().clone();
    // Whoever holds an image is taken to run.
    let removed = app.act_blocking(move || images.remove(&asked, how, &|_container| true)).await?;
    tell(&app, &removed);
    Ok(Json(removed.iter().map(written).collect()))
}

async fn prune(State(app): State<App>, query: Query) -> Result<Json<Value>, Refusal> {
    let filters = query.filters(&["dangling", "label", "label!", "until"])?;
    let tagged = filters.flag("dangling")? == Some(false);
    let now = app.engine.clock().now();
    let until =
        filters.values("until").map(|text| timestamp::read("until", text, now)).collect::<Result<Vec<_>, _>>()?;
    if until.len() > 1 {
        return Err(Refusal::invalid("more than one until filter specified"));
    }
    let images = app.engine.images().clone();
    let pruned = app
        .act_blocking(move || {
            images.prune(tagged, &|known| {
                let old_enough =
                    |until: &std::time::SystemTime| known.image.created().is_some_and(|created| created < *until);
                until.iter().all(old_enough) && filters.labels(&known.image.configuration.config.labels)
            })
        })
        .await?;
    tell(&app, &pruned.removed);
    app.engine.tell(Noun::Image, "prune", "", [("reclaimed", pruned.reclaimed.to_string())]);
    // Go tells a list that nothing was put into as null.
    let removed: Option<Vec<_>> =
        Some(pruned.removed.iter().map(written).collect::<Vec<_>>()).filter(|removed| !removed.is_empty());
    Ok(Json(json!({"ImagesDeleted": removed, "SpaceReclaimed": pruned.reclaimed})))
}

fn written(removed: &Removed) -> Value {
    match removed {
        Removed::Untagged(name, _) => json!({"Untagged": name}),
        Removed::Image(digest) | Removed::Layer(digest) => json!({"Deleted": digest}),
    }
}

fn tell(app: &App, removed: &[Removed]) {
    let event =
        |action: &str, id: &ImageId| app.engine.tell(Noun::Image, action, id.to_string(), [("name", id.to_string())]);
    for gone in removed {
        match gone {
            Removed::Untagged(_, id) => event("untag", id),
            Removed::Image(id) => event("delete", id),
            Removed::Layer(_) => {}
        }
    }
}
