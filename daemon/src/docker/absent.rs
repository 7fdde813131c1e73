//! What Docker offers and this daemon does not: each path is refused with a sentence that tells what to do.

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{any, get, post};

use super::app::App;
use super::error::Refusal;

/// What swarm's paths tell where no swarm is. Tools know this sentence.
const NO_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
                          connect this node to swarm and try again.";

/// Paths that only a swarm's manager answers.
const SWARM: [&str; 7] = ["/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs", "/swarm/unlockkey"];

/// Every path of this file.
pub fn routes() -> Router<App> {
    let mut router = Router::new()
        .route("/swarm/leave", post(no_node))
        .route("/swarm/{verb}", post(no_swarm))
        .route("/build", post(no_build))
        .route("/build/{verb}", post(no_build))
        .route("/session", post(no_build))
        .route("/grpc", post(no_build))
        .route("/auth", post(no_login))
        .route("/distribution/{*rest}", get(no_distribution))
        .route("/plugins/{*rest}", get(no_plugin).post(no_plugins).delete(no_plugin));
    for path in SWARM {
        router = router.route(path, get(no_manager));
    }
    for noun in ["nodes", "services", "tasks", "secrets", "configs"] {
        router = router.route(&format!("/{noun}/{{*rest}}"), any(no_manager));
    }
    router
}

async fn no_manager() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, NO_MANAGER)
}

async fn no_node() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "This node is not part of a swarm")
}

async fn no_swarm() -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "this daemon takes no part in swarms; it runs containers of its own host",
    )
}

async fn no_build() -> Refusal {
    Refusal::absent(
        "this daemon builds no images: build with buildah or another builder, and bring the image in by \"docker load\" or \"docker pull\"",
    )
}

async fn no_login() -> Refusal {
    Refusal::absent(
        "this daemon checks no registry's passwords: they are sent with each pull, and the registry checks them then",
    )
}

async fn no_distribution() -> Refusal {
    Refusal::absent("this daemon tells nothing about images that it does not have: pull the image, and inspect it then")
}

async fn no_plugin(Path(rest): Path<String>) -> Refusal {
    let name = rest.strip_suffix("/json").unwrap_or(&rest);
    Refusal::not_found(format!("plugin \"{name}\" not found"))
}

async fn no_plugins() -> Refusal {
    Refusal::absent(
        "this daemon installs no plugins from registries: plugins are found by their files in /etc/docker/plugins, /usr/lib/docker/plugins and /run/docker/plugins",
    )
}
