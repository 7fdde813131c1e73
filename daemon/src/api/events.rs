//! `/cnm/v1/events`: a line of JSON for each event, until one of the two sides ends it.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use trestle_core::event;

use super::app::App;
use super::error::Refusal;
use super::extract::Query;
use super::model::Message;
use super::model::event::{Event, EventFilter, Line, Wanted};
use crate::serve::{flow, told_to_stop};

/// Every path of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// How many lines wait for a slow reader before the broadcast's own buffer takes over.
const LINES_WAITING: usize = 64;

/// What happens from now on, a line of JSON each. A reader that is too slow is told how many events it missed.
#[utoipa::path(
    get, path = "/events", tag = "events", params(EventFilter),
    responses(
        (status = 200, content_type = "application/x-ndjson", body = Line),
        (status = "default", body = Message),
    ),
)]
async fn events(State(app): State<App>, Query(filter): Query<EventFilter>) -> Result<Response, Refusal> {
    let wanted = filter.read()?;
    let (sender, lines) = mpsc::channel(LINES_WAITING);
    tokio::spawn(forward(app.controller.events(), wanted, sender, app.stopping.clone()));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], flow(lines)).into_response())
}

/// Sends each wanted event on, until there are no more, nobody reads them, or the daemon stops.
async fn forward(
    mut events: broadcast::Receiver<event::Event>,
    wanted: Wanted,
    lines: mpsc::Sender<Bytes>,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = lines.closed() => return,
            () = told_to_stop(&mut stopping) => return,
        };
        let line = match event {
            Ok(event) if wanted.fits(&event) => Line::Event(Event::from(&event)),
            Ok(_) => continue,
            Err(RecvError::Lagged(lost)) => Line::Lost { lost },
            Err(RecvError::Closed) => return,
        };
        let mut text = match serde_json::to_vec(&line) {
            Ok(text) => text,
            Err(error) => return tracing::error!(%error, "an event can't be written"),
        };
        text.push(b'\n');
        let sent = tokio::select! {
            sent = lines.send(text.into()) => sent.is_ok(),
            () = told_to_stop(&mut stopping) => false,
        };
        if !sent {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::SystemTime;

    use trestle_core::event::{Action, Subject};

    use super::*;

    fn created(subject: Subject, name: &str) -> event::Event {
        let (id, name) = ("ab".repeat(32), name.to_owned());
        event::Event {
            at: SystemTime::UNIX_EPOCH,
            subject,
            action: Action::Create,
            id,
            name,
            attributes: BTreeMap::new(),
        }
    }

    #[tokio::test]
    async fn only_wanted_events_are_sent_and_lost_ones_are_told() {
        let (events, listener) = broadcast::channel(2);
        let (sender, mut lines) = mpsc::channel(8);
        let (_stop, stopping) = watch::channel(false);
        for (subject, name) in [(Subject::Network, "gone"), (Subject::Sandbox, "box"), (Subject::Network, "front")] {
            events.send(created(subject, name)).unwrap();
        }
        drop(events);
        let wanted = EventFilter { subject: Some("network".into()), ..EventFilter::default() }.read().unwrap();
        forward(listener, wanted, sender, stopping).await;
        assert_eq!(lines.recv().await.unwrap(), "{\"lost\":1}\n");
        let line: Line = serde_json::from_slice(&lines.recv().await.unwrap()).unwrap();
        assert_eq!(line, Line::Event(Event::from(&created(Subject::Network, "front"))));
        assert!(lines.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_stopping_daemon_ends_the_stream() {
        let (_events, listener) = broadcast::channel(2);
        let (sender, mut lines) = mpsc::channel(8);
        let (stop, stopping) = watch::channel(false);
        let wanted = EventFilter::default().read().unwrap();
        let task = tokio::spawn(forward(listener, wanted, sender, stopping));
        stop.send_replace(true);
        task.await.unwrap();
        assert!(lines.recv().await.is_none());
    }
}
