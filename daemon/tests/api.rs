//! The API, over its socket, with a controller on a kernel in memory.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod fixture;

use std::future::{Future, poll_fn};
use std::task::Poll;

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use fixture::Daemon;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

use trestle::api::model::event::Line;
use trestle::cli::client::Client;
use trestle::config::Host;
use trestle::metrics::Operation;

/// Sends bytes as they are, and reads whatever comes until the daemon has enough.
async fn raw(daemon: &Daemon, request: &[u8], half_close: bool) -> String {
    let mut stream = UnixStream::connect(daemon.socket()).await.unwrap();
    stream.write_all(request).await.unwrap();
    if half_close {
        stream.shutdown().await.unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn request(daemon: &Daemon, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    let answer = raw(daemon, text.as_bytes(), false).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

const JSON: &str = "Content-Type: application/json\r\n";

async fn post(daemon: &Daemon, path: &str, body: Value) -> (u16, Value) {
    let (status, _, body) = request(daemon, "POST", &format!("/cnm/v1{path}"), JSON, &body.to_string()).await;
    (status, if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap() })
}

async fn get(daemon: &Daemon, path: &str) -> (u16, Value) {
    let (status, _, body) = request(daemon, "GET", &format!("/cnm/v1{path}"), "", "").await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn delete(daemon: &Daemon, path: &str) -> u16 {
    request(daemon, "DELETE", &format!("/cnm/v1{path}"), "", "").await.0
}

#[tokio::test]
async fn the_document_and_the_routes_are_the_same() {
    let daemon = Daemon::start().await;
    let document: Value = serde_json::from_str(&daemon.document.to_json().unwrap()).unwrap();
    let (status, served) = get(&daemon, "/openapi.json").await;
    assert_eq!((status, &served), (200, &document));
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 18, "{}", paths.len());
    for (path, operations) in paths {
        let concrete = path.replace("{network}", "x").replace("{endpoint}", "x").replace("{sandbox}", "x");
        let documented: Vec<String> = operations.as_object().unwrap().keys().map(|it| it.to_uppercase()).collect();
        // A method that nobody serves is answered with the list of those that are.
        let (status, head, _) = request(&daemon, "PATCH", &concrete, "", "").await;
        assert_eq!(status, 405, "{path}");
        let allowed = head.lines().find_map(|line| line.strip_prefix("allow: ")).unwrap();
        let mut served: Vec<&str> = allowed.split(',').map(str::trim).filter(|method| *method != "HEAD").collect();
        served.sort_unstable();
        let mut documented: Vec<&str> = documented.iter().map(String::as_str).collect();
        documented.sort_unstable();
        assert_eq!(served, documented, "{path}");
    }
}

#[tokio::test]
async fn what_a_kernel_may_lack_is_documented_where_it_may_be_missed() {
    let daemon = Daemon::start().await;
    let document: Value = serde_json::from_str(&daemon.document.to_json().unwrap()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(post) = operations.get("post") else { continue };
        let asks_nothing_of_it =
            ["/leave", "/disconnect", "/unpublish", "/names"].iter().any(|end| path.ends_with(end));
        assert_eq!(post["responses"].get("501").is_some(), !asks_nothing_of_it, "{path}");
    }
}

#[tokio::test]
async fn a_network_is_created_shown_and_deleted() {
    let daemon = Daemon::start().await;
    let (status, network) = post(&daemon, "/networks", json!({"name": "front", "labels": {"a": "b"}})).await;
    assert_eq!(status, 201, "{network}");
    assert_eq!(network["driver"], "bridge");
    assert_eq!(network["options"]["com.docker.network.driver.mtu"], "1400");
    let id = network["id"].as_str().unwrap();
    for name in [id, "front", &id[..10]] {
        let (status, found) = get(&daemon, &format!("/networks/{name}")).await;
        assert_eq!((status, &found["id"]), (200, &network["id"]), "{name}");
    }
    assert_eq!(get(&daemon, "/networks").await.1.as_array().unwrap().len(), 1);
    assert_eq!(delete(&daemon, "/networks/front").await, 204);
    let (status, refusal) = get(&daemon, "/networks/front").await;
    assert_eq!(status, 404);
    assert!(refusal["message"].as_str().unwrap().contains("front"), "{refusal}");
}

#[tokio::test]
async fn a_sandbox_is_connected_published_and_disconnected() {
    let daemon = Daemon::start().await;
    post(&daemon, "/networks", json!({"name": "front", "pools": [{"subnet": "10.1.0.0/24"}]})).await;
    assert_eq!(post(&daemon, "/sandboxes", json!({"name": "web"})).await.0, 201);
    let wishes = json!({"network": "front", "ipv4": "10.1.0.9", "ports": ["8080:80"]});
    let (status, plan) = post(&daemon, "/sandboxes/web/connect?dry_run=true", wishes.clone()).await;
    assert_eq!(status, 200, "{plan}");
    assert!(!plan["resources"].as_array().unwrap().is_empty());
    assert!(get(&daemon, "/endpoints").await.1.as_array().unwrap().is_empty(), "a dry run changes nothing");

    let (status, endpoint) = post(&daemon, "/sandboxes/web/connect", wishes).await;
    assert_eq!(status, 201, "{endpoint}");
    assert_eq!(endpoint["ipv4"], "10.1.0.9/24");
    assert_eq!(endpoint["network"]["name"], "front");
    assert_eq!(endpoint["sandbox"]["name"], "web");
    assert_eq!(
        endpoint["published"],
        json!([{"port": "8080:80/tcp", "opened": [], "held": true, "masqueraded": false}])
    );
    let (_, published) = post(&daemon, "/endpoints/front%2Fweb/publish", json!({"ports": ["53:53/udp"]})).await;
    assert_eq!(published["ports"].as_array().unwrap().len(), 2, "{published}");
    let (_, published) = post(&daemon, "/endpoints/web/unpublish", json!({"ports": ["80"]})).await;
    assert_eq!(published["ports"], json!(["53:53/udp"]));
    let (_, details) = get(&daemon, "/networks/front").await;
    assert_eq!(details["endpoints"][0]["name"], "web");
    assert_eq!(get(&daemon, "/sandboxes").await.1[0]["endpoints"][0]["name"], "web");
    assert!(!get(&daemon, "/networks/front/plan").await.1["resources"].as_array().unwrap().is_empty());
    assert_eq!(get(&daemon, "/verify").await.1["drifts"], json!([]));

    assert_eq!(delete(&daemon, "/networks/front").await, 403, "a network in use stays");
    assert_eq!(post(&daemon, "/sandboxes/web/disconnect", json!({"network": "front"})).await.0, 204);
    assert_eq!(delete(&daemon, "/sandboxes/web").await, 204);
    assert_eq!(delete(&daemon, "/networks/front").await, 204);
    let (_, _, metrics) = request(&daemon, "GET", "/metrics", "", "").await;
    assert!(metrics.contains("trestle_attaches_total 1") && metrics.contains("trestle_detaches_total 1"), "{metrics}");
    assert!(metrics.contains("operation=\"delete_network\",kind=\"forbidden\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_reserved_endpoint_joins_leaves_and_goes() {
    let daemon = Daemon::start().await;
    post(&daemon, "/networks", json!({"name": "front"})).await;
    post(&daemon, "/sandboxes", json!({"name": "web"})).await;
    let (status, endpoint) = post(&daemon, "/endpoints", json!({"network": "front", "name": "db"})).await;
    assert_eq!((status, &endpoint["state"]), (201, &json!("reserved")));
    let (status, endpoint) = post(&daemon, "/endpoints/db/join", json!({"sandbox": "web"})).await;
    assert_eq!((status, &endpoint["state"]), (200, &json!("attached")));
    assert_eq!(delete(&daemon, "/endpoints/db").await, 403);
    assert_eq!(post(&daemon, "/endpoints/db/leave", json!({})).await.0, 204);
    assert_eq!(post(&daemon, "/endpoints/db/join", json!({"sandbox": "web"})).await.0, 200);
    assert_eq!(delete(&daemon, "/endpoints/db?force=true").await, 204);
}

#[tokio::test]
async fn inspecting_tells_which_ports_are_only_mapped_and_which_are_masqueraded() {
    let daemon = Daemon::start().await;
    post(&daemon, "/sandboxes", json!({"name": "web"})).await;
    for (network, priority, port) in [("front", 1, 1000), ("back", 0, 2000)] {
        post(&daemon, "/networks", json!({"name": network})).await;
        let ports = ["tcp", "udp", "sctp"].map(|protocol| format!("{port}:{port}/{protocol}"));
        let body = json!({"network": network, "priority": priority, "ports": ports});
        let (status, told) = post(&daemon, "/sandboxes/web/connect", body).await;
        assert_eq!(status, 201, "{told}");
    }
    for (endpoint, masqueraded) in [("front/web", false), ("back/web", true)] {
        let (_, told) = get(&daemon, &format!("/endpoints/{}", endpoint.replace('/', "%2F"))).await;
        let notes =
            told["published"].as_array().unwrap().iter().map(|it| (it["held"].clone(), it["masqueraded"].clone()));
        let expected = [(true, false), (true, masqueraded), (false, false)].map(|(held, it)| (json!(held), json!(it)));
        assert_eq!(notes.collect::<Vec<_>>(), expected, "{told}");
    }
}

#[tokio::test]
async fn inspecting_tells_which_ports_are_open_at_the_container_s_own_addresses() {
    let daemon = Daemon::start().await;
    post(&daemon, "/sandboxes", json!({"name": "web"})).await;
    let mode = |family| format!("com.docker.network.bridge.gateway_mode_ipv{family}");
    let pools = json!([{"subnet": "10.1.0.0/24"}, {"subnet": "fd00:1::/64"}]);
    let note = |port: &str, opened: &[&str], held: bool| json!({"port": port, "opened": opened, "held": held, "masqueraded": false});
    for (network, options, expected) in [
        (
            "routed",
            json!({mode(4): "routed", mode(6): "routed"}),
            [note("80/tcp", &["10.1.0.2", "fd00:1::2"], false), note("0.0.0.0::90-95/udp", &["10.1.0.2"], false)],
        ),
        (
            "mixed",
            json!({mode(6): "routed"}),
            [note("8080:80/tcp", &["fd00:1::2"], true), note("0.0.0.0:90-95:90-95/udp", &[], true)],
        ),
        (
            "trusting",
            json!({"com.docker.network.bridge.trusted_host_interfaces": "eth1"}),
            [
                note("8080:80/tcp", &["10.1.0.2", "fd00:1::2"], true),
                note("0.0.0.0:90-95:90-95/udp", &["10.1.0.2"], true),
            ],
        ),
    ] {
        let (status, told) =
            post(&daemon, "/networks", json!({"name": network, "pools": pools, "options": options})).await;
        assert_eq!(status, 201, "{told}");
        let ports = json!(["8080:80", "0.0.0.0:90-95:90-95/udp"]);
        let (status, told) = post(&daemon, "/sandboxes/web/connect", json!({"network": network, "ports": ports})).await;
        assert_eq!((status, &told["published"]), (201, &json!(expected)), "{told}");
        assert_eq!(post(&daemon, "/sandboxes/web/disconnect", json!({"network": network})).await.0, 204);
        assert_eq!(delete(&daemon, &format!("/networks/{network}")).await, 204);
    }
}

#[tokio::test]
async fn a_sandbox_with_two_endpoints_on_a_network_is_disconnected_by_none_of_them_at_random() {
    let daemon = Daemon::start().await;
    post(&daemon, "/networks", json!({"name": "front"})).await;
    post(&daemon, "/sandboxes", json!({"name": "web"})).await;
    for name in ["one", "two"] {
        let body = json!({"network": "front", "name": name});
        assert_eq!(post(&daemon, "/sandboxes/web/connect", body).await.0, 201);
    }
    let (status, refusal) = post(&daemon, "/sandboxes/web/disconnect", json!({"network": "front"})).await;
    assert_eq!(status, 400, "{refusal}");
    let told = refusal["message"].as_str().unwrap();
    assert!(told.contains("front/one") && told.contains("front/two"), "{told}");
    assert_eq!(daemon.controller.endpoints().iter().filter(|it| it.state.name() == "attached").count(), 2);
    assert_eq!(post(&daemon, "/endpoints/front%2Ftwo/leave", json!({})).await.0, 204);
    assert_eq!(post(&daemon, "/sandboxes/web/disconnect", json!({"network": "front"})).await.0, 204);
}

#[tokio::test]
async fn a_dry_run_tells_what_then_happens_however_often_it_is_asked() {
    let daemon = Daemon::start().await;
    let network = json!({"name": "front", "ipv6": true});
    let plans = [
        post(&daemon, "/networks?dry_run=true", network.clone()).await,
        post(&daemon, "/networks?dry_run=true", network.clone()).await,
    ];
    let (_, network) = post(&daemon, "/networks", network).await;
    for (_, plan) in plans {
        let plan = plan.to_string();
        for pool in network["pools"].as_array().unwrap() {
            let gateway = pool["gateway"].as_str().unwrap();
            assert!(plan.contains(&format!("\"{gateway}/")), "{gateway} in {plan}");
        }
    }
    for name in ["one", "two", "three"] {
        post(&daemon, "/sandboxes", json!({"name": name})).await;
        let wishes = json!({"network": "front", "ports": ["80", "443"]});
        let connect = format!("/sandboxes/{name}/connect");
        let mut plans = Vec::new();
        for _ in 0..3 {
            plans.push(post(&daemon, &format!("{connect}?dry_run=true"), wishes.clone()).await.1.to_string());
        }
        let (_, endpoint) = post(&daemon, &connect, wishes).await;
        let addresses = ["ipv4", "ipv6"].map(|field| endpoint[field].as_str().unwrap().to_owned());
        let ports = endpoint["published"].as_array().unwrap().iter().map(|it| it["port"].as_str().unwrap());
        let hosts = ports.map(|port| format!("\"{}\"", port.split(':').next().unwrap()));
        let expected: Vec<String> = addresses.into_iter().chain(hosts).collect();
        for plan in plans {
            assert!(expected.iter().all(|it| plan.contains(it)), "{expected:?} in {plan}");
        }
    }
}

#[tokio::test]
async fn wrong_input_is_refused_by_name_and_changes_nothing() {
    let daemon = Daemon::start().await;
    post(&daemon, "/networks", json!({"name": "front"})).await;
    post(&daemon, "/sandboxes", json!({"name": "web"})).await;
    daemon.fate.relent();
    for (path, body, status, named) in [
        ("/networks", r#"{"name": "a/b"}"#, 400, "name"),
        ("/networks", r#"{"name": "front"}"#, 409, "front"),
        ("/networks", r#"{"name": "a", "driver": "wifi"}"#, 404, "wifi"),
        ("/networks", r#"{"name": "a", "ipam": "oracle"}"#, 404, "oracle"),
        ("/networks", r#"{"name": "a", "options": {"color": "red"}}"#, 400, "color"),
        ("/networks?dryrun=1", r#"{"name": "a"}"#, 400, "dryrun"),
        ("/networks?dry_run=maybe", r#"{"name": "a"}"#, 400, "dry_run"),
        ("/sandboxes", r#"{"name": "web"}"#, 409, "web"),
        ("/sandboxes", r#"{"pid": 0}"#, 400, "pid"),
        ("/sandboxes/web/connect", r#"{"network": "back"}"#, 404, "back"),
        ("/sandboxes/web/connect", r#"{"network": "front", "ipv4": "192.0.2.1"}"#, 400, "192.0.2.1"),
        ("/sandboxes/nosuch/connect", r#"{"network": "front"}"#, 404, "nosuch"),
        ("/sandboxes/web/disconnect", r#"{"network": "front"}"#, 404, "front"),
        ("/endpoints", r#"{"network": "back"}"#, 404, "back"),
        ("/endpoints/nosuch/publish", r#"{"ports": ["80"]}"#, 404, "nosuch"),
        ("/endpoints/nosuch/join", r#"{"sandbox": ""}"#, 400, "sandbox"),
        ("/networks/%FF", "{}", 405, "method"),
    ] {
        let (got, _, told) = request(&daemon, "POST", &format!("/cnm/v1{path}"), JSON, body).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(got, status, "{path} {body}: {told}");
        assert!(told["message"].as_str().unwrap().contains(named), "{path} {body}: {told}");
    }
    for (path, status) in [
        ("/networks/%FF", 400),
        ("/networks/..", 404),
        ("/networks/", 404),
        ("/nothing", 404),
        ("/endpoints/nosuch?force=1", 400),
        ("/events?subject=image", 400),
        ("/events?since=1", 400),
    ] {
        assert_eq!(get(&daemon, path).await.0, status, "{path}");
    }
    assert_eq!(daemon.controller.networks().len(), 1);
    assert_eq!(daemon.controller.sandboxes().len(), 1);
    assert!(daemon.controller.endpoints().is_empty());
}

#[tokio::test]
async fn a_body_that_is_no_json_too_large_or_half_sent_is_refused() {
    let daemon = Daemon::start().await;
    let (status, _, told) = request(&daemon, "POST", "/cnm/v1/networks", "", r#"{"name": "a"}"#).await;
    assert_eq!(status, 415, "{told}");
    assert!(told.contains("Content-Type"), "{told}");
    let huge = format!(r#"{{"name": "{}"}}"#, "a".repeat(2 << 20));
    let mut stream = UnixStream::connect(daemon.socket()).await.unwrap();
    let head = format!("POST /cnm/v1/networks HTTP/1.1\r\nHost: x\r\n{JSON}Content-Length: {}\r\n\r\n", huge.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    // The daemon may hang up before it has it all.
    drop(stream.write_all(huge.as_bytes()).await);
    let mut answer = [0; 16];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{answer:?}");

    let half =
        format!("POST /cnm/v1/networks HTTP/1.1\r\nHost: x\r\n{JSON}Content-Length: 100\r\n\r\n{{\"name\": \"a\"}}");
    let answer = raw(&daemon, half.as_bytes(), true).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("before it was complete"), "{answer}");
    let chunked =
        format!("POST /cnm/v1/networks HTTP/1.1\r\nHost: x\r\n{JSON}Transfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert!(raw(&daemon, chunked.as_bytes(), false).await.starts_with("HTTP/1.1 400"));
    assert!(daemon.controller.networks().is_empty());
}

#[tokio::test]
async fn what_a_browser_sends_for_another_site_is_refused_and_people_are_answered() {
    let daemon = Daemon::start().await;
    let own = format!("Host: {}\r\n", daemon.tcp);
    for (head, status) in [
        (own.clone(), 200),
        (format!("{own}Origin: http://{}\r\n", daemon.tcp), 200),
        (format!("{own}Origin: https://evil.example\r\n"), 403),
        (format!("Host: evil.example:{}\r\n", daemon.tcp.port()), 403),
        (String::new(), 403),
    ] {
        daemon.fate.relent();
        let request = format!("POST /cnm/v1/repair HTTP/1.1\r\nConnection: close\r\n{head}Content-Length: 0\r\n\r\n");
        let mut stream = TcpStream::connect(daemon.tcp).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}{answer}");
        if status == 403 {
            assert!(answer.contains(r#"{"message":""#), "{answer}");
            assert_eq!(daemon.fate.steps(), 0, "nothing was done");
        }
    }
    let host = Host::Tcp { name: "localhost".into(), port: daemon.tcp.port() };
    Client::new(host, None).unwrap().ask(Method::POST, "/repair", None).await.unwrap();
}

#[tokio::test]
async fn events_are_told_as_they_happen_and_end_with_the_daemon() {
    let daemon = Daemon::start().await;
    let client: Client = daemon.client();
    let mut stream = client.ask(Method::GET, "/events?subject=network", None).await.unwrap().into_body();
    post(&daemon, "/sandboxes", json!({"name": "web"})).await;
    post(&daemon, "/networks", json!({"name": "front"})).await;
    let line = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    let Line::Event(event) = serde_json::from_slice(&line).unwrap() else { panic!("{line:?}") };
    assert_eq!((event.subject.as_str(), event.action.as_str(), event.name.as_str()), ("network", "create", "front"));
    daemon.stop.send_replace(true);
    assert!(stream.frame().await.is_none());
}

#[tokio::test]
async fn a_stopped_daemon_has_answered_everything_it_took() {
    let mut daemon = Daemon::start().await;
    let client = daemon.client();
    let body = Bytes::from(r#"{"name": "front"}"#);
    let asked = tokio::spawn(async move { client.ask(Method::POST, "/networks", Some(body)).await });
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    daemon.stop.send_replace(true);
    (&mut daemon.serving).await.unwrap();
    drop(daemon.work.write().await);
    assert!(!daemon.socket().exists());
    assert_eq!(daemon.controller.networks().len(), 1);
}

#[tokio::test]
async fn work_is_finished_for_a_caller_who_hung_up() {
    let daemon = Daemon::start().await;
    let (go, told_to_go) = oneshot::channel::<()>();
    let (done, finished) = oneshot::channel();
    let work = async move {
        told_to_go.await.unwrap();
        done.send(()).unwrap();
        Ok(())
    };
    let mut call = Box::pin(daemon.app.act(Operation::Repair, work));
    assert!(poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await);
    drop(call);
    go.send(()).unwrap();
    finished.await.unwrap();
}
