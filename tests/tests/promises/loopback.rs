//! The host's own loopback addresses.

use trestle_tests::landscape::{LOCALHOST, Landscape, PROTOCOLS};
use trestle_tests::traffic::Server;

on_every_front!(a_container_can_not_reach_what_listens_on_the_loopback_of_the_host);

/// A container with all rights over its own namespace sends packets for 127.0.0.1 to the host.
fn a_container_can_not_reach_what_listens_on_the_loopback_of_the_host(land: &Landscape) {
    land.network("front");
    land.container("web", "front", &["127.0.0.1:8080:80/tcp", "127.0.0.1:8080:80/udp"]);
    let attacker = land.container("attacker", "front", &[]);
    let server = Server::start_at(land.router.namespace(), "host", "127.0.0.1:9000".parse().unwrap());
    let gateway = attacker.gateways("front")[0];
    assert!(gateway.is_ipv4());
    let bridges = land.router.ip("-o link show type bridge");
    let bridge = bridges.split(':').nth(1).unwrap().trim().to_owned();
    assert_eq!(land.router.setting(&format!("net/ipv4/conf/{bridge}/route_localnet")), "1", "else this proves nothing");

    let own = attacker.addresses("front")[0];
    let inside = &attacker.namespace;
    for destination in ["127.0.0.0/8", "127.0.0.1"] {
        inside.ip(&format!("route delete table local local {destination} dev lo"));
    }
    inside.run(|| std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1")).unwrap();
    inside.ip(&format!("route add 127.0.0.0/8 via {gateway} src {own}"));
    for protocol in PROTOCOLS {
        for port in [9000, 8080] {
            let answer = attacker.ask(protocol, LOCALHOST[0], port);
            assert_eq!(answer.by(), None, "{protocol} {port}: {answer:?}");
        }
    }
    assert_eq!(server.clients(), []);
    for protocol in PROTOCOLS {
        assert_eq!(land.ask_locally(protocol, LOCALHOST[0], 9000).by(), Some("host"));
    }
}
