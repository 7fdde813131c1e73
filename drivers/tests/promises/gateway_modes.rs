//! How packets get in and out of a network, by family: what each mode asks of the kernel, and when it is refused.

use trestle_core::ErrorKind::{Conflict, Forbidden, Invalid};
use trestle_core::Plan;
use trestle_core::driver::Driver;
use trestle_core::facts::LinkFact;
use trestle_core::network::Network;
use trestle_core::port::PortBinding;
use trestle_core::resource::{FirewallNetwork, GatewayMode, Hairpin, OpenedPort, PublishedPort, Resource};
use trestle_drivers::Bridge;

use crate::world::{
    BRIDGE, address, assert_refused, binding, create, endpoint, host, if_name, internal, join, link, made, network,
    opened_binding, publish, wait,
};

const V4: &str = "10.1.0.0/24";
const V6: &str = "fd00:1::/64";
const OWN_V4: &str = "10.1.0.2";
const OWN_V6: &str = "fd00:1::2";
const MODE_V4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
const MODE_V6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
const TRUSTED: &str = "com.docker.network.bridge.trusted_host_interfaces";
const SOURCE_V4: &str = "com.docker.network.host_ipv4";
const SOURCE_V6: &str = "com.docker.network.host_ipv6";
const INHIBIT: &str = "com.docker.network.bridge.inhibit_ipv4";

fn both(options: &[(&str, &str)]) -> Network {
    network(&[V4, V6], options)
}

fn traffic(network: &Network) -> FirewallNetwork {
    let plan = create(network, &host()).unwrap();
    match plan.resources().last() {
        Some(Resource::FirewallNetwork(traffic)) => traffic.clone(),
        other => panic!("the door does not open last: {other:?}"),
    }
}

fn published(network: &Network, ports: &[PortBinding]) -> trestle_core::Result<Plan> {
    let v4 = network.pool_v4().map(|_| "10.1.0.2/24");
    let v6 = network.pool_v6().map(|_| "fd00:1::2/64");
    publish(network, &endpoint(v4, v6), ports)
}

fn opened(address: &str, ports: &str, protocol: &str) -> Resource {
    let (address, ports, protocol) = (address.parse().unwrap(), ports.parse().unwrap(), protocol.parse().unwrap());
    Resource::OpenedPort(OpenedPort { protocol, address, ports })
}

fn hairpin(address: &str) -> Resource {
    Resource::Hairpin(Hairpin { address: address.parse().unwrap() })
}

fn port(address: Option<&str>, to_v4: Option<&str>, to_v6: Option<&str>) -> Resource {
    let PortBinding { protocol, address, host, container } = binding(address, "8080", "80", "tcp");
    let (to_v4, to_v6) = (to_v4.map(|it| it.parse().unwrap()), to_v6.map(|it| it.parse().unwrap()));
    Resource::PublishedPort(PublishedPort { protocol, address, host: host.unwrap(), container, to_v4, to_v6 })
}

#[test]
fn each_family_has_its_own_mode_and_a_routed_one_leaves_as_it_is() {
    let made = traffic(&both(&[(MODE_V4, "nat-unprotected"), (MODE_V6, "routed")]));
    assert_eq!((made.gateway_v4, made.gateway_v6), (GatewayMode::NatUnprotected, GatewayMode::Routed));
    assert_eq!((made.masquerade_v4, made.masquerade_v6), (true, false));
}

#[test]
fn a_routed_ipv4_network_does_not_open_the_host_s_loopback() {
    let opens = |network: &Network| {
        let plan = create(network, &host()).unwrap();
        let opens = |it: &Resource| matches!(it, Resource::Sysctl(it) if it.key.ends_with("route_localnet"));
        plan.resources().iter().any(opens)
    };
    assert!(opens(&both(&[(MODE_V6, "routed")])));
    assert!(!opens(&both(&[(MODE_V4, "routed")])));
}

#[test]
fn on_a_routed_network_a_published_port_is_an_opened_one_and_takes_none_of_the_host() {
    let routed = both(&[(MODE_V4, "routed"), (MODE_V6, "routed")]);
    assert!(!Bridge.takes_host_ports(&routed, &"8080:80".parse().unwrap()));
    assert!(!Bridge.takes_host_ports(&routed, &"[::]::80".parse().unwrap()));
    let plan = published(&routed, &[opened_binding(None, "80", "tcp"), opened_binding(Some("::"), "53", "udp")]);
    let expected = [opened(OWN_V4, "80", "tcp"), opened(OWN_V6, "80", "tcp"), opened(OWN_V6, "53", "udp")];
    assert_eq!(plan.unwrap(), Plan::from(expected.to_vec()));
}

#[test]
fn where_one_family_is_routed_the_port_of_the_host_is_of_the_other() {
    for (mode, published_on, to_v4, to_v6, open_at) in
        [(MODE_V6, "0.0.0.0", Some(OWN_V4), None, OWN_V6), (MODE_V4, "::", None, Some(OWN_V6), OWN_V4)]
    {
        let network = both(&[(mode, "routed")]);
        assert!(Bridge.takes_host_ports(&network, &"8080:80".parse().unwrap()));
        let plan = published(&network, &[binding(None, "8080", "80", "tcp")]).unwrap();
        let translated = to_v4.or(to_v6).unwrap();
        let expected = vec![hairpin(translated), opened(open_at, "80", "tcp"), port(Some(published_on), to_v4, to_v6)];
        assert_eq!(plan, Plan::from(expected));
    }
}

#[test]
fn an_address_of_the_host_says_which_family_a_routed_port_is_of_and_no_more() {
    let network = both(&[(MODE_V6, "routed")]);
    assert!(Bridge.takes_host_ports(&network, &"0.0.0.0:8080:80".parse().unwrap()));
    assert!(!Bridge.takes_host_ports(&network, &"[::]:8080:80".parse().unwrap()));
    let plan = published(&network, &[binding(Some("0.0.0.0"), "8080", "80", "tcp")]).unwrap();
    assert_eq!(plan, Plan::from(vec![hairpin(OWN_V4), port(Some("0.0.0.0"), Some(OWN_V4), None)]));
    let plan = published(&network, &[opened_binding(Some("::"), "80", "tcp")]).unwrap();
    assert_eq!(plan, Plan::from(vec![opened(OWN_V6, "80", "tcp")]));
}

#[test]
fn a_port_that_would_be_open_wider_than_it_says_is_refused() {
    let network = both(&[(MODE_V6, "routed")]);
    let asked = |port: &str| {
        let wanted = vec![port.parse().unwrap()];
        let endpoint = endpoint(Some("10.1.0.2/24"), Some("fd00:1::2/64"));
        wait(Bridge.create_endpoint(&network, &trestle_core::endpoint::Endpoint { wanted, ..endpoint }))
    };
    asked("127.0.0.1:8080:80").unwrap();
    for port in ["[::1]:8080:80", "[2001:db8::1]::80"] {
        assert_refused(asked(port), Invalid, &[port, "network front is routed for IPv6", "name no address"]);
    }
    let refused = published(&network, &[opened_binding(Some("::1"), "80", "tcp")]);
    assert_refused(refused, Invalid, &["[::1]::80/tcp", "routed for IPv6"]);
    let v4_alone = crate::world::network(&[V4], &[(MODE_V4, "routed")]);
    let refused = publish(&v4_alone, &endpoint(Some("10.1.0.2/24"), None), &[opened_binding(Some("::"), "80", "tcp")]);
    assert_refused(refused, Invalid, &["[::]::80/tcp", "has no IPv6", "routed"]);
}

#[test]
fn opened_ports_that_overlap_are_opened_once() {
    let routed = network(&[V4], &[(MODE_V4, "routed")]);
    let asked = [
        opened_binding(None, "85-95", "tcp"),
        opened_binding(None, "80-90", "tcp"),
        opened_binding(None, "80", "tcp"),
        opened_binding(None, "96", "tcp"),
        opened_binding(None, "96", "tcp"),
        opened_binding(None, "90", "udp"),
    ];
    let expected = [opened(OWN_V4, "80-95", "tcp"), opened(OWN_V4, "96", "tcp"), opened(OWN_V4, "90", "udp")];
    assert_eq!(published(&routed, &asked).unwrap(), Plan::from(expected.to_vec()));
}

#[test]
fn trusted_links_reach_published_ports_at_the_container_s_own_address() {
    let trusting = network(&[V4], &[(TRUSTED, "eth1:vxlan.1")]);
    assert_eq!(traffic(&trusting).trusted, [if_name("eth1"), if_name("vxlan.1")]);
    let plan = published(&trusting, &[binding(Some("127.0.0.1"), "8080", "80", "tcp")]).unwrap();
    let expected = vec![hairpin(OWN_V4), opened(OWN_V4, "80", "tcp"), port(Some("127.0.0.1"), Some(OWN_V4), None)];
    assert_eq!(plan, Plan::from(expected));
    let everybody = network(&[V4], &[(TRUSTED, "eth1"), (MODE_V4, "nat-unprotected")]);
    let plan = published(&everybody, &[binding(None, "8080", "80", "tcp")]).unwrap();
    assert!(!plan.resources().iter().any(|it| matches!(it, Resource::OpenedPort(_))), "every port is open already");
}

#[test]
fn an_isolated_family_has_no_address_on_the_bridge() {
    let isolated = internal(both(&[(MODE_V4, "isolated"), (MODE_V6, "isolated")]));
    let plan = create(&isolated, &host()).unwrap();
    assert!(!plan.resources().iter().any(|it| matches!(it, Resource::Address(_))), "{plan:?}");
    let speaks = |it: &Resource| matches!(it, Resource::Bridge(it) if it.ipv6);
    assert!(!plan.resources().iter().any(speaks), "not even a link-local one");
    let half = create(&internal(both(&[(MODE_V4, "isolated")])), &host()).unwrap();
    let namespace = trestle_core::resource::Namespace::Host;
    let addresses: Vec<_> = half.resources().iter().filter(|it| matches!(it, Resource::Address(_))).collect();
    assert_eq!(
        addresses,
        [&address(namespace.clone(), BRIDGE, "fe80::1/64"), &address(namespace, BRIDGE, "fd00:1::1/64")]
    );
    let joined = join(&made(isolated, &host()), &endpoint(Some("10.1.0.2/24"), Some("fd00:1::2/64"))).unwrap();
    assert_eq!((joined.gateway_v4, joined.gateway_v6), (None, None));
}

#[test]
fn only_an_internal_network_can_be_isolated_and_only_on_a_bridge_without_the_host() {
    for mode in [MODE_V4, MODE_V6] {
        let open = create(&both(&[(mode, "isolated")]), &host());
        assert_refused(open, Invalid, &[mode, "network front is not internal", "--internal"]);
    }
    let mut facts = host();
    let addresses = ["10.1.0.1/24", "fe80::5/64"];
    facts.links.push(LinkFact { ..link("lan0", "bridge", &addresses) });
    let on_lan = |mode| internal(both(&[(mode, "isolated"), ("com.docker.network.bridge.name", "lan0")]));
    assert_refused(create(&on_lan(MODE_V4), &facts), Conflict, &[MODE_V4, "bridge lan0", "10.1.0.1/24"]);
    create(&on_lan(MODE_V6), &facts).expect("a link-local address is on every link");
}

#[test]
fn internal_goes_before_every_mode() {
    for mode in ["nat", "nat-unprotected", "routed"] {
        let network = internal(both(&[(MODE_V4, mode), (MODE_V6, mode)]));
        let made = traffic(&network);
        assert!(made.internal && !made.masquerade_v4 && !made.masquerade_v6);
        let refused = published(&network, &[binding(None, "8080", "80", "tcp")]);
        assert_refused(refused, Forbidden, &["network front is internal"]);
    }
    let refused = create(&internal(both(&[(TRUSTED, "eth1")])), &host());
    assert_refused(refused, Invalid, &[TRUSTED, "network front is internal"]);
}

#[test]
fn packets_leave_with_the_chosen_address_where_they_are_masqueraded() {
    let made = traffic(&both(&[(SOURCE_V4, "192.0.2.7"), (SOURCE_V6, "2001:db8::7")]));
    assert_eq!(made.source_v4, Some([192, 0, 2, 7].into()));
    assert_eq!(made.source_v6, Some("2001:db8::7".parse().unwrap()));
    let no_masquerade = ("com.docker.network.bridge.enable_ip_masquerade", "false");
    for (source, value, network) in [
        (SOURCE_V4, "192.0.2.7", both(&[(SOURCE_V4, "192.0.2.7"), no_masquerade])),
        (SOURCE_V4, "192.0.2.7", both(&[(SOURCE_V4, "192.0.2.7"), (MODE_V4, "routed")])),
        (SOURCE_V4, "192.0.2.7", internal(both(&[(SOURCE_V4, "192.0.2.7")]))),
        (SOURCE_V4, "192.0.2.7", network(&[V6], &[(SOURCE_V4, "192.0.2.7")])),
        (SOURCE_V6, "2001:db8::7", network(&[V4], &[(SOURCE_V6, "2001:db8::7")])),
        (SOURCE_V6, "2001:db8::7", both(&[(SOURCE_V6, "2001:db8::7"), (MODE_V6, "routed")])),
    ] {
        assert_refused(create(&network, &host()), Invalid, &[source, value, "leave the option out"]);
    }
}

#[test]
fn an_inhibited_bridge_lacks_its_ipv4_address_and_nothing_else() {
    let (plain, inhibited) = (both(&[]), both(&[(INHIBIT, "true")]));
    let with = create(&plain, &host()).unwrap();
    let without = create(&inhibited, &host()).unwrap();
    let gateway = address(trestle_core::resource::Namespace::Host, BRIDGE, "10.1.0.1/24");
    assert!(with.resources().contains(&gateway));
    assert_eq!(without, with.resources().iter().filter(|it| **it != gateway).cloned().collect());
    let joined = join(&made(inhibited, &host()), &endpoint(Some("10.1.0.2/24"), Some("fd00:1::2/64"))).unwrap();
    assert_eq!(joined.gateway_v4, Some([10, 1, 0, 1].into()), "somebody else has it");
    let mut facts = host();
    facts.links.push(link("lan9", "", &["10.1.0.1/24"]));
    create(&both(&[(INHIBIT, "true")]), &facts).expect("another link of the host may have it");
}

#[test]
fn a_network_can_be_marked_as_the_default_one() {
    assert!(!Bridge.is_default(&both(&[])));
    assert!(Bridge.is_default(&both(&[("com.docker.network.bridge.default_bridge", "true")])));
}
