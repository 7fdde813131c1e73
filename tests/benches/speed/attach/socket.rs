//! Trestle as everybody else has it: `trestled`, asked over its socket on one connection that is kept.

use std::thread;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use trestle_tests::daemon::program;
use trestle_tests::host::Host;
use trestle_tests::process::Process;

use super::{Contestant, NETWORK, PORT};

/// A daemon, a connection to it, and the sandbox that it attached.
pub(crate) struct OverSocket {
    host: Host,
    /// One thread, so that a request and its answer change threads no more often than they must.
    runtime: Runtime,
    connection: Connection,
    attached: Option<String>,
    daemon: Process,
}

impl OverSocket {
    /// Starts the daemon as it starts by default, connects, and makes the network.
    pub(crate) fn new() -> Self {
        let host = Host::new("socket");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let mut command = std::process::Command::new(program("trestled"));
        command.arg("--data-root").arg(host.data_root()).arg("--exec-root").arg(host.exec_root());
        command.arg("--spare-sandboxes=0");
        let mut daemon = host.start(command, "trestled");
        let path = host.exec_root().join("trestle.sock");
        let connection = loop {
            match host.run(|| runtime.block_on(UnixStream::connect(&path))) {
                Ok(stream) => break runtime.block_on(Connection::new(stream)),
                Err(_) if daemon.is_running() => thread::sleep(Duration::from_millis(10)),
                Err(error) => panic!("{}: {error}. trestled printed:\n{}", path.display(), daemon.printed()),
            }
        };
        let mut over_socket = Self { host, runtime, connection, attached: None, daemon };
        over_socket.ask(Method::POST, "/cnm/v1/networks", &json!({ "name": NETWORK }));
        over_socket
    }

    /// The host that the daemon looks after.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The daemon's process.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// # Panics
    /// With the daemon's message, where it refuses.
    pub(crate) fn ask(&mut self, method: Method, path: &str, body: &Value) -> Value {
        self.runtime.block_on(self.connection.ask(method, path, body))
    }
}

impl Contestant for OverSocket {
    fn id(&self) -> &'static str {
        "attach_cold_socket"
    }

    fn attach(&mut self) -> Duration {
        let sandbox = json!({ "endpoints": [{ "network": NETWORK, "ports": [PORT] }] });
        let begun = Instant::now();
        let sandbox = self.ask(Method::POST, "/cnm/v1/sandboxes", &sandbox);
        let spent = begun.elapsed();
        self.attached = Some(sandbox["id"].as_str().expect("a sandbox has an id").to_owned());
        spent
    }

    fn detach(&mut self) {
        let sandbox = self.attached.take().expect("something is attached");
        self.ask(Method::DELETE, &format!("/cnm/v1/sandboxes/{sandbox}"), &Value::Null);
        while !self.host.ip("-o link show type veth").is_empty() {}
    }
}

/// An HTTP connection.
struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    async fn new(stream: UnixStream) -> Self {
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("the daemon speaks HTTP");
        tokio::spawn(async move { connection.await.expect("the daemon keeps the connection") });
        Self(sender)
    }

    /// # Panics
    /// With the daemon's message, where it refuses.
    async fn ask(&mut self, method: Method, path: &str, body: &Value) -> Value {
        let body = Full::from(if body.is_null() { String::new() } else { body.to_string() });
        let request = Request::builder().method(method).uri(path).header(HOST, "trestle");
        let request = request.header("content-type", "application/json").body(body).expect("the request is well made");
        self.0.ready().await.expect("the connection is kept");
        let (head, body) = self.0.send_request(request).await.expect("the daemon answers").into_parts();
        let body = body.collect().await.expect("the daemon answers to the end").to_bytes();
        assert!(head.status.is_success(), "{path}: {}: {}", head.status, String::from_utf8_lossy(&body));
        match head.status {
            StatusCode::NO_CONTENT => Value::Null,
            _ => serde_json::from_slice(&body).expect("the daemon answers in JSON"),
        }
    }
}
