//! Ports that are published and taken back while their container runs.

use std::net::SocketAddr;

use trestle_tests::landscape::{Landscape, PROTOCOLS, ROUTER};
use trestle_tests::traffic::{Caller, Conversation, Protocol, Stream};

on_every_front!(ports_come_and_go_without_hurting_a_connection, a_udp_flow_follows_its_port_to_the_next_container,);

fn ports_come_and_go_without_hurting_a_connection(land: &Landscape) {
    land.network("front");
    let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
    let _servers = [web.serve(80), web.serve(81)];
    for address in ROUTER {
        let target = SocketAddr::new(address, 8080);
        let mut stream = Stream::open(land.outside.namespace(), target);
        let conversation = Conversation::start(land.outside.namespace(), target);
        for port in ["8081:81/tcp", "8081:81/udp"] {
            let published = land.front.publish("front/web", port).unwrap();
            assert!(published.contains(&port.to_owned()), "{port} is not in {published:?}");
        }
        for protocol in PROTOCOLS {
            assert_eq!(land.ask(protocol, address, 8081).by(), Some("web"), "{protocol} {address}");
        }
        stream.is_alive();
        for port in ["81/tcp", "81/udp"] {
            let left = land.front.unpublish("front/web", port).unwrap();
            assert!(!left.is_empty() && left.iter().all(|left| !left.ends_with(port)), "{left:?}");
        }
        for protocol in PROTOCOLS {
            assert_eq!(land.ask(protocol, address, 8081).by(), None, "{protocol} {address}");
            assert_eq!(land.ask(protocol, address, 8080).by(), Some("web"), "{protocol} {address}");
        }
        stream.is_alive();
        conversation.goes_on();
        conversation.lost_nothing();
    }
    land.nothing_is_amiss();
}

fn a_udp_flow_follows_its_port_to_the_next_container(land: &Landscape) {
    land.network("front");
    let (first, second) = (land.container("first", "front", &["53:53/udp"]), land.container("second", "front", &[]));
    let _servers = [first.serve(53), second.serve(53)];
    let callers = ROUTER.map(|host| Caller::new(land.outside.namespace(), SocketAddr::new(host, 53)));
    for caller in &callers {
        assert_eq!(caller.ask().by(), Some("first"));
    }
    land.front.unpublish("front/first", "53/udp").unwrap();
    for caller in &callers {
        assert_eq!(caller.ask().by(), None);
    }
    land.front.publish("front/second", "53:53/udp").unwrap();
    for caller in &callers {
        assert_eq!(caller.ask().by(), Some("second"));
    }
    assert_eq!(land.ask(Protocol::Udp, ROUTER[0], 53).by(), Some("second"));
}
