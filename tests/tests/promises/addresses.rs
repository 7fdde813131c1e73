//! Addresses that change hands.

use std::net::IpAddr;

use trestle_core::controller::request::EndpointRequest;
use trestle_tests::landscape::{Landscape, PROTOCOLS, ROUTER};

on_every_front!(an_address_used_again_at_once_reaches_its_new_owner);

/// The neighbours know the old owner: they have just talked to it.
fn an_address_used_again_at_once_reaches_its_new_owner(land: &Landscape) {
    land.network("front");
    let neighbour = land.container("neighbour", "front", &[]);
    let mut old = land.container("old", "front", &["8080:80/tcp", "8080:80/udp"]);
    let addresses = old.addresses("front");
    let keep = |request: &mut EndpointRequest| {
        for address in addresses {
            match address {
                IpAddr::V4(address) => request.v4 = Some(address),
                IpAddr::V6(address) => request.v6 = Some(address),
            }
        }
    };
    let before = old.serve(80);
    for (address, host) in addresses.into_iter().zip(ROUTER) {
        for protocol in PROTOCOLS {
            assert_eq!(neighbour.ask(protocol, address, 80).by(), Some("old"));
            assert_eq!(land.ask(protocol, host, 8080).by(), Some("old"));
        }
    }
    drop(before);
    land.disconnect(&mut old, "front");
    let mut new = land.sandbox("new");
    land.connect_as(&mut new, "front", &["8080:80/tcp", "8080:80/udp"], keep);
    assert_eq!(new.addresses("front"), addresses);
    let _server = new.serve(80);
    for (address, host) in addresses.into_iter().zip(ROUTER) {
        for protocol in PROTOCOLS {
            let answer = neighbour.ask(protocol, address, 80);
            assert_eq!(answer.by(), Some("new"), "{protocol} {address}: {answer:?}");
            assert_eq!(land.ask(protocol, host, 8080).by(), Some("new"), "{protocol} {host}");
        }
    }
}
