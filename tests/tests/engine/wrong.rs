//! Wrong requests, byte by byte: a clear refusal in Docker's JSON, and nothing changed.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::{Scene, play};

/// Sends a request; its status and what the refusal says.
fn ask(scene: &Scene, method: &str, path: &str, body: &str) -> (u16, String, String) {
    let socket = scene.docker.socket();
    let answer = scene.host.run(|| {
        let mut stream = UnixStream::connect(socket).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let told: Value = serde_json::from_str(body).unwrap_or_default();
    (status, told["message"].as_str().unwrap_or_default().to_owned(), head.to_ascii_lowercase())
}

#[test]
fn every_wrong_request_is_told_what_is_wrong_with_it() {
    play(|scene| {
        for (method, path, body, status, told) in [
            ("GET", "/v1.11/info", "", 400, "client version 1.11 is too old"),
            ("GET", "/v1.52/info", "", 400, "client version 1.52 is too new"),
            ("GET", "/no/such/path", "", 404, "page not found"),
            ("DELETE", "/version", "", 404, "page not found"),
            ("GET", "/v1.43/networks/nobody", "", 404, "network nobody not found"),
            ("GET", "/networks/bridge?scope=swarm", "", 404, "network bridge not found"),
            ("GET", "/networks?filters=5", "", 400, "invalid filters"),
            ("GET", "/networks?filters=%7B%22a%22%3A%5B%22b%22%5D%7D", "", 400, "invalid filter 'a'"),
            ("POST", "/networks/create", "", 400, "got EOF while reading request body"),
            ("POST", "/networks/create", "{", 400, "invalid JSON: EOF"),
            ("POST", "/networks/create", "[]", 400, "an object is expected"),
            ("POST", "/networks/create", r#"{"Name": 5}"#, 400, "invalid JSON: Name: invalid type"),
            ("POST", "/networks/create", r#"{"Name": "x", "IPAM": {"Config": [5]}}"#, 400, "invalid JSON: IPAM.Config"),
            ("POST", "/networks/create", r#"{"Name": "x", "Options": {"a": 1}}"#, 400, "invalid JSON: Options"),
            ("POST", "/networks/bridge/connect", "{}", 404, "No such container: "),
            ("POST", "/networks/bridge/disconnect", r#"{"Force": "yes"}"#, 400, "invalid JSON: Force"),
            ("POST", "/networks/prune?filters=%7B%22until%22%3A%5B%22x%22%5D%7D", "", 400, "is no time"),
            ("GET", "/events?since=x", "", 400, "since: \"x\" is no time"),
            ("GET", "/events?since=20&until=10", "", 400, "cannot be after"),
            ("GET", "/events?filters=%7B%22color%22%3A%5B%22b%22%5D%7D", "", 400, "invalid filter 'color'"),
            ("POST", "/build", "", 501, "builds no images"),
            ("POST", "/auth", "{}", 501, "checks no registry's passwords"),
            ("GET", "/plugins/x/json", "", 404, "plugin \"x\" not found"),
            ("GET", "/services", "", 503, "This node is not a swarm manager."),
        ] {
            let (code, message, head) = ask(scene, method, path, body);
            assert_eq!(code, status, "{method} {path} {body}: {message}");
            assert!(message.contains(told), "{method} {path} {body}: {message:?}");
            assert!(head.contains("api-version: 1.51") && head.contains("ostype: linux"), "{head}");
        }
        assert_eq!(scene.docker.must("network ls --format {{.Name}}"), "bridge\nhost\nnone");
    });
}

#[test]
fn a_ping_tells_what_is_spoken() {
    play(|scene| {
        for (method, path) in [("GET", "/_ping"), ("HEAD", "/_ping"), ("GET", "/v1.12/_ping")] {
            let (code, _, head) = ask(scene, method, path, "");
            assert_eq!(code, 200, "{method} {path}");
            for told in ["api-version: 1.51", "docker-experimental: false", "ostype: linux", "swarm: inactive"] {
                assert!(head.contains(told), "{method} {path}: {head}");
            }
        }
    });
}
