//! `/images/{name}/json` and `/history`: all about one image.

use std::time::SystemTime;

use axum::Json;
use serde_json::{Map, Value, json};
use trestle_engine::image::{Image, Known, Reference, RunConfig};

use crate::docker::app::App;
use crate::docker::error::Refusal;
use crate::docker::timestamp;
use crate::docker::version::ApiVersion;

/// A time that Go has never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn inspect(app: &App, asked: &str, spoken: ApiVersion) -> Result<Json<Value>, Refusal> {
    Ok(Json(told(&app.engine.images().inspect(asked)?, spoken)))
}

fn told(known: &Known, spoken: ApiVersion) -> Value {
    let (image, names) =
        (&known.image, |names: &[Reference]| names.iter().map(Reference::familiar).collect::<Vec<_>>());
    let configuration = &image.configuration;
    let created = if configuration.created.is_empty() { NEVER } else { &configuration.created };
    let mut told = json!({
        "Id": image.id,
        "RepoTags": names(&known.tags),
        "RepoDigests": names(&known.digests),
        "Parent": known.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        "Comment": configuration.comment,
        "Created": created,
        "DockerVersion": configuration.docker_version,
        "Author": configuration.author,
        "Config": run_config(&configuration.config, spoken),
        "Architecture": configuration.architecture,
        "Os": configuration.os,
        "Size": image.size(),
        "GraphDriver": {"Name": "overlay2", "Data": layers(image)},
        "RootFS": {"Type": "layers", "Layers": configuration.rootfs.diff_ids},
        "Metadata": {"LastTagTime": known.tagged.map_or_else(|| NEVER.into(), timestamp::written)},
    });
    if !configuration.variant.is_empty() {
        told["Variant"] = json!(configuration.variant);
    }
    if !spoken.since(44) {
        told["VirtualSize"] = json!(image.size());
    }
    if !spoken.since(45) {
        told["Container"] = json!(configuration.container);
        told["ContainerConfig"] = run_config(&RunConfig::default(), spoken);
    }
    told
}

/// Until 1.49, Docker told all fields that the configuration of a container has, set or not.
fn run_config(config: &RunConfig, spoken: ApiVersion) -> Value {
    let known = serde_json::to_value(config).unwrap_or_default();
    if spoken.since(50) {
        return known;
    }
    let mut all = json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
        "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null, "Cmd": null,
        "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": null,
    });
    if let (Value::Object(all), Value::Object(known)) = (&mut all, known) {
        all.extend(known);
    }
    all
}

/// The folders of its layers, the highest first, as overlayfs is told them.
fn layers(image: &Image) -> Value {
    let mut folders: Vec<_> = image.layers.iter().rev().map(|folder| folder.display().to_string()).collect();
    let mut data = Map::new();
    if !folders.is_empty() {
        data.insert("UpperDir".into(), folders.remove(0).into());
    }
    if !folders.is_empty() {
        data.insert("LowerDir".into(), folders.join(":").into());
    }
    Value::Object(data)
}

pub(super) fn history(app: &App, asked: &str) -> Result<Json<Value>, Refusal> {
    let known = app.engine.images().inspect(asked)?;
    let rows = known.image.history().into_iter().enumerate().map(|(number, (step, size))| {
        let is_top = number == 0;
        let tags: Option<Vec<_>> =
            (is_top && !known.tags.is_empty()).then(|| known.tags.iter().map(Reference::familiar).collect());
        let created = step.made().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        json!({
            "Id": if is_top { known.image.id.to_string() } else { "<missing>".into() },
            "Created": created.map_or(0, |created| created.as_secs()),
            "CreatedBy": step.created_by,
            "Tags": tags,
            "Size": size,
            "Comment": step.comment,
        })
    });
    Ok(Json(rows.collect()))
}
