//! `POST /containers/{name}/wait`: the head of the answer is sent at once, so that the caller knows that he waits, and the
//! body when the container has ended.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::response::Response;
use serde_json::json;
use tokio::sync::mpsc;
use trestle_engine::container::wait::WaitFor;

use super::found;
use crate::docker::app::App;
use crate::docker::error::Refusal;
use crate::docker::query::Query;
use crate::docker::stream::pieces;

pub(super) async fn wait(State(app): State<App>, Path(name): Path<String>, query: Query) -> Result<Response, Refusal> {
    let (containers, container) = found(&app, &name)?;
    let what: WaitFor = query.text("condition").unwrap_or_default().parse()?;
    let exit = containers.wait(&container, what);
    let (send, body) = mpsc::channel(1);
    // It ends with the wait, or when nobody waits any more.
    drop(tokio::spawn(async move {
        tokio::select! {
            exit = exit => {
                let error = if exit.error.is_empty() { serde_json::Value::Null } else { json!({ "Message": exit.error }) };
                let mut told = json!({ "StatusCode": exit.code });
                if !error.is_null() {
                    told["Error"] = error;
                }
                // He may be gone by now.
                drop(send.send(Bytes::from(format!("{told}\n"))).await);
            }
            () = send.closed() => {}
        }
    }));
    Ok(pieces(HeaderValue::from_static("application/json"), body))
}
