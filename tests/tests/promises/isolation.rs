//! Who can't reach whom.

use trestle_tests::landscape::{Container, Landscape, OUTSIDE, PROTOCOLS, ROUTER};
use trestle_tests::traffic::{Protocol, Server};

const INTER_CONTAINER: &str = "com.docker.network.bridge.enable_icc";

on_every_front!(
    networks_are_kept_apart_but_for_published_ports,
    without_inter_container_traffic_only_published_ports_answer,
    internal_networks_stay_internal,
    only_published_ports_can_be_reached_from_outside,
);

/// Nobody answers at any address of the container.
fn is_closed(client: &Container, target: &Container, network: &str, port: u16) {
    for address in target.addresses(network) {
        for protocol in PROTOCOLS {
            let answer = client.ask(protocol, address, port);
            assert_eq!(answer.by(), None, "{protocol} {address}: {answer:?}");
        }
    }
}

fn networks_are_kept_apart_but_for_published_ports(land: &Landscape) {
    land.network("front");
    land.network("back");
    let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
    let (friend, stranger) = (land.container("friend", "front", &[]), land.container("stranger", "back", &[]));
    let server = web.serve(80);
    is_closed(&stranger, &web, "front", 80);
    assert_eq!(server.clients(), []);
    for (address, own) in web.addresses("front").into_iter().zip(friend.addresses("front")) {
        assert_eq!(friend.ask(Protocol::Tcp, address, 80).saw(), Some(own));
    }
    for protocol in PROTOCOLS {
        let gateways = stranger.gateways("back").into_iter().chain(friend.gateways("front"));
        for address in gateways.chain(ROUTER) {
            let answer = stranger.ask(protocol, address, 8080);
            assert_eq!(answer.by(), Some("web"), "{protocol} {address}: {answer:?}");
        }
    }
}

fn without_inter_container_traffic_only_published_ports_answer(land: &Landscape) {
    land.network_as("front", |request| drop(request.options.insert(INTER_CONTAINER.into(), "false".into())));
    let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
    let client = land.container("client", "front", &[]);
    let (server, _world) = (web.serve(80), Server::start(land.outside.namespace(), "world", 80));
    is_closed(&client, &web, "front", 80);
    assert_eq!(server.clients(), []);
    for protocol in PROTOCOLS {
        for (address, own) in ROUTER.into_iter().zip(client.addresses("front")) {
            let answer = client.ask(protocol, address, 8080);
            assert_eq!((answer.by(), answer.saw()), (Some("web"), Some(own)), "{protocol} {address}");
            assert_eq!(land.ask(protocol, address, 8080).by(), Some("web"), "{protocol} {address} from outside");
        }
        for address in OUTSIDE {
            assert_eq!(client.ask(protocol, address, 80).by(), Some("world"), "{protocol} {address}");
        }
    }
}

fn internal_networks_stay_internal(land: &Landscape) {
    land.network_as("vault", |request| request.internal = true);
    land.network("front");
    let (safe, friend) = (land.container("safe", "vault", &[]), land.container("friend", "vault", &[]));
    let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
    let (server, _world) = (safe.serve(80), Server::start(land.outside.namespace(), "world", 80));
    let _web = web.serve(80);
    is_closed(&web, &safe, "vault", 80);
    is_closed(&safe, &web, "front", 80);
    for protocol in PROTOCOLS {
        for address in safe.addresses("vault") {
            assert_eq!(land.ask(protocol, address, 80).by(), None, "{protocol} {address} from outside");
        }
        for address in OUTSIDE {
            assert_eq!(safe.ask(protocol, address, 80).by(), None, "{protocol} {address}");
        }
        // Not even through another network's published port.
        for address in ROUTER.into_iter().chain(web.gateways("front")).chain(safe.gateways("vault")) {
            let answer = safe.ask(protocol, address, 8080);
            assert_eq!(answer.by(), None, "{protocol} {address}: {answer:?}");
        }
    }
    assert_eq!(server.clients(), []);
    for address in safe.addresses("vault") {
        assert_eq!(friend.ask(Protocol::Tcp, address, 80).by(), Some("safe"));
    }
    let refused = land.front.publish("vault/safe", "9090:80/tcp").unwrap_err();
    assert!(refused.contains("vault is internal"), "{refused}");
}

fn only_published_ports_can_be_reached_from_outside(land: &Landscape) {
    land.network("front");
    let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
    let (published, hidden) = (web.serve(80), web.serve(81));
    // The outside host sends packets for the container's own addresses to the router, and the router forwards.
    for address in web.addresses("front") {
        for protocol in PROTOCOLS {
            for port in [80, 81, 8080] {
                let answer = land.ask(protocol, address, port);
                assert_eq!(answer.by(), None, "{protocol} {address} {port}: {answer:?}");
            }
        }
    }
    for address in ROUTER {
        assert_eq!(land.ask(Protocol::Tcp, address, 81).by(), None);
        assert_eq!(published.clients(), []);
        assert_eq!(land.ask(Protocol::Tcp, address, 8080).by(), Some("web"));
        published.clients();
    }
    assert_eq!(hidden.clients(), []);
}
