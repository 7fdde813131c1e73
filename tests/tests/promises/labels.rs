//! What Docker's other labels do to bridges and to the links of containers.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use trestle_core::controller::request::{EndpointRequest, NetworkRequest};
use trestle_tests::landscape::{Container, Landscape, place};
use trestle_tests::snapshot::Snapshot;
use trestle_tests::traffic::{Ear, Protocol};

const NAME: &str = "com.docker.network.bridge.name";
const INHIBIT: &str = "com.docker.network.bridge.inhibit_ipv4";
const DEFAULT: &str = "com.docker.network.bridge.default_bridge";
const COUNT: &str = "com.docker.network.advertise_addr_nmsgs";
const APART: &str = "com.docker.network.advertise_addr_ms";
const SETTINGS: &str = "com.docker.network.endpoint.sysctls";

on_every_front!(
    an_inhibited_bridge_has_no_ipv4_address,
    settings_are_those_of_the_endpoint_s_link,
    a_setting_that_the_kernel_refuses_leaves_nothing,
    somebody_who_changes_a_setting_is_noticed,
    the_default_network_stays,
    addresses_are_announced_as_often_as_asked,
    of_an_address_that_is_gone_nothing_more_is_announced,
);

fn option(key: &str, value: &str) -> impl FnOnce(&mut NetworkRequest) {
    let (key, value) = (key.to_owned(), value.to_owned());
    move |request| drop(request.options.insert(key, value))
}

fn setting(container: &Container, key: &str) -> String {
    let path = Path::new("/proc/sys").join(key);
    container.namespace.run(|| fs::read_to_string(&path)).unwrap().trim().to_owned()
}

fn an_inhibited_bridge_has_no_ipv4_address(land: &Landscape) {
    land.network_as("front", |request| {
        option(NAME, "front0")(request);
        option(INHIBIT, "true")(request);
    });
    assert_eq!(land.router.ip("-4 -o address show dev front0"), "");
    assert_ne!(land.router.ip("-6 -o address show dev front0 scope global"), "");
    let (web, client) = (land.container("web", "front", &[]), land.container("client", "front", &[]));
    let _server = web.serve(80);
    for address in web.addresses("front") {
        assert_eq!(client.ask(Protocol::Tcp, address, 80).by(), Some("web"));
    }
    let gateway = client.gateways("front")[0];
    assert!(client.namespace.ip("route show default").contains(&format!("via {gateway} ")));
    land.nothing_is_amiss();
}

fn with_settings(settings: &str) -> impl FnOnce(&mut EndpointRequest) {
    let settings = settings.to_owned();
    move |request| drop(request.options.insert(SETTINGS.to_owned(), settings))
}

fn settings_are_those_of_the_endpoint_s_link(land: &Landscape) {
    land.network("front");
    land.network("back");
    let mut web = land.container("web", "back", &[]);
    let settings = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.ucast_solicit=05";
    land.connect_as(&mut web, "front", &[], with_settings(settings));
    let link = web.places["front"].interface.clone().unwrap();
    let other = web.places["back"].interface.clone().unwrap();
    assert_ne!(link, other);
    assert_eq!(setting(&web, &format!("net/ipv4/conf/{link}/log_martians")), "1");
    assert_eq!(setting(&web, &format!("net/ipv6/neigh/{link}/ucast_solicit")), "5");
    assert_eq!(setting(&web, &format!("net/ipv4/conf/{other}/log_martians")), "0");
    land.nothing_is_amiss();
    land.disconnect(&mut web, "front");
    land.connect(&mut web, "front", &[]);
    assert_eq!(setting(&web, &format!("net/ipv4/conf/{link}/log_martians")), "0", "it went with the link");
}

fn a_setting_that_the_kernel_refuses_leaves_nothing(land: &Landscape) {
    land.network("front");
    let _web = land.sandbox("web");
    let before = Snapshot::of_host(&land.router);
    for (settings, told) in [
        ("net.ipv4.conf.IFNAME.no_such_setting=1", &["net/ipv4/conf/eth0/no_such_setting", "no setting"][..]),
        ("net.ipv4.conf.IFNAME.log_martians=yes", &["net/ipv4/conf/eth0/log_martians", "does not take \"yes\""]),
        ("net.ipv4.conf.eth0.log_martians=1", &[SETTINGS, "no setting of the endpoint's link"]),
        ("net.ipv6.conf.IFNAME.disable_ipv6=1", &[SETTINGS, "IPv6 address"]),
    ] {
        let mut request = place("front", &[]);
        with_settings(settings)(&mut request);
        let refusal = land.front.connect("web", &request).unwrap_err();
        assert!(told.iter().all(|part| refusal.contains(part)), "{refusal}");
    }
    land.all_comes_right();
    before.is_still(&Snapshot::of_host(&land.router));
}

fn somebody_who_changes_a_setting_is_noticed(land: &Landscape) {
    land.network("front");
    let mut web = land.sandbox("web");
    land.connect_as(&mut web, "front", &[], with_settings("net.ipv4.conf.IFNAME.log_martians=1"));
    let link = web.places["front"].interface.clone().unwrap();
    let path = format!("/proc/sys/net/ipv4/conf/{link}/log_martians");
    web.namespace.run(|| fs::write(&path, "0")).unwrap();
    let drifts = land.front.verify().unwrap();
    assert!(drifts.iter().any(|it| it.contains("log_martians") && it.contains("it says 0 instead of 1")), "{drifts:?}");
}

fn the_default_network_stays(land: &Landscape) {
    land.network_as("main", option(DEFAULT, "true"));
    let refusal = land.front.delete_network("main").unwrap_err();
    assert!(refusal.contains("network main is the default network"), "{refusal}");
    let second = |request: &mut NetworkRequest| option(DEFAULT, "true")(request);
    let mut request = trestle_tests::landscape::network("second");
    second(&mut request);
    let refusal = land.front.create_network(&request).unwrap_err();
    assert!(refusal.contains("network main is the default network already"), "{refusal}");
    let web = land.container("web", "main", &[]);
    assert!(web.places.contains_key("main"));
}

fn addresses_are_announced_as_often_as_asked(land: &Landscape) {
    for (count, name) in ["0", "1", "3"].into_iter().zip(["none", "once", "often"]) {
        land.network_as(name, |request| {
            option(COUNT, count)(request);
            option(APART, "100")(request);
        });
        let friend = land.container(&format!("friend-{name}"), name, &[]);
        let mut ear = Ear::new(&friend.namespace);
        let web = land.container(&format!("web-{name}"), name, &[]);
        let count: usize = count.parse().unwrap();
        for address in web.addresses(name) {
            let at_once = ear.count(address);
            assert!((count.min(1)..=count).contains(&at_once), "{address} was announced {at_once} times at once");
            ear.wait_for(address, count);
        }
    }
}

fn of_an_address_that_is_gone_nothing_more_is_announced(land: &Landscape) {
    land.network_as("front", option(APART, "100"));
    let friend = land.container("friend", "front", &[]);
    let mut ear = Ear::new(&friend.namespace);
    let mut short = land.container("short", "front", &[]);
    let gone = short.addresses("front");
    land.disconnect(&mut short, "front");
    let before = gone.map(|address| ear.count(address));
    // Whoever comes now has another address, so that his are told apart.
    let mut long = land.sandbox("long");
    land.connect_as(&mut long, "front", &[], |request| {
        request.v4 = Some(next(gone[0]));
        request.v6 = Some(next_v6(gone[1]));
    });
    for address in long.addresses("front") {
        ear.wait_for(address, 3);
    }
    assert_eq!(gone.map(|address| ear.count(address)), before);
}

/// An address some way after another.
fn next(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() + 16),
        IpAddr::V6(address) => panic!("{address} is no IPv4 address"),
    }
}

fn next_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() + 16),
        IpAddr::V4(address) => panic!("{address} is no IPv6 address"),
    }
}
