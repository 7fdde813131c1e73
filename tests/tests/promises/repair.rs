//! What others break is noticed and mended; what can't be mended is named.

use trestle_tests::landscape::{Landscape, OUTSIDE, PROTOCOLS, ROUTER};
use trestle_tests::snapshot::Snapshot;

on_every_front!(
    a_flushed_firewall_is_made_again,
    a_deleted_link_is_made_again,
    a_chain_of_others_that_drops_forwarded_packets_is_named,
);

fn web_is_served(land: &Landscape) {
    for (host, client) in ROUTER.into_iter().zip(OUTSIDE) {
        for protocol in PROTOCOLS {
            let answer = land.ask(protocol, host, 8080);
            assert_eq!((answer.by(), answer.saw()), (Some("web"), Some(client)), "{protocol} {host}");
        }
    }
}

fn a_flushed_firewall_is_made_again(land: &Landscape) {
    land.network("front");
    let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
    let _server = web.serve(80);
    let before = Snapshot::of_host(&land.router);
    land.router.nft("flush ruleset");
    land.all_comes_right();
    web_is_served(land);
    before.is_still(&Snapshot::of_host(&land.router));
}

fn a_deleted_link_is_made_again(land: &Landscape) {
    land.network("front");
    let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
    let _server = web.serve(80);
    let (before, inside) = (Snapshot::of_host(&land.router), Snapshot::of(&web.namespace));
    let link = web.places["front"].interface.clone().unwrap();
    web.namespace.ip(&format!("link delete {link}"));
    land.all_comes_right();
    web_is_served(land);
    before.is_still(&Snapshot::of_host(&land.router));
    inside.is_still(&Snapshot::of(&web.namespace));
}

fn a_chain_of_others_that_drops_forwarded_packets_is_named(land: &Landscape) {
    land.network("front");
    land.nothing_is_amiss();
    land.router.nft("add table ip stranger { chain wall { type filter hook forward priority 0; policy drop; }; }");
    let amiss = land.front.verify().unwrap().join("\n");
    assert!(amiss.contains("stranger") && amiss.contains("wall"), "{amiss}");
    land.router.nft("delete table ip stranger");
    land.nothing_is_amiss();
}
