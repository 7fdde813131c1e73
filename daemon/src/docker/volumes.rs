//! `/volumes`: folders that outlive the containers that have them.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use trestle_engine::event::Noun;
use trestle_engine::volume::{Asked, Volume};

use super::app::App;
use super::body::MaybeJson;
use super::error::Refusal;
use super::query::Query;
use super::timestamp;
use super::version::ApiVersion;

/// Every path of this file.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/volumes", get(list))
        .route("/volumes/create", post(create))
        .route("/volumes/prune", post(prune))
        .route("/volumes/{name}", get(inspect).delete(remove))
}

/// A volume as it is asked for. Nothing, null and empty are the same, but for labels and options: Docker tells again
/// which of these it was.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wanted {
    name: Option<String>,
    driver: Option<String>,
    driver_opts: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    cluster_volume_spec: Option<Value>,
}

async fn create(
    State(app): State<App>,
    MaybeJson(wanted): MaybeJson<Wanted>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let wanted = wanted.unwrap_or_default();
    if wanted.cluster_volume_spec.is_some() {
        return Err(Refusal::absent("this daemon takes no part in swarms, and has no cluster volumes"));
    }
    let asked = Asked {
        name: wanted.name,
        driver: wanted.driver.unwrap_or_default(),
        labels: wanted.labels,
        options: wanted.driver_opts,
    };
    let volumes = app.engine.volumes().clone();
    let (volume, is_new) = app.act_blocking(move || volumes.create(asked)).await?;
    if is_new {
        tell(&app, "create", &volume.name);
    }
    Ok((StatusCode::CREATED, Json(written(&volume))))
}

async fn list(State(app): State<App>, query: Query) -> Result<Json<Value>, Refusal> {
    let filters = query.filters(&["dangling", "driver", "label", "name"])?;
    let dangling = filters.flag("dangling")?;
    let fits = |volume: &Volume, holders: usize| {
        dangling.is_none_or(|wanted| wanted == (holders == 0))
            && filters.is("driver", &volume.driver)
            && filters.labels(volume.labels.as_ref().unwrap_or(&BTreeMap::new()))
            && filters.matches("name", &volume.name)
    };
    let volumes = app.engine.volumes().all();
    let shown = volumes.iter().filter(|(volume, holders)| fits(volume, *holders)).map(|(volume, _)| written(volume));
    Ok(Json(json!({"Volumes": shown.collect::<Vec<_>>(), "Warnings": null})))
}

async fn inspect(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    Ok(Json(written(&app.engine.volumes().find(&name)?)))
}

async fn remove(State(app): State<App>, Path(name): Path<String>, query: Query) -> Result<StatusCode, Refusal> {
    let (volumes, force) = (app.engine.volumes().clone(), query.flag("force"));
    let asked = name.clone();
    if app.act_blocking(move || volumes.remove(&asked, force)).await? {
        tell(&app, "destroy", &name);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Until 1.41 all went that no container has; since then only those without a name, unless all are asked for.
async fn prune(State(app): State<App>, query: Query, spoken: ApiVersion) -> Result<Json<Value>, Refusal> {
    let filters = query.filters(&["label", "label!", "all"])?;
    let all = filters.flag("all")?.unwrap_or(!spoken.since(42));
    let volumes = app.engine.volumes().clone();
    let (names, reclaimed) = app
        .act_blocking(move || {
            volumes.prune(&|volume| {
                (all || volume.is_anonymous()) && filters.labels(volume.labels.as_ref().unwrap_or(&BTreeMap::new()))
            })
        })
        .await?;
    names.iter().for_each(|name| tell(&app, "destroy", name));
    app.engine.tell(Noun::Volume, "prune", "", [("reclaimed", reclaimed.to_string())]);
    Ok(Json(json!({"VolumesDeleted": names, "SpaceReclaimed": reclaimed})))
}

fn tell(app: &App, action: &str, name: &str) {
    app.engine.tell(Noun::Volume, action, name, [("driver", "local".to_owned())]);
}

/// A volume as Docker tells it.
pub fn written(volume: &Volume) -> Value {
    json!({
        "CreatedAt": timestamp::written(volume.created),
        "Driver": volume.driver,
        "Labels": volume.labels,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    })
}
