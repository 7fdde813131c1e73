//! A container on two networks: it has one default route, and answers over both.

use std::net::SocketAddr;

use trestle_tests::landscape::{Container, Landscape, OUTSIDE, PROTOCOLS, ROUTER};
use trestle_tests::traffic::{Conversation, Server, Stream};

on_every_front!(
    published_ports_of_both_networks_answer_whichever_has_the_default_route,
    the_default_route_is_chosen_again_without_hurting_what_did_not_change,
);

/// The link that owns the container's default route.
fn default_link(container: &Container, family: &str) -> String {
    let routes = container.namespace.ip(&format!("{family} route show default"));
    let link = routes.split_whitespace().skip_while(|word| *word != "dev").nth(1);
    link.unwrap_or_else(|| panic!("no default route: {routes:?}")).to_owned()
}

fn published_ports_of_both_networks_answer_whichever_has_the_default_route(land: &Landscape) {
    land.network("left");
    land.network("right");
    for (name, ports, winner) in [("one", [8081, 8082], "left"), ("other", [8083, 8084], "right")] {
        let publish = |port: u16| [format!("{port}:80/tcp"), format!("{port}:80/udp")];
        let [left, right] = ports.map(publish);
        let mut web = land.container(name, "left", &[&left[0], &left[1]]);
        let priority = if winner == "right" { 100 } else { -100 };
        land.connect_as(&mut web, "right", &[&right[0], &right[1]], |request| request.priority = priority);
        for family in ["-4", "-6"] {
            assert_eq!(Some(&default_link(&web, family)), web.places[winner].interface.as_ref());
        }
        let _server = web.serve(80);
        for (host, client) in ROUTER.into_iter().zip(OUTSIDE) {
            for (port, network) in ports.into_iter().zip(["left", "right"]) {
                for protocol in PROTOCOLS {
                    let answer = land.ask(protocol, host, port);
                    assert_eq!(answer.by(), Some(name), "{protocol} {host} over {network}: {answer:?}");
                    // UDP over a network without the default route is answered through the host's address there.
                    if network == winner {
                        assert_eq!(answer.saw(), Some(client), "{protocol} {host} over {network}");
                    }
                }
            }
        }
    }
    land.nothing_is_amiss();
}

fn the_default_route_is_chosen_again_without_hurting_what_did_not_change(land: &Landscape) {
    land.network("left");
    land.network("right");
    let mut web = land.container("web", "left", &["8081:80/tcp", "8081:80/udp"]);
    land.connect_as(&mut web, "right", &["8082:80/tcp", "8082:80/udp"], |request| request.priority = 100);
    let (_server, _world) = (web.serve(80), Server::start(land.outside.namespace(), "world", 80));
    let left = web.places["left"].interface.clone().unwrap();
    let from_outside: Vec<_> = ROUTER.map(|host| SocketAddr::new(host, 8081)).into();
    let outside = land.outside.namespace();
    let mut streams: Vec<_> = from_outside.iter().map(|target| Stream::open(outside, *target)).collect();
    let conversations: Vec<_> = from_outside.iter().map(|target| Conversation::start(outside, *target)).collect();
    for address in OUTSIDE {
        assert_eq!(web.ask(PROTOCOLS[0], address, 80).by(), Some("world"));
    }
    land.disconnect(&mut web, "right");
    for family in ["-4", "-6"] {
        assert_eq!(default_link(&web, family), left);
    }
    for address in OUTSIDE {
        for protocol in PROTOCOLS {
            assert_eq!(web.ask(protocol, address, 80).by(), Some("world"), "{protocol} {address}");
        }
    }
    land.connect_as(&mut web, "right", &["8082:80/tcp", "8082:80/udp"], |request| request.priority = 100);
    for family in ["-4", "-6"] {
        assert_ne!(default_link(&web, family), left);
    }
    for host in ROUTER {
        for (port, protocol) in [8081, 8082].into_iter().flat_map(|port| PROTOCOLS.map(|protocol| (port, protocol))) {
            assert_eq!(land.ask(protocol, host, port).by(), Some("web"), "{protocol} {host} {port}");
        }
    }
    streams.iter_mut().for_each(Stream::is_alive);
    conversations.iter().for_each(Conversation::goes_on);
    conversations.into_iter().for_each(Conversation::lost_nothing);
}
