//! What goes, goes wholly.

use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};
use trestle_core::controller::request::NetnsRequest;
use trestle_tests::api::Api;
use trestle_tests::daemon::Daemon;
use trestle_tests::host::Host;
use trestle_tests::landscape::{Landscape, hosts, place};
use trestle_tests::library::Library;
use trestle_tests::snapshot::Snapshot;
use trestle_tests::{privileges, wire};

on_every_front!(whatever_is_removed_leaves_nothing, a_failed_attach_leaves_nothing);

/// The first network and the first sandbox bring what all share, and leave it.
fn after_the_first(land: &Landscape) -> Snapshot {
    land.network("first");
    land.container("first", "first", &[]);
    land.front.delete_sandbox("first").unwrap();
    land.front.delete_network("first").unwrap();
    Snapshot::of_host(&land.router)
}

fn whatever_is_removed_leaves_nothing(land: &Landscape) {
    let before = after_the_first(land);
    land.network("front");
    land.network_as("vault", |request| request.internal = true);
    let mut web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp", "9000-9009:9000-9009/tcp", "53/udp"]);
    land.connect(&mut web, "vault", &[]);
    land.container("client", "front", &["[::1]:8081:80/tcp"]);
    land.front.publish("front/client", "8082:82/tcp").unwrap();
    let given = Host::new("given");
    land.front.create_sandbox("given", &NetnsRequest::Path(given.namespace().path())).unwrap();
    let empty = Snapshot::of(given.namespace());
    land.front.connect("given", &place("front", &["8083:80/tcp"])).unwrap();
    for sandbox in ["web", "client", "given"] {
        land.front.delete_sandbox(sandbox).unwrap();
    }
    for network in ["front", "vault"] {
        land.front.delete_network(network).unwrap();
    }
    assert_eq!(land.front.objects().unwrap(), [""; 0]);
    before.is_still(&Snapshot::of_host(&land.router));
    empty.is_still(&Snapshot::of(given.namespace()));
    land.nothing_is_amiss();
}

fn a_failed_attach_leaves_nothing(land: &Landscape) {
    land.network("front");
    let web = land.container("web", "front", &["8080:80/tcp"]);
    let inside = Snapshot::of(&web.namespace);
    let (before, objects) = (Snapshot::of_host(&land.router), land.front.objects().unwrap());
    land.network("back");
    // A link of somebody else has the name; a port of another is wanted.
    web.namespace.ip("link add name mine type bridge");
    let mut request = place("back", &[]);
    request.interface = Some("mine".try_into().unwrap());
    land.front.connect("web", &request).unwrap_err();
    web.namespace.ip("link delete mine");
    land.front.connect("web", &place("back", &["8081:80/tcp", "8080:81/tcp"])).unwrap_err();
    land.front.delete_network("back").unwrap();
    before.is_still(&Snapshot::of_host(&land.router));
    inside.is_still(&Snapshot::of(&web.namespace));
    assert_eq!(land.front.objects().unwrap(), objects);
}

/// As many tasks at once, over a few networks and sandboxes; every second one with ports.
#[test]
fn two_thousand_attachments_in_parallel_leave_nothing() {
    const TASKS: u16 = 2000;
    const SANDBOXES: u16 = 50;
    const NETWORKS: [&str; 4] = ["one", "two", "three", "four"];
    privileges::obtain(|| {
        let (router, outside) = hosts(wire::MTU);
        let library = Arc::new(Library::start(&router));
        let land = Landscape { front: library.clone(), router, outside };
        let before = after_the_first(&land);
        NETWORKS.iter().for_each(|name| land.network(name));
        let sandbox = |number: u16| format!("sandbox-{}", number % SANDBOXES);
        (0..SANDBOXES).for_each(|number| drop(land.sandbox(&sandbox(number))));
        let attach = |number: u16| {
            let (controller, sandbox) = (library.controller().clone(), sandbox(number));
            let port = format!("{}:80/tcp", 10_000 + number);
            let ports: &[&str] = if number.is_multiple_of(2) { &[&port, "53/udp"] } else { &[] };
            let mut request = place(NETWORKS[usize::from(number / SANDBOXES) % NETWORKS.len()], ports);
            request.name = Some(format!("place-{number}").try_into().unwrap());
            async move {
                let endpoint = controller.connect(&sandbox, request).await.unwrap();
                controller.leave(&endpoint.id.to_string()).await.unwrap();
            }
        };
        land.router.block_on(async {
            let tasks: Vec<_> = (0..TASKS).map(|number| tokio::spawn(attach(number))).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        (0..SANDBOXES).for_each(|number| land.front.delete_sandbox(&sandbox(number)).unwrap());
        NETWORKS.iter().for_each(|name| land.front.delete_network(name).unwrap());
        assert_eq!(land.front.objects().unwrap(), [""; 0]);
        before.is_still(&Snapshot::of_host(&land.router));
        land.nothing_is_amiss();
    });
}

#[test]
fn five_hundred_requests_over_several_connections_leave_nothing() {
    const CONNECTIONS: u16 = 10;
    const ROUNDS: u16 = 25;
    privileges::obtain(|| {
        let (router, outside) = hosts(wire::MTU);
        let daemon = Arc::new(Daemon::start(&router));
        let land = Landscape { front: daemon.clone(), router, outside };
        let before = after_the_first(&land);
        let files = daemon.open_files();
        land.network("front");
        thread::scope(|scope| {
            for connection in 0..CONNECTIONS {
                let router = &land.router;
                scope.spawn(move || {
                    let mut api = Api::connect(router).unwrap();
                    let mut post = |path: &str, body| api.ask("POST", path, &body).unwrap();
                    let name = format!("sandbox-{connection}");
                    post("sandboxes", json!({ "name": name }));
                    for round in 0..ROUNDS {
                        let ports = [format!("{}:80/tcp", 10_000 + connection * ROUNDS + round), "53/udp".into()];
                        post(&format!("sandboxes/{name}/connect"), json!({ "network": "front", "ports": ports }));
                        post(&format!("sandboxes/{name}/disconnect"), json!({ "network": "front" }));
                    }
                    api.ask("DELETE", &format!("sandboxes/{name}"), &Value::Null).unwrap();
                });
            }
        });
        land.front.delete_network("front").unwrap();
        assert_eq!(land.front.objects().unwrap(), [""; 0]);
        before.is_still(&Snapshot::of_host(&land.router));
        land.nothing_is_amiss();
        // A connection is closed some time after its caller has hung up.
        while daemon.open_files() > files {
            thread::yield_now();
        }
    });
}
