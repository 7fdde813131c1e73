//! What links an endpoint to its sandbox.

use trestle_core::ErrorKind::{Forbidden, Internal, Invalid};
use trestle_core::Plan;
use trestle_core::driver::{Chosen, Driver, InterfaceName, Joined};
use trestle_core::facts::Facts;
use trestle_core::network::Network;
use trestle_core::resource::{Announcements, Peer, Resource, Sysctl, Veth};
use trestle_drivers::Bridge;

use crate::world::{
    BRIDGE, address, assert_refused, endpoint, host, if_name, internal, join, made, network, sandbox, texts, wait,
};

const V4: &str = "10.1.0.0/24";
const V6: &str = "fd00:1::/64";
const SETTINGS: &str = "com.docker.network.endpoint.sysctls";
const IFNAME: &str = "com.docker.network.endpoint.ifname";

fn veth(ipv6: bool) -> Veth {
    Veth {
        name: if_name("vethfedcba9876"),
        bridge: if_name(BRIDGE),
        mtu: 1500,
        hairpin: true,
        peer: Peer { namespace: sandbox(), name: if_name("eth0"), mac: "02:42:0a:01:00:02".parse().unwrap(), ipv6 },
    }
}

fn with_veth(veth: Veth, addresses: &[&str]) -> Plan {
    let addresses = addresses.iter().map(|net| address(sandbox(), "eth0", net));
    std::iter::once(Resource::Veth(veth)).chain(addresses).collect()
}

#[test]
fn an_endpoint_is_a_veth_pair_with_its_addresses_and_the_way_out() {
    let network = made(network(&[V4, V6], &[]), &host());
    let joined = join(&network, &endpoint(Some("10.1.0.2/24"), Some("fd00:1::2/64"))).unwrap();
    let expected = Joined {
        plan: with_veth(veth(true), &["10.1.0.2/24", "fd00:1::2/64"]),
        interface: Some(if_name("eth0")),
        gateway_v4: Some("10.1.0.1".parse().unwrap()),
        gateway_v6: Some("fd00:1::1".parse().unwrap()),
        ..Joined::default()
    };
    assert_eq!(joined, expected);
}

#[test]
fn an_endpoint_without_ipv6_has_none_at_all() {
    let network = made(network(&[V4], &[]), &host());
    let joined = join(&network, &endpoint(Some("10.1.0.2/24"), None)).unwrap();
    assert_eq!(joined.plan, with_veth(veth(false), &["10.1.0.2/24"]));
    assert_eq!(joined.gateway_v6, None);
}

#[test]
fn an_internal_network_has_no_way_out() {
    let network = made(internal(network(&[V4, V6], &[])), &host());
    let joined = join(&network, &endpoint(Some("10.1.0.2/24"), Some("fd00:1::2/64"))).unwrap();
    assert_eq!((joined.gateway_v4, joined.gateway_v6), (None, None));
}

#[test]
fn mtu_and_hairpin_are_those_of_the_bridge_as_it_was_made() {
    let facts = Facts { filter_bridged: false, uplink_mtu: Some(9000), ..host() };
    let network = made(network(&[V4], &[("com.docker.network.bridge.name", "front0")]), &facts);
    let joined = join(&network, &endpoint(Some("10.1.0.2/24"), None)).unwrap();
    let expected = Veth { bridge: if_name("front0"), mtu: 9000, hairpin: false, ..veth(false) };
    assert_eq!(joined.plan, with_veth(expected, &["10.1.0.2/24"]));
}

#[test]
fn what_cannot_be_linked_is_an_error_of_ours() {
    let not_made = network(&[V4], &[]);
    assert_refused(join(&not_made, &endpoint(Some("10.1.0.2/24"), None)), Internal, &["network front", "no bridge"]);
    let network = made(network(&[V4], &[]), &host());
    assert_refused(join(&network, &endpoint(None, None)), Internal, &["endpoint web", "no address"]);
}

#[test]
fn links_are_called_as_the_endpoint_else_the_network_says() {
    let named = |network: &Network, options: &[(&str, &str)]| {
        let mut endpoint = endpoint(Some("10.1.0.2/24"), None);
        endpoint.options = texts(options);
        Bridge.interface_name(network, &endpoint)
    };
    let prefixed = network(&[V4], &[("com.docker.network.container_iface_prefix", "lan")]);
    assert_eq!(named(&network(&[V4], &[]), &[]), InterfaceName::Numbered("eth".into()));
    assert_eq!(named(&prefixed, &[]), InterfaceName::Numbered("lan".into()));
    assert_eq!(named(&prefixed, &[(IFNAME, "front0")]), InterfaceName::Exactly(if_name("front0")));
}

#[test]
fn endpoint_options_are_checked_when_the_place_is_reserved() {
    let reserve = |options: &[(&str, &str)], interface: Option<&str>| {
        let mut endpoint = endpoint(Some("10.1.0.2/24"), None);
        endpoint.options = texts(options);
        endpoint.interface = interface.map(if_name);
        wait(Bridge.create_endpoint(&network(&[V4], &[]), &endpoint))
    };
    assert_eq!(reserve(&[(IFNAME, "front0")], None).unwrap(), Chosen::default());
    assert_eq!(reserve(&[(IFNAME, "front0")], Some("front0")).unwrap(), Chosen::default());
    assert_refused(reserve(&[(IFNAME, "front0")], Some("eth7")), Invalid, &[IFNAME, "front0", "eth7"]);
    assert_refused(reserve(&[(IFNAME, "a b")], None), Invalid, &[IFNAME, "a b"]);
    assert_refused(reserve(&[("com.docker.network.endpoint.ifnam", "x")], None), Invalid, &["nearest known", IFNAME]);
    assert_refused(reserve(&[(SETTINGS, "x")], None), Invalid, &[SETTINGS, "has no '='"]);
}

#[test]
fn settings_are_those_of_the_link_whatever_its_name() {
    let network = made(network(&[V4], &[]), &host());
    let mut endpoint = endpoint(Some("10.1.0.2/24"), None);
    let settings =
        "net.ipv4.conf.IFNAME.log_martians=1, net.ipv4.neigh.IFNAME.mcast_solicit=5,net.mpls.conf.IFNAME.input=1";
    endpoint.options = texts(&[(SETTINGS, settings)]);
    let joined = join(&network, &endpoint).unwrap();
    let setting = |key: &str, value: &str| {
        let (key, value) = (key.to_owned(), value.to_owned());
        Resource::Sysctl(Sysctl { namespace: sandbox(), key, value, prior: None, put_back: false })
    };
    let expected = vec![
        Resource::Veth(veth(false)),
        setting("net/ipv4/conf/eth0/log_martians", "1"),
        setting("net/ipv4/neigh/eth0/mcast_solicit", "5"),
        setting("net/mpls/conf/eth0/input", "1"),
        address(sandbox(), "eth0", "10.1.0.2/24"),
    ];
    assert_eq!(joined.plan, Plan::from(expected));
}

#[test]
fn a_setting_that_would_cost_the_endpoint_its_address_is_refused() {
    let asked = |v6: Option<&str>, value: &str| {
        let mut endpoint = endpoint(Some("10.1.0.2/24"), v6);
        let setting = format!("net.ipv6.conf.IFNAME.disable_ipv6={value}");
        endpoint.options = texts(&[(SETTINGS, &setting)]);
        wait(Bridge.create_endpoint(&network(&[V4, V6], &[]), &endpoint))
    };
    asked(None, "1").unwrap();
    asked(Some("fd00:1::2/64"), "0").unwrap();
    assert_refused(asked(Some("fd00:1::2/64"), "1"), Invalid, &[SETTINGS, "disable_ipv6", "IPv6 address"]);
}

#[test]
fn addresses_are_announced_as_often_as_the_network_says() {
    let options = [("com.docker.network.advertise_addr_nmsgs", "2"), ("com.docker.network.advertise_addr_ms", "250")];
    let network = made(network(&[V4, V6], &options), &host());
    let joined = join(&network, &endpoint(Some("10.1.0.2/24"), Some("fd00:1::2/64"))).unwrap();
    let announced: Vec<Announcements> = joined
        .plan
        .resources()
        .iter()
        .filter_map(|it| if let Resource::Address(it) = it { Some(it.announcements) } else { None })
        .collect();
    assert_eq!(announced, [Announcements { count: 2, milliseconds_apart: 250 }; 2]);
}

#[test]
fn a_place_on_an_internal_network_cannot_be_reserved_with_ports() {
    let mut endpoint = endpoint(Some("10.1.0.2/24"), None);
    endpoint.wanted = vec!["80:80".parse().unwrap()];
    let asked = wait(Bridge.create_endpoint(&internal(network(&[V4], &[])), &endpoint));
    assert_refused(asked, Forbidden, &["network front is internal", "another network"]);
    assert!(wait(Bridge.create_endpoint(&network(&[V4], &[]), &endpoint)).is_ok());
}

#[test]
fn leaving_and_deleting_ask_for_nothing() {
    let (network, endpoint) = (network(&[V4], &[]), endpoint(None, None));
    wait(Bridge.leave(&network, &endpoint)).unwrap();
    wait(Bridge.delete_endpoint(&network, &endpoint)).unwrap();
    wait(Bridge.delete_network(&network)).unwrap();
}
