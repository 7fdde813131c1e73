//! Published ports, and who sees whom through them.

use trestle_tests::landscape::{LOCALHOST, Landscape, OUTSIDE, PROTOCOLS, ROUTER};
use trestle_tests::traffic::{Protocol, ask_patiently};

const WEB: [&str; 2] = ["8080:80/tcp", "8080:80/udp"];

on_every_front!(
    a_published_port_answers_from_outside_and_the_client_keeps_its_address,
    a_published_port_answers_on_the_host_itself,
    a_published_port_answers_another_container,
    a_container_reaches_itself_through_its_published_port,
    a_port_published_on_one_address_answers_there_alone,
    every_port_of_a_range_answers,
    a_network_without_ipv6_is_reached_over_ipv6_too,
);

fn a_published_port_answers_from_outside_and_the_client_keeps_its_address(land: &Landscape) {
    land.network("front");
    let web = land.container("web", "front", &WEB);
    let _server = web.serve(80);
    for (host, client) in ROUTER.into_iter().zip(OUTSIDE) {
        for protocol in PROTOCOLS {
            let answer = land.ask(protocol, host, 8080);
            assert_eq!((answer.by(), answer.saw()), (Some("web"), Some(client)), "{protocol} {host}");
        }
    }
}

fn a_published_port_answers_on_the_host_itself(land: &Landscape) {
    land.network("front");
    let web = land.container("web", "front", &WEB);
    let _server = web.serve(80);
    for address in ROUTER.into_iter().chain([LOCALHOST[0]]).chain(web.gateways("front")) {
        for protocol in PROTOCOLS {
            let answer = land.ask_locally(protocol, address, 8080);
            assert_eq!(answer.by(), Some("web"), "{protocol} {address}: {answer:?}");
        }
    }
    // No table can do this one: the daemon relays it, and takes its time.
    for protocol in PROTOCOLS {
        let answer = ask_patiently(land.router.namespace(), protocol, LOCALHOST[1], 8080);
        assert_eq!(answer.by(), Some("web"), "{protocol} ::1: {answer:?}");
    }
}

fn a_published_port_answers_another_container(land: &Landscape) {
    land.network("front");
    land.network("back");
    let web = land.container("web", "front", &WEB);
    let _server = web.serve(80);
    for network in ["front", "back"] {
        let client = land.container(&format!("client-{network}"), network, &[]);
        for (address, own) in ROUTER.into_iter().zip(client.addresses(network)) {
            for protocol in PROTOCOLS {
                let answer = client.ask(protocol, address, 8080);
                assert_eq!((answer.by(), answer.saw()), (Some("web"), Some(own)), "{protocol} {address} {network}");
            }
        }
    }
}

fn a_container_reaches_itself_through_its_published_port(land: &Landscape) {
    land.network("front");
    let web = land.container("web", "front", &WEB);
    let _server = web.serve(80);
    for address in ROUTER.into_iter().chain(web.gateways("front")) {
        for protocol in PROTOCOLS {
            let answer = web.ask(protocol, address, 8080);
            assert_eq!(answer.by(), Some("web"), "{protocol} {address}: {answer:?}");
        }
    }
}

fn a_port_published_on_one_address_answers_there_alone(land: &Landscape) {
    land.network("front");
    land.router.ip("address add 192.0.2.3/24 dev uplink");
    let ports = ["127.0.0.1:8081:80/tcp", "[::1]:8082:80/tcp", "192.0.2.3:8083:80/tcp", "[2001:db8:1::2]:8084:80/tcp"];
    let web = land.container("web", "front", &ports);
    let _server = web.serve(80);
    let other = "192.0.2.3".parse().unwrap();
    for address in [ROUTER[0], ROUTER[1], other] {
        for port in 8081..=8084 {
            let expected = (address == other && port == 8083) || (address == ROUTER[1] && port == 8084);
            for answer in [land.ask(Protocol::Tcp, address, port), land.ask_locally(Protocol::Tcp, address, port)] {
                assert_eq!(answer.by().is_some(), expected, "{address} {port}: {answer:?}");
            }
        }
    }
    for (address, port) in LOCALHOST.into_iter().zip([8081, 8082]) {
        let answer = land.ask_locally(Protocol::Tcp, address, port);
        assert_eq!(answer.by(), Some("web"), "{address}: {answer:?}");
    }
}

fn every_port_of_a_range_answers(land: &Landscape) {
    land.network("front");
    // Equal ones, others one for one, and the first free one of a range for a single port.
    let web = land.container("web", "front", &["8000-8003:8000-8003/tcp", "9000-9001:8002-8003/udp"]);
    let first = land.container("first", "front", &["7000-7001:80/tcp"]);
    let second = land.container("second", "front", &["7000-7001:80/tcp"]);
    let _servers: Vec<_> =
        (8000..=8003).map(|port| web.serve(port)).chain([first.serve(80), second.serve(80)]).collect();
    for address in ROUTER {
        for port in 8000..=8003 {
            assert_eq!(land.ask(Protocol::Tcp, address, port).by(), Some("web"), "{address} {port}");
        }
        for port in [9000, 9001] {
            assert_eq!(land.ask(Protocol::Udp, address, port).by(), Some("web"), "{address} {port}");
        }
        for (port, name) in [(7000, "first"), (7001, "second")] {
            assert_eq!(land.ask(Protocol::Tcp, address, port).by(), Some(name), "{address} {port}");
        }
        for port in [7999, 8004, 9002] {
            assert_eq!(land.ask(Protocol::Tcp, address, port).by(), None, "{address} {port}");
        }
    }
    let third = land.front.publish("front/web", "7000-7001:80/tcp").unwrap_err();
    assert!(third.contains("first") || third.contains("second"), "{third}");
}

fn a_network_without_ipv6_is_reached_over_ipv6_too(land: &Landscape) {
    land.network_as("front", |request| request.ipv6 = false);
    let web = land.container("web", "front", &["8080:80/tcp"]);
    let _server = web.serve(80);
    // The daemon relays it.
    let answer = land.ask(Protocol::Tcp, ROUTER[1], 8080);
    assert_eq!(answer.by(), Some("web"), "{answer:?}");
}
