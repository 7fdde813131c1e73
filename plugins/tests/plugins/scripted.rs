//! A plugin that does on its socket what a test tells it to, whatever HTTP says to that.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::AbortHandle;

/// A call as it came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The method, without the slash.
    pub(crate) method: String,
    /// The headers, one a line, in small letters.
    pub(crate) headers: String,
    /// The body.
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What the plugin does when it is called.
pub(crate) enum Reaction {
    /// Sends an answer of status 200 with this body, and keeps the connection.
    Say(String),
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Sends nothing and keeps the connection.
    Hang,
    /// Sends these bytes and keeps the connection.
    Stall(Vec<u8>),
    /// Waits until this is notified, then sends the body.
    After(Arc<tokio::sync::Notify>, String),
}

/// The plugin; ends with this value.
pub(crate) struct Scripted {
    heard: Arc<Mutex<Vec<Heard>>>,
    task: AbortHandle,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    /// Listens at the path; the script is told how many calls there were before.
    pub(crate) fn at(path: &Path, script: impl Fn(usize, &Heard) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&heard), Arc::new(script));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&script)));
            }
        });
        Self { heard, task: task.abort_handle() }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// The methods that were called, in order.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.method).collect()
    }
}

/// Answers on one connection.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    log: Arc<Mutex<Vec<Heard>>>,
    script: Arc<impl Fn(usize, &Heard) -> Reaction>,
) {
    while let Some(heard) = hear(&mut stream).await {
        let before = {
            let mut log = log.lock().unwrap();
            log.push(heard.clone());
            log.len() - 1
        };
        let body = match script(before, &heard) {
            Reaction::Say(body) => body,
            Reaction::After(signal, body) => {
                signal.notified().await;
                body
            }
            Reaction::Raw(bytes) => {
                // The caller may have had enough and gone.
                stream.write_all(&bytes).await.ok();
                return;
            }
            Reaction::Hang => continue,
            Reaction::Stall(bytes) => {
                stream.write_all(&bytes).await.ok();
                continue;
            }
        };
        if stream.write_all(&status("200 OK", &body)).await.is_err() {
            return;
        }
    }
}

/// A whole answer.
pub(crate) fn status(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into()
}

async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> Option<Heard> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let (first, headers) = head.split_once("\r\n").unwrap();
    let headers = headers.replace("\r\n", "\n").to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    let method = first.strip_prefix("POST /").unwrap().strip_suffix(" HTTP/1.1").unwrap().to_owned();
    Some(Heard { method, headers, body: String::from_utf8(body).unwrap() })
}
