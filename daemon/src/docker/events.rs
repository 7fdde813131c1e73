//! `/events`: what happened since a time, and what happens until another; a piece of JSON each.

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};

use trestle_engine::event::{Event, Noun};

use super::app::App;
use super::error::Refusal;
use super::filters::Filters;
use super::query::Query;
use super::{stream, timestamp};
use crate::serve::told_to_stop;

/// Every path of this file.
pub fn routes() -> Router<App> {
    Router::new().route("/events", get(events))
}

/// What events are filtered by. Those of swarm's nouns are known, and match nothing.
const FILTERS: [&str; 14] = [
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
    "config",
];

/// How many pieces wait for a slow reader before the broadcast's own buffer takes over.
const PIECES_WAITING: usize = 64;

async fn events(State(app): State<App>, query: Query) -> Result<Response, Refusal> {
    let filters = query.filters(&FILTERS)?;
    let now = app.engine.clock().now();
    let time = |name| query.text(name).map(|text| timestamp::read(name, text, now)).transpose();
    let (since, until) = (time("since")?, time("until")?);
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(Refusal::invalid("`since` time cannot be after `until` time"));
    }
    let (past, live) = app.engine.events().listen();
    let wanted = Wanted { since, until, filters };
    let past = past.into_iter().filter(|event| since.is_some() && wanted.fits(event)).collect();
    let left = until.map(|until| until.duration_since(now).unwrap_or_default());
    let (sender, pieces) = mpsc::channel(PIECES_WAITING);
    tokio::spawn(forward(past, live, wanted, left, sender, app.stopping.clone()));
    Ok(stream::pieces(HeaderValue::from_static("application/json"), pieces))
}

struct Wanted {
    since: Option<SystemTime>,
    until: Option<SystemTime>,
    filters: Filters,
}

impl Wanted {
    fn fits(&self, event: &Event) -> bool {
        let in_time =
            self.since.is_none_or(|since| event.at >= since) && self.until.is_none_or(|until| event.at <= until);
        let verb = event.action.split(':').next().unwrap_or_default();
        in_time
            && (self.filters.is("event", &event.action) || self.filters.is("event", verb))
            && self.filters.is("type", &event.noun.to_string())
            && self.filters.is("scope", "local")
            && self.filters.labels(&event.attributes)
            && self.names(event)
    }

    /// Whether the thing is one that is named, by its id, its name, or the beginning of either.
    fn names(&self, event: &Event) -> bool {
        let name = event.attributes.get("name").map(String::as_str).unwrap_or_default();
        let begins = |wanted: &str| event.id.starts_with(wanted) || name.starts_with(wanted);
        let image = event.attributes.get("image").map(String::as_str).unwrap_or_default();
        let strangers = ["node", "plugin", "secret", "service", "config"];
        [Noun::Container, Noun::Network, Noun::Volume, Noun::Image, Noun::Daemon].iter().all(|noun| {
            let key = noun.to_string();
            let mut values = self.filters.values(&key).peekable();
            let of_image = |wanted: &str| *noun == Noun::Image && event.noun == Noun::Container && wanted == image;
            values.peek().is_none() || values.any(|it| (event.noun == *noun && begins(it)) || of_image(it))
        }) && !strangers.iter().any(|key| self.filters.has(key))
    }
}

/// Sends what is wanted, until there is no more, nobody reads it, its time is over, or the daemon stops.
async fn forward(
    past: Vec<Event>,
    mut live: broadcast::Receiver<Event>,
    wanted: Wanted,
    left: Option<Duration>,
    pieces: mpsc::Sender<Bytes>,
    mut stopping: watch::Receiver<bool>,
) {
    for event in &past {
        if pieces.send(written(event)).await.is_err() {
            return;
        }
    }
    let over = async {
        match left {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    };
    let sending = async {
        loop {
            match live.recv().await {
                Ok(event) if wanted.fits(&event) => {
                    if pieces.send(written(&event)).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "a listener was too slow for some events"),
                Err(RecvError::Closed) => return,
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = over => {}
        () = pieces.closed() => {}
        () = told_to_stop(&mut stopping) => {}
    }
}

/// An event as it is sent. What happened to containers and images is told in the words of old, too.
fn written(event: &Event) -> Bytes {
    let since_1970 = event.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut told: Value = json!({
        "Type": event.noun.to_string(),
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.attributes},
        "scope": "local",
        "time": since_1970.as_secs(),
        "timeNano": u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX),
    });
    if matches!(event.noun, Noun::Container | Noun::Image) {
        told["status"] = event.action.as_str().into();
        told["id"] = event.id.as_str().into();
        if let Some(image) = event.attributes.get("image") {
            told["from"] = image.as_str().into();
        }
    }
    format!("{told}\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(noun: Noun, action: &str, name: &str) -> Event {
        let attributes = [("name", name), ("image", "busybox"), ("color", "red")];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Event { at: SystemTime::UNIX_EPOCH, noun, action: action.into(), id: "0123abcd".into(), attributes }
    }

    #[test]
    fn every_key_is_a_question_of_its_own() {
        let web = event(Noun::Container, "exec_create: sh -c ls", "web");
        for (filters, fits) in [
            ("{}", true),
            (r#"{"type": ["container"], "event": ["exec_create"]}"#, true),
            (r#"{"event": ["exec_create: sh -c ls"]}"#, true),
            (r#"{"event": ["start"]}"#, false),
            (r#"{"type": ["network"]}"#, false),
            (r#"{"container": ["we"]}"#, true),
            (r#"{"container": ["0123"]}"#, true),
            (r#"{"container": ["db"]}"#, false),
            (r#"{"network": ["web"]}"#, false),
            (r#"{"image": ["busybox"]}"#, true),
            (r#"{"label": ["color=red"]}"#, true),
            (r#"{"label": ["color=blue"]}"#, false),
            (r#"{"node": ["web"]}"#, false),
            (r#"{"scope": ["swarm"]}"#, false),
        ] {
            let wanted = Wanted { since: None, until: None, filters: Filters::read(filters).unwrap() };
            assert_eq!(wanted.fits(&web), fits, "{filters}");
        }
    }

    #[test]
    fn an_event_is_told_in_the_words_of_old_too() {
        let told: Value = serde_json::from_slice(&written(&event(Noun::Container, "start", "web"))).unwrap();
        assert_eq!((&told["status"], &told["from"], &told["time"]), (&json!("start"), &json!("busybox"), &json!(0)));
        let told: Value = serde_json::from_slice(&written(&event(Noun::Network, "create", "front"))).unwrap();
        assert!(told.get("status").is_none() && told["Actor"]["Attributes"]["name"] == "front");
    }
}
