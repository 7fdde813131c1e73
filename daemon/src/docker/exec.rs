//! Processes in containers: `/containers/{name}/exec` and `/exec/…`.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use trestle_engine::attach::{Talk, talk};
use trestle_engine::exec::{Exec, ExecRequest, ExecState, StartRequest};

use super::app::App;
use super::body::read;
use super::containers::window;
use super::error::Refusal;
use super::query::Query;
use super::stream::{Framing, takeover};
use super::version::ApiVersion;

/// Every path of this file.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/containers/{name}/exec", post(create))
        .route("/exec/{id}/start", post(start))
        .route("/exec/{id}/json", get(inspect))
        .route("/exec/{id}/resize", post(resize))
}

async fn create(
    State(app): State<App>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let containers = app.engine.containers()?;
    let container = containers.find(&name)?;
    let request: ExecRequest = read(&body)?;
    let exec = containers.create_exec(&container, request)?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": exec.id.to_string() }))))
}

/// How a process is started, in Docker's letter.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Start {
    detach: Option<bool>,
    tty: Option<bool>,
    console_size: Option<[u16; 2]>,
}

async fn start(
    State(app): State<App>,
    Path(id): Path<String>,
    version: ApiVersion,
    heads: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let containers = app.engine.containers()?.clone();
    let exec = containers.execs().find(&id)?;
    let asked: Start = if body.is_empty() { Start::default() } else { read(&body)? };
    if exec.state() != ExecState::Created {
        return Err(Refusal::new(StatusCode::CONFLICT, format!("exec command {id} has already run")));
    }
    containers.run_for_exec(&exec)?;
    let tty = asked.tty.unwrap_or(false) || exec.request.tty;
    let request = StartRequest { detach: asked.detach.unwrap_or(false), tty, console_size: asked.console_size };
    if request.detach {
        app.act(async move { containers.start_exec(&exec, request).await }).await?;
        return Ok(StatusCode::OK.into_response());
    }
    let talking = Talk {
        stdin: exec.request.attach_stdin,
        stdout: exec.request.attach_stdout,
        stderr: exec.request.attach_stderr,
        tty,
        keys: exec.request.detach_keys.parse()?,
    };
    let framing = if tty { Framing::Raw } else { Framing::Multiplexed };
    Ok(takeover(&heads, framing.content_type(version), move |mut caller| async move {
        let began = app.act({
            let (containers, exec) = (containers.clone(), exec.clone());
            async move { containers.start_exec(&exec, request).await }
        });
        match began.await.map(|began| began.socket) {
            Ok(Some(socket)) => {
                if let Err(error) = talk(caller, &socket, &talking).await {
                    tracing::warn!(%error, exec = %exec.id, "a caller lost his process");
                }
            }
            Ok(None) => {}
            // The head of the answer is sent: what went wrong is told as if it was printed, as Docker does.
            Err(refusal) => {
                let told = Bytes::from(format!("{}\r\n", refusal.message));
                let stream = trestle_engine::logs::Stream::Err;
                let told = if tty { told } else { trestle_engine::attach::framed(stream, &told) };
                // He may be gone by now.
                drop(caller.write_all(&told).await);
            }
        }
    }))
}

async fn inspect(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let exec = app.engine.containers()?.execs().find(&id)?;
    Ok(Json(told(&exec)))
}

fn told(exec: &Exec) -> Value {
    let request = &exec.request;
    let (program, arguments) = request.cmd.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let (running, pid, code) = match exec.state() {
        ExecState::Created => (false, 0, Value::Null),
        ExecState::Starting => (true, 0, Value::Null),
        ExecState::Running { pid } => (true, pid, Value::Null),
        ExecState::Exited { code } => (false, 0, code.into()),
    };
    json!({
        "ID": exec.id.to_string(),
        "Running": running,
        "ExitCode": code,
        "ProcessConfig": {
            "tty": request.tty, "entrypoint": program, "arguments": arguments,
            "privileged": request.privileged, "user": request.user,
        },
        "OpenStdin": request.attach_stdin,
        "OpenStderr": request.attach_stderr,
        "OpenStdout": request.attach_stdout,
        "CanRemove": false,
        "ContainerID": exec.container.id.to_string(),
        "DetachKeys": "",
        "Pid": pid,
    })
}

async fn resize(State(app): State<App>, Path(id): Path<String>, query: Query) -> Result<StatusCode, Refusal> {
    let containers = app.engine.containers()?;
    let exec = containers.execs().find(&id)?;
    let (height, width) = window(&query)?;
    containers.resize_exec(&exec, height, width)?;
    Ok(StatusCode::OK)
}
