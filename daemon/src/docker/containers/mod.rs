//! Containers: `/containers/…`.
//!
//! | file | paths |
//! |---|---|
//! | `create` | making one |
//! | `act` | what is done with one: start, stop, kill, pause, rename, remove, resize, prune |
//! | `list`, `inspect`, `status` | what is told of them |
//! | `wait`, `logs`, `attach`, `top` | waiting for one, reading and hearing it, its processes |

mod act;
mod attach;
mod create;
mod inspect;
mod list;
mod logs;
mod status;
mod top;
mod wait;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};
use trestle_engine::container::Containers;
use trestle_engine::container::live::Container;

pub(super) use act::window;

use super::app::App;
use super::error::Refusal;

/// Every path of this room.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/containers/json", get(list::list))
        .route("/containers/create", post(create::create))
        .route("/containers/prune", post(act::prune))
        .route("/containers/{name}", delete(act::remove))
        .route("/containers/{name}/json", get(inspect::inspect))
        .route("/containers/{name}/start", post(act::start))
        .route("/containers/{name}/stop", post(act::stop))
        .route("/containers/{name}/restart", post(act::restart))
        .route("/containers/{name}/kill", post(act::kill))
        .route("/containers/{name}/pause", post(act::pause))
        .route("/containers/{name}/unpause", post(act::unpause))
        .route("/containers/{name}/rename", post(act::rename))
        .route("/containers/{name}/resize", post(act::resize))
        .route("/containers/{name}/wait", post(wait::wait))
        .route("/containers/{name}/logs", get(logs::logs))
        .route("/containers/{name}/attach", post(attach::attach))
        .route("/containers/{name}/top", get(top::top))
        .route("/containers/{name}/update", post(absent))
        .route("/containers/{name}/changes", get(absent))
        .route("/containers/{name}/stats", get(absent))
        .route("/containers/{name}/export", get(absent))
        .route("/containers/{name}/archive", get(absent).put(absent).head(absent))
        .route("/containers/{name}/attach/ws", get(absent))
        .route("/commit", post(absent))
}

/// What will be, and is not yet.
async fn absent() -> Refusal {
    Refusal::absent(
        "this daemon can't do this with a container yet; it creates, starts, stops, lists, inspects, attaches to, waits \
         for, runs commands in and removes containers",
    )
}

/// All containers, where this host can run any.
fn containers(app: &App) -> Result<Containers, Refusal> {
    Ok(app.engine.containers()?.clone())
}

/// All containers, and the one that is meant.
fn found(app: &App, name: &str) -> Result<(Containers, Arc<Container>), Refusal> {
    let containers = containers(app)?;
    let container = containers.find(name)?;
    Ok((containers, container))
}
