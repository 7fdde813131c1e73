//! Callers who send too much, too little, or too slowly keep nobody waiting but themselves.

use std::time::Duration;

use axum::http::Method;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpStream, UnixStream};

use trestle::api::extract::LARGEST_BODY;
use trestle::serve::Limits;

use crate::caller::Caller;
use crate::fixture::Daemon;

const HEAD: &str = "POST /cnm/v1/networks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/// Nobody waits for it in these tests, and nothing that is on time takes longer.
const NEVER: Duration = Duration::from_secs(3600);

const AT_ONCE: Duration = Duration::from_millis(1);

async fn connect(daemon: &Daemon) -> UnixStream {
    UnixStream::connect(daemon.socket()).await.unwrap()
}

/// Whatever the daemon says until it hangs up.
async fn told(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // Who hangs up with something unread resets the connection; what was said before is here all the same.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8(answer).unwrap()
}

async fn is_answered(daemon: &Daemon) {
    let answer = Caller::connect(&daemon.socket()).await.ask(&Method::GET, "/cnm/v1/version", None).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_refused_in_time_and_changes_nothing() {
    let daemon = Daemon::start_with(Limits { body: AT_ONCE, ..Limits::default() }).await;
    for head in [format!("{HEAD}Content-Length: 100\r\n\r\n"), format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n9\r\n")]
    {
        let mut stream = connect(&daemon).await;
        stream.write_all(format!("{head}{{\"name\":").as_bytes()).await.unwrap();
        let answer = told(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains(r#"{"message":"body: it did not arrive within 1ms"}"#), "{answer}");
    }
    assert!(daemon.controller.networks().is_empty());
    is_answered(&daemon).await;
}

#[tokio::test]
async fn a_body_that_comes_with_its_head_is_read_however_short_the_patience() {
    let daemon = Daemon::start_with(Limits { body: Duration::ZERO, ..Limits::default() }).await;
    let mut stream = connect(&daemon).await;
    let body = r#"{"name": "front"}"#;
    let request = format!("{HEAD}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = told(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let daemon = Daemon::start_with(Limits { head: AT_ONCE, ..Limits::default() }).await;
    for head in ["", "POST /cnm", HEAD] {
        let mut stream = connect(&daemon).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = told(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let other = Daemon::start().await;
    is_answered(&other).await;
}

/// A byte now and then must not earn a new respite each.
async fn trickled(stream: impl AsyncRead + AsyncWrite + Unpin, forever: &[u8]) -> String {
    let (mut reader, mut writer) = split(stream);
    let trickle = async {
        while writer.write_all(forever).await.is_ok() {
            tokio::task::yield_now().await;
        }
        // The daemon has hung up: what it said is still to be read.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = told(&mut reader) => answer,
        () = trickle => String::new(),
    }
}

#[tokio::test]
async fn what_comes_in_drops_has_no_more_time_than_what_stops() {
    let short = Duration::from_millis(20);
    let daemon = Daemon::start_with(Limits { body: short, ..Limits::default() }).await;
    let mut stream = connect(&daemon).await;
    stream.write_all(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    // Chunks of one blank each, which the largest body has room for a million of.
    let answer = trickled(stream, b"1\r\n \r\n").await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let daemon = Daemon::start_with(Limits { head: short, ..Limits::default() }).await;
    let mut stream = connect(&daemon).await;
    stream.write_all(b"POST /cnm").await.unwrap();
    let answer = trickled(stream, b"a").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn any_number_of_slow_callers_keep_no_other_waiting() {
    let daemon = Daemon::start_with(Limits { head: NEVER, body: NEVER, farewell: AT_ONCE, ..Limits::default() }).await;
    let mut slow = Vec::new();
    for rest in ["", "Content-Length: 100\r\n\r\n{\"name\": \"front\"", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"] {
        for _ in 0..100 {
            let mut stream = connect(&daemon).await;
            stream.write_all(format!("{HEAD}{rest}").as_bytes()).await.unwrap();
            slow.push(stream);
        }
    }
    let mut caller = Caller::connect(&daemon.socket()).await;
    let answer = caller.ask(&Method::POST, "/cnm/v1/networks", Some(br#"{"name": "front"}"#.into())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    is_answered(&daemon).await;
    // Nor do they keep the daemon from stopping.
    daemon.stop.send_replace(true);
    for mut stream in slow {
        told(&mut stream).await;
    }
}

#[tokio::test]
async fn who_is_one_too_many_waits_for_another_to_leave() {
    let daemon = Daemon::start_with(Limits { head: NEVER, connections: 2, ..Limits::default() }).await;
    let (first, _second) = (connect(&daemon).await, connect(&daemon).await);
    let mut third = connect(&daemon).await;
    third.write_all(b"GET /cnm/v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    // Who comes over another listener is no concern of theirs.
    let mut other = TcpStream::connect(daemon.tcp).await.unwrap();
    other.write_all(b"GET /cnm/v1/version HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(told(&mut other).await.starts_with("HTTP/1.1 200 "));
    drop(first);
    assert!(told(&mut third).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn who_sends_too_much_is_told_so_even_over_tcp() {
    let daemon = Daemon::start().await;
    let large = format!("{{\"name\": \"{}\"}}", "a".repeat(3 * LARGEST_BODY));
    let length = large.len();
    let chunked =
        format!("{HEAD}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{large}\r\n0\r\n\r\n");
    let counted = format!("{HEAD}Connection: close\r\nContent-Length: {length}\r\n\r\n{large}");
    for request in [chunked, counted] {
        let mut stream = TcpStream::connect(daemon.tcp).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = told(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("larger than the 1048576 bytes"), "{answer}");
    }
    // On a path that takes no body it is the same.
    let mut stream = TcpStream::connect(daemon.tcp).await.unwrap();
    let head =
        format!("POST /cnm/v1/repair HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}");
    stream.write_all(format!("{head}\r\n\r\n{large}").as_bytes()).await.unwrap();
    assert!(told(&mut stream).await.starts_with("HTTP/1.1 413 "));
    assert!(daemon.controller.networks().is_empty());
}

#[tokio::test]
async fn a_body_in_clothes_that_we_do_not_know_is_refused() {
    let daemon = Daemon::start().await;
    for (headers, named) in [
        ("", "Content-Type: application/json is expected, and nothing"),
        ("Content-Type: text/plain\r\n", "and text/plain was sent"),
        ("Content-Type: \u{e9}\r\n", "Content-Type"),
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "Content-Encoding: gzip is not understood"),
    ] {
        let mut stream = connect(&daemon).await;
        let request = "POST /cnm/v1/networks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        let request = format!("{request}{headers}Content-Length: 13\r\n\r\n{{\"name\": \"a\"}}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = told(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 415 ") && answer.contains(named), "{headers}{answer}");
    }
    for (headers, status) in [
        ("Content-Length: many\r\n", "400"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "400"),
        ("Transfer-Encoding: zip\r\n", "400"),
        (&format!("X: {}\r\n", "a".repeat(1 << 20)), "431"),
        (&"X: a\r\n".repeat(1000), "431"),
    ] {
        let mut stream = connect(&daemon).await;
        // The daemon may hang up before it has it all.
        drop(stream.write_all(format!("{HEAD}{headers}\r\n").as_bytes()).await);
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
    }
    assert!(daemon.controller.networks().is_empty());
    is_answered(&daemon).await;
}
