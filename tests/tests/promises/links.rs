//! Links: those of others, and how large a packet may be.

use trestle_core::controller::request::{NetworkRequest, PoolWish};
use trestle_tests::landscape::{Landscape, PROTOCOLS, ROUTER};
use trestle_tests::privileges;
use trestle_tests::snapshot::Snapshot;
use trestle_tests::traffic::Protocol;

const NAME: &str = "com.docker.network.bridge.name";

on_every_front!(
    a_bridge_of_the_user_is_used_and_stays_as_it_was,
    a_network_with_packets_too_small_for_ipv6_is_as_it_should_be,
);

fn a_network_with_packets_too_small_for_ipv6_is_as_it_should_be(land: &Landscape) {
    land.network_as("front", |request: &mut NetworkRequest| {
        request.ipv6 = false;
        request.options.insert("com.docker.network.driver.mtu".into(), "1279".into());
    });
    let web = land.container("web", "front", &["8080:80"]);
    let _server = web.serve(80);
    assert_eq!(land.ask(Protocol::Tcp, ROUTER[0], 8080).by(), Some("web"));
    land.nothing_is_amiss();
}

fn a_bridge_of_the_user_is_used_and_stays_as_it_was(land: &Landscape) {
    // What every network needs is there already, so that only this network's things come and go.
    land.network("other");
    land.container("other", "other", &[]);
    // With a given Ethernet address, for otherwise a bridge takes that of a port.
    land.router.ip("link add name mine address 02:00:00:00:00:50 type bridge");
    land.router.ip("link set dev mine addrgenmode none up");
    for address in ["10.50.0.1/24", "fd50::1/64", "fe80::50/64"] {
        land.router.ip(&format!("address add {address} dev mine nodad"));
    }
    let pool = |subnet: &str, gateway: &str| PoolWish {
        subnet: subnet.parse().unwrap(),
        range: None,
        gateway: Some(gateway.parse().unwrap()),
        auxiliary: Default::default(),
    };
    let before = Snapshot::of_host(&land.router);
    land.network_as("front", |request: &mut NetworkRequest| {
        request.options.insert(NAME.into(), "mine".into());
        request.pools = vec![pool("10.50.0.0/24", "10.50.0.1"), pool("fd50::/64", "fd50::1")];
    });
    let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
    let client = land.container("client", "front", &[]);
    let _server = web.serve(80);
    for protocol in PROTOCOLS {
        for address in web.addresses("front") {
            assert_eq!(client.ask(protocol, address, 80).by(), Some("web"), "{protocol} {address}");
        }
        for host in ROUTER {
            assert_eq!(land.ask(protocol, host, 8080).by(), Some("web"), "{protocol} {host} from outside");
            assert_eq!(client.ask(protocol, host, 8080).by(), Some("web"), "{protocol} {host} from a neighbour");
            assert_eq!(web.ask(protocol, host, 8080).by(), Some("web"), "{protocol} {host} from itself");
        }
    }
    for sandbox in ["web", "client"] {
        land.front.delete_sandbox(sandbox).unwrap();
    }
    land.front.delete_network("front").unwrap();
    before.is_still(&Snapshot::of_host(&land.router));
}

/// Played with a wire of its own.
fn networks_take_the_mtu_of_the_uplink(land: &Landscape) {
    land.network("front");
    let web = land.container("web", "front", &[]);
    let link = web.places["front"].interface.clone().unwrap();
    let inside = web.namespace.ip(&format!("-o link show {link}"));
    assert!(inside.contains(" mtu 1404 "), "{inside}");
    for kind in ["bridge", "veth"] {
        let links = land.router.ip(&format!("-o link show type {kind}"));
        assert!(links.lines().all(|link| link.contains(" mtu 1404 ")), "{links}");
    }
}

mod with_another_mtu {
    use super::*;

    #[test]
    fn networks_take_the_mtu_of_the_uplink_through_the_library() {
        privileges::obtain(|| networks_take_the_mtu_of_the_uplink(&Landscape::with_mtu(crate::library, 1404)));
    }

    #[test]
    fn networks_take_the_mtu_of_the_uplink_through_the_daemon() {
        privileges::obtain(|| networks_take_the_mtu_of_the_uplink(&Landscape::with_mtu(crate::daemon, 1404)));
    }
}
