//! What goes, goes wholly.

use std::thread;

use trestle_core::controller::request::NetnsRequest;
use trestle_tests::landscape::{Landscape, place};
use trestle_tests::snapshot::Snapshot;
use trestle_tests::{host::Host, privileges};

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

#[test]
fn five_hundred_attachments_in_parallel_leave_nothing() {
    privileges::obtain(|| {
        let land = Landscape::new(crate::library);
        let before = after_the_first(&land);
        land.network("front");
        thread::scope(|scope| {
            for worker in 0..20 {
                let front = &land.front;
                scope.spawn(move || {
                    let name = format!("worker-{worker}");
                    front.create_sandbox(&name, &NetnsRequest::Make).unwrap();
                    for round in 0..25 {
                        let port = format!("{}:80/tcp", 10_000 + worker * 25 + round);
                        front.connect(&name, &place("front", &[&port, "53/udp"])).unwrap();
                        front.disconnect(&name, "front").unwrap();
                    }
                    front.delete_sandbox(&name).unwrap();
                });
            }
        });
        land.front.delete_network("front").unwrap();
        assert_eq!(land.front.objects().unwrap(), [""; 0]);
        before.is_still(&Snapshot::of_host(&land.router));
        land.nothing_is_amiss();
    });
}
