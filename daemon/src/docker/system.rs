//! The daemon itself: `_ping`, `version`, `info`, `plugins`.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::app::App;
use super::version::ApiVersion;

/// Every path of this file.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/_ping", get(ping))
        .route("/version", get(version))
        .route("/info", get(info))
        .route("/plugins", get(plugins))
}

/// Whether it lives. Its head tells clients which version to speak, and which builder to use: the one of old, whose
/// request is refused with a sentence.
async fn ping() -> Response {
    let head = [
        (header::CACHE_CONTROL.as_str(), "no-cache, no-store, must-revalidate"),
        (header::PRAGMA.as_str(), "no-cache"),
        (header::CONTENT_TYPE.as_str(), "text/plain; charset=utf-8"),
        ("builder-version", "1"),
        ("swarm", "inactive"),
    ];
    (head, "OK").into_response()
}

/// Which daemon this is.
async fn version(State(app): State<App>, spoken: ApiVersion) -> Json<Value> {
    let about = &app.about;
    let (newest, oldest) = (ApiVersion::NEWEST.to_string(), ApiVersion::OLDEST.to_string());
    let architecture = architecture(&about.machine);
    let mut told = json!({
        "Version": about.version,
        "ApiVersion": newest,
        "MinAPIVersion": oldest,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": about.kernel,
        "BuildTime": "",
    });
    if spoken.since(35) {
        told["Platform"] = json!({"Name": "Trestle"});
        told["Components"] = json!([{
            "Name": "Engine",
            "Version": about.version,
            "Details": {
                "ApiVersion": newest,
                "MinAPIVersion": oldest,
                "Os": "linux",
                "Arch": architecture,
                "KernelVersion": about.kernel,
                "Experimental": "false",
            },
        }]);
    }
    Json(told)
}

/// The machine as Go calls it, and with it Docker's clients.
pub fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i686" | "i586" | "i386" => "386",
        "armv7l" | "armv6l" => "arm",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// What the daemon has and is.
async fn info(State(app): State<App>) -> Json<Value> {
    let about = &app.about;
    let mut drivers: Vec<String> = app.engine.controller().drivers().into_iter().map(|(name, _)| name).collect();
    drivers.sort();
    Json(json!({
        "Name": about.hostname,
        "ServerVersion": about.version,
        "OSType": "linux",
        "OperatingSystem": operating_system(),
        "Architecture": about.machine,
        "KernelVersion": about.kernel,
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "DockerRootDir": about.data_root,
        "Debug": about.debug,
        "ExperimentalBuild": false,
        "Plugins": {"Volume": ["local"], "Network": drivers, "Authorization": null, "Log": ["json-file", "none", "syslog"]},
        "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "", "RemoteManagers": null},
        "Labels": [],
        "Warnings": null,
    }))
}

/// The distribution's name for itself (os-release(5)).
fn operating_system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

/// Plugins that were installed from a registry: none ever are.
async fn plugins() -> Json<[(); 0]> {
    Json([])
}
