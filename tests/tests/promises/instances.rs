//! One controller a network namespace, and as many as there are namespaces.

use std::sync::Arc;

use trestle_tests::daemon::Daemon;
use trestle_tests::landscape::{Landscape, PROTOCOLS, ROUTER, hosts};
use trestle_tests::library::Library;
use trestle_tests::snapshot::Snapshot;
use trestle_tests::{privileges, wire};

on_every_front!(installations_in_two_namespaces_never_touch_each_other);

/// The same names, the same ports, the same addresses.
fn installations_in_two_namespaces_never_touch_each_other(land: &Landscape) {
    let (router, outside) = hosts(wire::MTU);
    let other = Landscape { front: crate::daemon(&router), router, outside };
    let make = |land: &Landscape| {
        land.network("front");
        let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
        let server = web.serve(80);
        (web, server)
    };
    let (_web, _server) = make(land);
    let before = Snapshot::of_host(&land.router);
    let (_other_web, _other_server) = make(&other);
    other.front.delete_sandbox("web").unwrap();
    other.front.delete_network("front").unwrap();
    drop(other);
    before.is_still(&Snapshot::of_host(&land.router));
    for host in ROUTER {
        for protocol in PROTOCOLS {
            assert_eq!(land.ask(protocol, host, 8080).by(), Some("web"), "{protocol} {host}");
        }
    }
    land.nothing_is_amiss();
}

#[test]
fn a_second_controller_in_a_namespace_is_refused_and_the_first_is_named() {
    privileges::obtain(|| {
        let (router, _outside) = hosts(wire::MTU);
        let daemon = Arc::new(Daemon::start(&router));
        let before = Snapshot::of_host(&router);
        for refusal in [
            daemon.start_rival(&router.folder().join("rival")).map(|_process| "it runs").unwrap_err(),
            Library::try_start(&router, &router.folder().join("rival")).map(|_library| "it runs").unwrap_err(),
        ] {
            assert!(refusal.contains(&daemon.pid().to_string()), "{refusal}");
        }
        before.is_still(&Snapshot::of_host(&router));
    });
}
