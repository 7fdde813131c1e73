//! Work that tells how far it is: a piece of JSON each, as `docker load` and `docker pull` read them.

use std::future::Future;

use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use trestle_core::Result;
use trestle_engine::image::Progress;

use super::app::App;
use super::error::Refusal;
use super::stream;

/// How many pieces lie ready for the caller.
const AHEAD: usize = 16;

/// To whom work tells how far it is. It never waits.
pub type Teller = mpsc::UnboundedSender<Value>;

/// Does work that tells how far it is, and goes on whatever becomes of its caller. What fails before anything was told
/// has a status of its own; what fails later is told in the stream.
pub async fn answer<F>(app: &App, work: impl FnOnce(Teller) -> F) -> Result<Response, Refusal>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (tell, told) = mpsc::unbounded_channel();
    let (out, pieces) = mpsc::channel(AHEAD);
    let (begun, begins) = oneshot::channel();
    let (app, work) = (app.clone(), work(tell));
    let work = tokio::spawn(async move { app.act(work).await });
    drop(tokio::spawn(relay(told, work, out, begun)));
    match begins.await {
        Ok(Ok(())) => Ok(stream::pieces(HeaderValue::from_static("application/json"), pieces)),
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(trestle_core::Error::internal("the daemon has a defect; its log tells more").into()),
    }
}

async fn relay(
    mut told: mpsc::UnboundedReceiver<Value>,
    work: tokio::task::JoinHandle<Result<(), Refusal>>,
    out: mpsc::Sender<Bytes>,
    begun: oneshot::Sender<Result<(), Refusal>>,
) {
    let mut begun = Some(begun);
    while let Some(value) = told.recv().await {
        notify(&mut begun, Ok(()));
        send(&out, &value).await;
    }
    let result = work.await.unwrap_or_else(|error| Err(trestle_core::Error::internal(error.to_string()).into()));
    match result {
        Err(refusal) if begun.is_some() => notify(&mut begun, Err(refusal)),
        Err(refusal) => {
            let message = refusal.message;
            send(&out, &json!({"errorDetail": {"message": message}, "error": message})).await;
        }
        Ok(()) => notify(&mut begun, Ok(())),
    }
}

fn notify(begun: &mut Option<oneshot::Sender<Result<(), Refusal>>>, how: Result<(), Refusal>) {
    if begun.take().is_some_and(|begun| begun.send(how).is_err()) {
        tracing::debug!("nobody waits for an answer any more");
    }
}

async fn send(out: &mpsc::Sender<Bytes>, value: &Value) {
    if out.send(format!("{value}\r\n").into()).await.is_err() {
        tracing::trace!("nobody reads how far a work is any more");
    }
}

/// Progress as Docker writes it.
pub fn written(progress: &Progress) -> Option<Value> {
    match progress {
        Progress::Text(text) => Some(json!({"stream": text})),
        Progress::Image { .. } => None,
        Progress::State { part: None, state, .. } => Some(json!({"status": state})),
        Progress::State { part: Some(part), state, bytes: None } => {
            Some(json!({"status": state, "progressDetail": {}, "id": part}))
        }
        Progress::State { part: Some(part), state, bytes: Some((done, total)) } => {
            let mut detail = json!({"current": done});
            if let Some(total) = total {
                detail["total"] = json!(total);
            }
            Some(json!({"status": state, "progressDetail": detail, "id": part}))
        }
    }
}
