//! `GET /containers/{name}/json`.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use trestle_engine::container::Containers;
use trestle_engine::container::config::go::{NEVER, time};
use trestle_engine::container::record::{LogDriver, MountPoint, MountPointKind, Record};
use trestle_engine::container::state::State as Stands;

use super::found;
use crate::docker::app::App;
use crate::docker::error::Refusal;

pub(super) async fn inspect(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    let (containers, container) = found(&app, &name)?;
    Ok(Json(told(&containers, &container.record())))
}

fn told(containers: &Containers, record: &Record) -> Value {
    let command = record.command();
    let (program, arguments) = command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let log = match record.log_driver {
        LogDriver::JsonFile => containers.log_path(record.id).display().to_string(),
        LogDriver::None => String::new(),
    };
    let execs: Vec<String> = containers.execs().of(record.id).iter().map(ToString::to_string).collect();
    json!({
        "Id": record.id.to_string(),
        "Created": time(record.created),
        "Path": program,
        "Args": arguments,
        "State": state(record),
        "Image": record.image,
        "ResolvConfPath": containers.file(record.id, "resolv.conf"),
        "HostnamePath": containers.file(record.id, "hostname"),
        "HostsPath": containers.file(record.id, "hosts"),
        "LogPath": log,
        "Name": format!("/{}", record.name),
        "RestartCount": record.restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": if execs.is_empty() { Value::Null } else { json!(execs) },
        "HostConfig": record.host_config,
        "GraphDriver": { "Name": "overlay2", "Data": null },
        "Mounts": record.mounts.iter().map(mount).collect::<Vec<_>>(),
        "Config": record.config,
        "NetworkSettings": { "SandboxID": "", "SandboxKey": "", "Ports": {}, "Networks": {} },
    })
}

fn state(record: &Record) -> Value {
    let state = &record.state;
    let run = state.run();
    let ended = state.ended();
    let started = run.map(|run| run.started_at).or(ended.map(|ended| ended.started_at));
    json!({
        "Status": state.word(),
        "Running": state.is_running(),
        "Paused": run.is_some_and(|run| run.paused),
        "Restarting": matches!(state, Stands::Restarting(_)),
        "OOMKilled": ended.is_some_and(|ended| ended.oom_killed),
        "Dead": false,
        "Pid": run.map_or(0, |run| run.pid),
        "ExitCode": state.exit_code(),
        "Error": state.error(),
        "StartedAt": started.map_or_else(|| NEVER.to_owned(), time),
        "FinishedAt": ended.map_or_else(|| NEVER.to_owned(), |ended| time(ended.finished_at)),
    })
}

/// Something that is mounted, as inspect and list tell it.
pub(super) fn mount(point: &MountPoint) -> Value {
    let mut told = json!({
        "Type": "bind",
        "Source": point.source,
        "Destination": point.destination,
        "Mode": point.mode,
        "RW": !point.read_only,
        "Propagation": point.propagation,
    });
    match &point.kind {
        MountPointKind::Bind => {}
        MountPointKind::Volume { name, .. } => {
            (told["Type"], told["Name"], told["Driver"]) = ("volume".into(), name.as_str().into(), "local".into());
        }
        MountPointKind::Tmpfs { .. } => (told["Type"], told["Source"]) = ("tmpfs".into(), "".into()),
    }
    told
}
