//! Containers of one network, and the world.

use trestle_tests::landscape::{Landscape, OUTSIDE, PROTOCOLS, ROUTER};
use trestle_tests::traffic::{Protocol, Server};

on_every_front!(
    containers_of_one_network_talk,
    containers_reach_the_world_with_the_address_of_the_host,
    the_first_packet_to_a_new_container_arrives,
);

fn containers_of_one_network_talk(land: &Landscape) {
    land.network("front");
    let (web, client) = (land.container("web", "front", &[]), land.container("client", "front", &[]));
    let _server = web.serve(80);
    for (there, here) in web.addresses("front").into_iter().zip(client.addresses("front")) {
        for protocol in PROTOCOLS {
            let answer = client.ask(protocol, there, 80);
            assert_eq!((answer.by(), answer.saw()), (Some("web"), Some(here)), "{protocol} {there}");
        }
    }
    land.nothing_is_amiss();
}

fn containers_reach_the_world_with_the_address_of_the_host(land: &Landscape) {
    land.network("front");
    let client = land.container("client", "front", &[]);
    let _server = Server::start(land.outside.namespace(), "world", 80);
    for (world, host) in OUTSIDE.into_iter().zip(ROUTER) {
        for protocol in PROTOCOLS {
            let answer = client.ask(protocol, world, 80);
            assert_eq!((answer.by(), answer.saw()), (Some("world"), Some(host)), "{protocol} {world}");
        }
    }
}

fn the_first_packet_to_a_new_container_arrives(land: &Landscape) {
    for round in 0..10 {
        land.network("front");
        let mut web = land.sandbox("web");
        let _server = web.serve(80);
        land.connect(&mut web, "front", &["8080:80/udp"]);
        assert_eq!(land.ask(Protocol::Udp, ROUTER[round % 2], 8080).by(), Some("web"), "{round} from outside");
        let client = land.container("client", "front", &[]);
        let answer = client.ask(Protocol::Udp, web.addresses("front")[round % 2], 80);
        assert_eq!(answer.by(), Some("web"), "{round} from a neighbour: {answer:?}");
        for sandbox in ["web", "client"] {
            land.front.delete_sandbox(sandbox).unwrap();
        }
        land.front.delete_network("front").unwrap();
    }
}
