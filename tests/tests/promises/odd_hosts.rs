//! Hosts that are not like most: without IPv6, or with a route that a router advertises.

use std::thread;

use rustix::net::{
    AddressFamily, Ipv6Addr, SendFlags, SocketAddrV6, SocketFlags, SocketType, ipproto, sendto, socket_with, sockopt,
};
use trestle_core::controller::request::NetworkRequest;
use trestle_tests::landscape::{Landscape, PROTOCOLS, ROUTER, network};

on_every_front!(a_host_without_ipv6_has_networks_all_the_same, a_host_keeps_the_route_that_its_router_advertises);

fn a_host_without_ipv6_has_networks_all_the_same(land: &Landscape) {
    land.router.set("net/ipv6/conf/all/disable_ipv6", "1");
    land.front.create_network(&NetworkRequest::new("front".try_into().unwrap(), "bridge")).unwrap();
    let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
    let client = land.container("client", "front", &[]);
    let _server = web.serve(80);
    for protocol in PROTOCOLS {
        assert_eq!(land.ask(protocol, ROUTER[0], 8080).by(), Some("web"), "{protocol} from outside");
        assert_eq!(client.ask(protocol, ROUTER[0], 8080).by(), Some("web"), "{protocol} from a neighbour");
        assert_eq!(land.ask_locally(protocol, [127, 0, 0, 1].into(), 8080).by(), Some("web"), "{protocol} on the host");
    }
    let refusal = land.front.create_network(&network("six")).unwrap_err();
    assert!(refusal.contains("IPv6"), "{refusal}");
    land.nothing_is_amiss();
}

fn a_host_keeps_the_route_that_its_router_advertises(land: &Landscape) {
    let advertised = || land.router.ip("-6 route show default proto ra");
    advertise(land);
    while advertised().is_empty() {
        thread::yield_now();
    }
    land.network("front");
    assert_eq!(land.router.setting("net/ipv6/conf/all/forwarding"), "1");
    assert!(!advertised().is_empty(), "the route was dropped");
    // And it goes on listening: what was lost would be learnt again.
    land.router.ip("-6 route del default proto ra");
    advertise(land);
    while advertised().is_empty() {
        thread::yield_now();
    }
    land.nothing_is_amiss();
}

/// The outside host calls itself a router for half an hour (RFC 4861, section 4.2).
fn advertise(land: &Landscape) {
    const LIFETIME: [u8; 2] = 1800_u16.to_be_bytes();
    let packet = [134, 0, 0, 0, 64, 0, LIFETIME[0], LIFETIME[1], 0, 0, 0, 0, 0, 0, 0, 0];
    let index = land.outside.ip("-o link show uplink");
    let index: u32 = index.split(':').next().unwrap().trim().parse().unwrap();
    let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap();
    land.outside.run(|| {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET6, SocketType::RAW, flags, Some(ipproto::ICMPV6)).unwrap();
        // Receivers drop what may have come through a router.
        sockopt::set_ipv6_multicast_hops(&socket, 255).unwrap();
        sendto(&socket, &packet, SendFlags::empty(), &SocketAddrV6::new(all_nodes, 0, 0, index)).unwrap();
    });
}
