//! Wrong requests that only a real kernel can refuse, straight over the socket: each is refused by name, and leaves
//! host, records and containers as they were.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use serde_json::{Value, json};
use trestle_tests::daemon::Daemon;
use trestle_tests::host::Host;
use trestle_tests::landscape::{Landscape, hosts};
use trestle_tests::process::Process;
use trestle_tests::snapshot::Snapshot;
use trestle_tests::{privileges, wire};

/// Sends a body to our own API; the status and the sentence of the answer.
fn post(host: &Host, path: &str, body: &Value) -> (u16, String) {
    let body = body.to_string();
    let request = format!(
        "POST /cnm/v1{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = host.run(|| {
        let mut stream = UnixStream::connect(host.exec_root().join("trestle.sock")).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let told: Value = serde_json::from_str(body).unwrap_or_default();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), told["message"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn what_the_kernel_could_not_do_is_refused_by_name_and_changes_nothing() {
    privileges::obtain(|| {
        let (router, outside) = hosts(wire::MTU);
        let land = Landscape { front: Arc::new(Daemon::start(&router)), router, outside };
        land.network_as("front", |request| {
            request.pools = vec![trestle_core::controller::request::PoolWish {
                subnet: "10.60.0.0/24".parse().unwrap(),
                range: None,
                gateway: None,
                auxiliary: [("nas".to_owned(), "10.60.0.5".parse().unwrap())].into(),
            }];
        });
        let _web = land.container("web", "front", &["8080:80"]);
        land.sandbox("other");
        let folder = land.router.folder().join("folder");
        fs::create_dir(&folder).unwrap();
        let stranger = land.router.folder().join("notes");
        fs::write(&stranger, "mine").unwrap();
        let knot = land.router.folder().join("knot");
        std::os::unix::fs::symlink(&knot, &knot).unwrap();
        let gone = land.router.start(std::process::Command::new("true"), "gone");
        let dead = gone.pid();
        gone_for_good(gone);
        land.router.ip("link add plain type veth peer name plainer");

        let (before, objects) = (Snapshot::of_host(&land.router), land.front.objects().unwrap());
        let bridge = |name: &str| json!({"name": "fresh", "options": {"com.docker.network.bridge.name": name}});
        let place = |fields: Value| {
            let mut body = json!({"network": "front"});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            body
        };
        let connect = "/sandboxes/other/connect";
        for (path, body, named) in [
            ("/sandboxes", json!({"path": "/no/such/file"}), "/no/such/file"),
            ("/sandboxes", json!({"path": folder}), "no network namespace"),
            ("/sandboxes", json!({"path": stranger}), "no network namespace"),
            ("/sandboxes", json!({"path": format!("/{}", "a".repeat(300))}), "aaaa"),
            ("/sandboxes", json!({"path": format!("/{}", "a/".repeat(4000))}), "Linux allows 4095"),
            ("/sandboxes", json!({"path": stranger.join("deeper")}), "deeper"),
            ("/sandboxes", json!({"path": knot}), "knot"),
            ("/sandboxes", json!({"path": land.router.exec_root().join("trestle.sock")}), "trestle.sock"),
            ("/sandboxes", json!({"path": "/proc/self/ns/mnt"}), "no network namespace"),
            ("/sandboxes", json!({"pid": dead}), &dead.to_string()),
            ("/sandboxes", json!({"pid": u32::MAX}), "4294967295"),
            ("/networks", bridge("plain"), "plain"),
            ("/networks", json!({"name": "fresh", "pools": [{"subnet": "10.60.0.128/25"}]}), "front"),
            ("/networks", json!({"name": "fresh", "pools": [{"subnet": "224.0.0.0/24"}]}), "multicast"),
            ("/networks", json!({"name": "fresh", "pools": [{"subnet": "127.0.0.0/24"}]}), "loopback"),
            (connect, place(json!({"ipv4": "192.0.2.1"})), "192.0.2.1"),
            (connect, place(json!({"ipv4": "10.60.0.0"})), "network address"),
            (connect, place(json!({"ipv4": "10.60.0.255"})), "broadcast address"),
            (connect, place(json!({"ipv4": "10.60.0.1"})), "in use"),
            (connect, place(json!({"ipv4": "10.60.0.5"})), "in use"),
            (connect, place(json!({"ipv6": "fd00::9"})), "fd00::9"),
            (connect, place(json!({"ports": ["203.0.113.9:80:80"]})), "203.0.113.9"),
            (connect, place(json!({"ports": ["8080:80"]})), "web"),
            (connect, place(json!({"interface": "lo"})), "lo"),
            ("/endpoints/front%2Fweb/publish", json!({"ports": ["203.0.113.9:80:80"]}), "203.0.113.9"),
        ] {
            let (status, message) = post(&land.router, path, &body);
            let shown: String = body.to_string().chars().take(200).collect();
            assert!((400..500).contains(&status), "{path} {shown}: {status} {message}");
            assert!(message.contains(named), "{path} {shown}: {message}");
            before.is_still(&Snapshot::of_host(&land.router));
        }
        assert_eq!(land.front.objects().unwrap(), objects);
        land.nothing_is_amiss();
    });
}

/// Waits until a process has ended, and takes its number from the system.
fn gone_for_good(mut process: Process) {
    while process.is_running() {
        std::thread::yield_now();
    }
}
