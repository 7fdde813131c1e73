//! `GET /containers/json`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use trestle_engine::container::Containers;
use trestle_engine::container::record::Record;

use super::inspect::mount;
use super::status::status;
use crate::docker::app::App;
use crate::docker::error::Refusal;
use crate::docker::filters::Filters;
use crate::docker::query::Query;

const FILTERS: [&str; 14] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
];

const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

pub(super) async fn list(State(app): State<App>, query: Query) -> Result<Json<Vec<Value>>, Refusal> {
    let containers = super::containers(&app)?;
    let filters = query.filters(&FILTERS)?;
    if let Some(key) = ["expose", "publish", "network"].into_iter().find(|key| filters.has(key)) {
        return Err(Refusal::absent(format!("this daemon can't filter containers by {key} yet")));
    }
    if query.flag("size") {
        return Err(Refusal::absent("this daemon can't tell the sizes of containers yet; leave --size out"));
    }
    if let Some(wrong) = filters.values("status").find(|it| !STATES.contains(it)) {
        return Err(Refusal::invalid(format!("invalid filter 'status={wrong}'")));
    }
    let codes = filters
        .values("exited")
        .map(|code| code.parse::<i32>().map_err(|_| Refusal::invalid(format!("invalid filter 'exited={code}'"))));
    let codes = codes.collect::<Result<Vec<_>, _>>()?;
    let limit = query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    // Who asks for some states, or the last few, means all of them.
    let all = query.flag("all") || filters.has("status") || !codes.is_empty() || limit.is_some();
    let bounds = Bounds::read(&containers, &filters)?;
    let now = app.engine.clock().now();
    let fits = |record: &Arc<Record>| {
        (all || record.state.is_running())
            && bounds.hold(record)
            && filters.is("status", record.state.word())
            && filters.matches("id", &record.id.to_string())
            && names(&filters, record)
            && filters.is("health", "none")
            && (codes.is_empty() || (record.state.word() == "exited" && codes.contains(&record.state.exit_code())))
            && (!filters.has("ancestor") || filters.values("ancestor").any(|it| is_of(record, it)))
            && filters.labels(&record.config.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let records = containers.list().into_iter().map(|it| it.record()).filter(fits);
    Ok(Json(
        records.take(limit.unwrap_or(usize::MAX)).map(|record| told(&record, status(&record.state, now))).collect(),
    ))
}

/// Names are looked at with the slash that Docker writes before them, and without.
fn names(filters: &Filters, record: &Record) -> bool {
    filters.matches("name", record.name.as_str()) || filters.matches("name", &format!("/{}", record.name))
}

/// Whether a container was made from an image, told by name or id.
fn is_of(record: &Record, image: &str) -> bool {
    let tagged = |name: &str| if name.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") };
    let id = record.image.strip_prefix("sha256:").unwrap_or(&record.image);
    tagged(&record.config.image) == tagged(image)
        || (!image.is_empty() && id.starts_with(image.strip_prefix("sha256:").unwrap_or(image)))
}

/// Containers that others are to be older or younger than.
struct Bounds {
    before: Option<std::time::SystemTime>,
    since: Option<std::time::SystemTime>,
}

impl Bounds {
    fn read(containers: &Containers, filters: &Filters) -> Result<Self, Refusal> {
        let one = |key: &str| {
            let found = filters.values(key).next().map(|name| containers.find(name)).transpose()?;
            Ok::<_, Refusal>(found.map(|it| it.record().created))
        };
        Ok(Self { before: one("before")?, since: one("since")? })
    }

    fn hold(&self, record: &Record) -> bool {
        self.before.is_none_or(|before| record.created < before)
            && self.since.is_none_or(|since| record.created > since)
    }
}

fn told(record: &Record, status: String) -> Value {
    let created = record.created.duration_since(std::time::SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mode = match record.host_config.network_mode.to_string() {
        mode if mode == "default" => "bridge".to_owned(),
        mode => mode,
    };
    json!({
        "Id": record.id.to_string(),
        "Names": [format!("/{}", record.name)],
        "Image": record.config.image,
        "ImageID": record.image,
        "Command": record.command().join(" "),
        "Created": created,
        "Ports": [],
        "Labels": record.config.labels,
        "State": record.state.word(),
        "Status": status,
        "HostConfig": { "NetworkMode": mode },
        "NetworkSettings": { "Networks": {} },
        "Mounts": record.mounts.iter().map(mount).collect::<Vec<_>>(),
    })
}
