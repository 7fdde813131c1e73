//! Trestle as everybody else has it: `trestled`, asked over its socket on one connection that is kept.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use trestle_tests::daemon::program;
use trestle_tests::host::Host;
use trestle_tests::process::Process;

use super::{Contestant, NETWORK, PORT};

/// A daemon, a connection to it, and the sandbox that it attached.
pub(crate) struct OverSocket {
    host: Host,
    connection: Connection,
    attached: Option<String>,
    daemon: Process,
}

impl OverSocket {
    /// Starts the daemon as it starts by default, connects, and makes the network.
    pub(crate) fn new() -> Self {
        let host = Host::new("socket");
        let mut command = std::process::Command::new(program("trestled"));
        command.arg("--data-root").arg(host.data_root()).arg("--exec-root").arg(host.exec_root());
        command.arg("--spare-sandboxes=0");
        let mut daemon = host.start(command, "trestled");
        let path = host.exec_root().join("trestle.sock");
        let connection = loop {
            match host.run(|| UnixStream::connect(&path)) {
                Ok(stream) => break Connection(stream),
                Err(_) if daemon.is_running() => thread::sleep(Duration::from_millis(10)),
                Err(error) => panic!("{}: {error}. trestled printed:\n{}", path.display(), daemon.printed()),
            }
        };
        let mut over_socket = Self { host, connection, attached: None, daemon };
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
        let (status, answer) = self.connection.ask(&request(&method, path, body));
        assert!((200..300).contains(&status), "{path}: {status}: {}", String::from_utf8_lossy(&answer));
        match answer.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&answer).expect("the daemon answers in JSON"),
        }
    }
}

impl Contestant for OverSocket {
    fn id(&self) -> &'static str {
        "attach_cold_socket"
    }

    fn attach(&mut self) -> Duration {
        let sandbox = json!({ "endpoints": [{ "network": NETWORK, "ports": [PORT] }] });
        let request = request(&Method::POST, "/cnm/v1/sandboxes", &sandbox);
        let begun = Instant::now();
        let (status, answer) = self.connection.ask(&request);
        let spent = begun.elapsed();
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
        let sandbox: Value = serde_json::from_slice(&answer).expect("the daemon answers in JSON");
        self.attached = Some(sandbox["id"].as_str().expect("a sandbox has an id").to_owned());
        spent
    }

    fn detach(&mut self) {
        let sandbox = self.attached.take().expect("something is attached");
        self.ask(Method::DELETE, &format!("/cnm/v1/sandboxes/{sandbox}"), &Value::Null);
        while !self.host.ip("-o link show type veth").is_empty() {}
    }
}

/// A request as it goes over the wire.
fn request(method: &Method, path: &str, body: &Value) -> Vec<u8> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    format!("{method} {path} HTTP/1.1\r\nhost: trestle\r\n{kind}content-length: {}\r\n\r\n{body}", body.len()).into()
}

/// An HTTP connection, by hand: it is the daemon that is measured, not a client.
struct Connection(UnixStream);

impl Connection {
    /// The status, and the body.
    fn ask(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.0.write_all(request).expect("the daemon keeps the connection");
        let mut answer = Vec::with_capacity(16 << 10);
        loop {
            let mut part = [0; 8192];
            let length = self.0.read(&mut part).expect("the daemon answers");
            assert!(length > 0, "the daemon hung up: {}", String::from_utf8_lossy(&answer));
            answer.extend(&part[..length]);
            if let Some(whole) = whole(&answer) {
                return whole;
            }
        }
    }
}

/// An answer, once all of it is there.
fn whole(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).expect("a head is text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer has a status");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().expect("a length is a number"));
    let body = &answer[end + 4..];
    (body.len() >= length).then(|| (status, body.to_vec()))
}
