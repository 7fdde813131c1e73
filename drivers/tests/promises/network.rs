//! What is in the kernel for a network, and when it is refused.

use trestle_core::ErrorKind::{Conflict, Invalid, Unsupported};
use trestle_core::Plan;
use trestle_core::facts::{Facts, LinkFact};
use trestle_core::network::Network;
use trestle_core::resource::{Bridge, FirewallNetwork, GatewayMode, Inside, Namespace, Owner, Resource};

use crate::world::{BRIDGE, address, assert_refused, create, host, if_name, internal, link, made, network, sysctl};

const V4: &str = "10.1.0.0/24";
const V6: &str = "fd00:1::/64";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MTU: &str = "com.docker.network.driver.mtu";
const NAME: &str = "com.docker.network.bridge.name";

fn bridge(ipv6: bool) -> Bridge {
    Bridge {
        name: if_name(BRIDGE),
        owner: Owner::Us,
        mac: "02:67:89:ab:cd:ef".parse().unwrap(),
        mtu: 1500,
        filter_bridged: true,
        ipv6,
    }
}

fn traffic(masquerade_v4: bool, masquerade_v6: bool) -> FirewallNetwork {
    FirewallNetwork {
        bridge: if_name(BRIDGE),
        inside: Inside::Open,
        internal: false,
        gateway_v4: GatewayMode::Nat,
        gateway_v6: GatewayMode::Nat,
        trusted: Vec::new(),
        masquerade_v4,
        masquerade_v6,
        source_v4: None,
        source_v6: None,
        filter_bridged: true,
    }
}

fn bridge_of(plan: &Plan) -> Bridge {
    let mut bridges = plan.resources().iter().filter_map(|resource| match resource {
        Resource::Bridge(bridge) => Some(bridge.clone()),
        _ => None,
    });
    bridges.next().unwrap()
}

fn traffic_of(plan: &Plan) -> FirewallNetwork {
    match plan.resources().last() {
        Some(Resource::FirewallNetwork(traffic)) => traffic.clone(),
        other => panic!("the door does not open last: {other:?}"),
    }
}

#[test]
fn an_ipv4_network_is_a_guarded_bridge_with_its_gateway() {
    let expected = vec![
        Resource::FirewallBase,
        sysctl("net/ipv4/ip_forward", "1", Some("0")),
        Resource::Bridge(bridge(false)),
        sysctl("net/ipv6/conf/br-0123456789ab/disable_ipv6", "1", None),
        address(Namespace::Host, BRIDGE, "10.1.0.1/24"),
        sysctl("net/ipv4/conf/br-0123456789ab/route_localnet", "1", None),
        Resource::FirewallNetwork(traffic(true, false)),
    ];
    assert_eq!(create(&network(&[V4], &[]), &host()).unwrap(), Plan::from(expected));
}

#[test]
fn an_ipv6_network_forwards_ipv6_alone() {
    let expected = vec![
        Resource::FirewallBase,
        sysctl("net/ipv6/conf/all/forwarding", "1", Some("0")),
        Resource::Bridge(bridge(true)),
        sysctl("net/ipv6/conf/br-0123456789ab/disable_ipv6", "0", None),
        sysctl("net/ipv6/conf/br-0123456789ab/accept_ra", "0", None),
        address(Namespace::Host, BRIDGE, "fe80::1/64"),
        address(Namespace::Host, BRIDGE, "fd00:1::1/64"),
        Resource::FirewallNetwork(traffic(false, true)),
    ];
    assert_eq!(create(&network(&[V6], &[]), &host()).unwrap(), Plan::from(expected));
}

#[test]
fn a_network_of_both_families_has_both() {
    let expected = vec![
        Resource::FirewallBase,
        sysctl("net/ipv4/ip_forward", "1", Some("0")),
        sysctl("net/ipv6/conf/all/forwarding", "1", Some("0")),
        Resource::Bridge(bridge(true)),
        sysctl("net/ipv6/conf/br-0123456789ab/disable_ipv6", "0", None),
        sysctl("net/ipv6/conf/br-0123456789ab/accept_ra", "0", None),
        address(Namespace::Host, BRIDGE, "fe80::1/64"),
        address(Namespace::Host, BRIDGE, "10.1.0.1/24"),
        address(Namespace::Host, BRIDGE, "fd00:1::1/64"),
        sysctl("net/ipv4/conf/br-0123456789ab/route_localnet", "1", None),
        Resource::FirewallNetwork(traffic(true, true)),
    ];
    assert_eq!(create(&network(&[V4, V6], &[]), &host()).unwrap(), Plan::from(expected));
}

#[test]
fn a_link_local_gateway_is_the_bridge_s_only_link_local_address() {
    let mut network = network(&["fe80::/64"], &[]);
    network.pools[0].gateway = Some("fe80::1".parse().unwrap());
    let plan = create(&network, &host()).unwrap();
    let addresses = plan.resources().iter().filter(|it| matches!(it, Resource::Address(_)));
    assert_eq!(addresses.collect::<Vec<_>>(), [&address(Namespace::Host, BRIDGE, "fe80::1/64")]);
}

#[test]
fn an_internal_network_neither_forwards_nor_masquerades_nor_opens_the_loopback() {
    let expected = vec![
        Resource::FirewallBase,
        Resource::Bridge(bridge(true)),
        sysctl("net/ipv6/conf/br-0123456789ab/disable_ipv6", "0", None),
        sysctl("net/ipv6/conf/br-0123456789ab/accept_ra", "0", None),
        address(Namespace::Host, BRIDGE, "fe80::1/64"),
        address(Namespace::Host, BRIDGE, "10.1.0.1/24"),
        address(Namespace::Host, BRIDGE, "fd00:1::1/64"),
        Resource::FirewallNetwork(FirewallNetwork { internal: true, ..traffic(false, false) }),
    ];
    assert_eq!(create(&internal(network(&[V4, V6], &[])), &host()).unwrap(), Plan::from(expected));
}

#[test]
fn a_host_that_learns_its_route_from_routers_goes_on_doing_so() {
    let ours = LinkFact { ours: true, ..link("br-other", "bridge", &[]) };
    let mut facts = Facts { accepts_router_advertisements: vec![if_name("eth0"), if_name("br-other")], ..host() };
    facts.links.push(ours);
    facts.sysctls.push(("net/ipv6/conf/eth0/accept_ra".into(), "1".into()));
    let plan = create(&network(&[V6], &[]), &facts).unwrap();
    let expected = [
        Resource::FirewallBase,
        sysctl("net/ipv6/conf/eth0/accept_ra", "2", Some("1")),
        sysctl("net/ipv6/conf/all/forwarding", "1", Some("0")),
    ];
    assert_eq!(plan.resources()[..3], expected);
    let without_ipv6 = create(&network(&[V4], &[]), &facts).unwrap();
    assert!(!without_ipv6.resources().contains(&expected[1]));
}

#[test]
fn a_host_without_ipv6_serves_ipv4_and_refuses_ipv6() {
    let facts = Facts { ipv6: false, ..host() };
    let plan = create(&network(&[V4], &[]), &facts).unwrap();
    let touches_ipv6 = |resource: &Resource| matches!(resource, Resource::Sysctl(it) if it.key.contains("ipv6"));
    assert!(!plan.resources().iter().any(touches_ipv6));
    assert_refused(create(&network(&[V4, V6], &[]), &facts), Unsupported, &["this host has no IPv6"]);
}

#[test]
fn the_mtu_is_the_asked_one_else_the_uplink_s_else_ethernet_s() {
    let mtu = |options: &[(&str, &str)], uplink_mtu, subnet| {
        bridge_of(&create(&network(&[subnet], options), &Facts { uplink_mtu, ..host() }).unwrap()).mtu
    };
    assert_eq!(mtu(&[(MTU, "1400")], Some(9000), V4), 1400);
    assert_eq!(mtu(&[], Some(9000), V4), 9000);
    assert_eq!(mtu(&[], None, V4), 1500);
    assert_eq!(mtu(&[], Some(1000), V6), 1280);
    assert_eq!(mtu(&[], Some(65536), V4), 65535);
    assert_refused(create(&network(&[V6], &[(MTU, "1279")]), &host()), Invalid, &[MTU, "1279", "1280"]);
}

#[test]
fn containers_can_be_kept_apart_only_where_bridged_packets_pass_the_firewall() {
    let apart = network(&[V4], &[(ICC, "false")]);
    assert_eq!(traffic_of(&create(&apart, &host()).unwrap()).inside, Inside::PublishedOnly);
    let without = Facts { filter_bridged: false, ..host() };
    assert_refused(create(&apart, &without), Unsupported, &[ICC, "modprobe br_netfilter"]);
}

#[test]
fn without_br_netfilter_the_firewall_knows_it() {
    let plan = create(&network(&[V4], &[]), &Facts { filter_bridged: false, ..host() }).unwrap();
    assert!(!bridge_of(&plan).filter_bridged);
    assert!(!traffic_of(&plan).filter_bridged);
}

#[test]
fn masquerade_can_be_off_for_both_families() {
    let plan = create(&network(&[V4, V6], &[("com.docker.network.bridge.enable_ip_masquerade", "false")]), &host());
    assert_eq!(traffic_of(&plan.unwrap()), traffic(false, false));
}

#[test]
fn the_bridge_has_the_asked_name_everywhere() {
    let plan = create(&network(&[V4], &[(NAME, "br.front")]), &host()).unwrap();
    assert_eq!(bridge_of(&plan).name, if_name("br.front"));
    assert_eq!(traffic_of(&plan).bridge, if_name("br.front"));
    assert!(plan.resources().contains(&address(Namespace::Host, "br.front", "10.1.0.1/24")));
    assert!(plan.resources().contains(&sysctl("net/ipv4/conf/br.front/route_localnet", "1", None)));
}

#[test]
fn a_link_in_the_way_is_named() {
    let named = network(&[V4], &[(NAME, "eth0")]);
    assert_refused(create(&named, &host()), Conflict, &["link eth0", "no bridge but hardware"]);
    let mut facts = host();
    facts.links.push(link("veth7", "veth", &[]));
    assert_refused(
        create(&network(&[V4], &[(NAME, "veth7")]), &facts),
        Conflict,
        &["link veth7", "no bridge but veth"],
    );
}

#[test]
fn a_bridge_of_another_network_is_not_shared() {
    let mut facts = host();
    facts.links.push(LinkFact { ours: true, ..link("br9", "bridge", &[]) });
    let asked = network(&[V4], &[(NAME, "br9")]);
    assert_refused(create(&asked, &facts), Conflict, &["bridge br9", "another network"]);
}

#[test]
fn asked_again_the_answer_is_the_same() {
    let before = host();
    let network = made(network(&[V4, V6], &[]), &before);
    let mut after = before.clone();
    after.links.push(LinkFact { ours: true, ..link(BRIDGE, "bridge", &["10.1.0.1/24", "fd00:1::1/64"]) });
    assert_eq!(create(&network, &after).unwrap(), *network.state.plan());
}

#[test]
fn one_subnet_a_family_is_taken_and_at_least_one() {
    let two = network(&[V4, "10.2.0.0/24"], &[]);
    assert_refused(create(&two, &host()), Invalid, &["one IPv4 subnet", "10.1.0.0/24 and 10.2.0.0/24"]);
    let two = network(&[V6, "fd00:2::/64"], &[]);
    assert_refused(create(&two, &host()), Invalid, &["one IPv6 subnet", "fd00:1::/64 and fd00:2::/64"]);
    assert_refused(create(&network(&[], &[]), &host()), Invalid, &["has neither"]);
}

#[test]
fn a_family_said_twice_is_said_alike() {
    let asked = |subnet: &str, label, value| create(&network(&[subnet], &[(label, value)]), &host());
    assert!(asked(V6, "com.docker.network.enable_ipv6", "true").is_ok());
    assert!(asked(V4, "com.docker.network.enable_ipv6", "false").is_ok());
    assert_refused(asked(V4, "com.docker.network.enable_ipv6", "1"), Invalid, &["enable_ipv6 is true"]);
    assert_refused(asked(V4, "com.docker.network.enable_ipv4", "f"), Invalid, &["enable_ipv4 is false", V4]);
}

#[test]
fn the_gateway_is_one_of_the_subnet_and_of_no_other_link() {
    let with_gateway = |gateway: Option<&str>| {
        let mut network = network(&[V4], &[]);
        network.pools[0].gateway = gateway.map(|it| it.parse().unwrap());
        network
    };
    for wrong in ["10.2.0.1", "fd00:1::1"] {
        assert_refused(create(&with_gateway(Some(wrong)), &host()), Invalid, &[wrong, "not in subnet 10.1.0.0/24"]);
    }
    assert_refused(create(&with_gateway(None), &host()), Invalid, &["10.1.0.0/24 has no gateway"]);
    let own_address: Network = network(&["192.0.2.0/28"], &[]);
    let mut facts = host();
    facts.links.push(link("eth1", "", &["192.0.2.1/24"]));
    assert_refused(create(&own_address, &facts), Conflict, &["192.0.2.1", "link eth1"]);
}

#[test]
fn a_subnet_does_not_take_the_neighbours_of_another_link() {
    for (subnet, taken) in [("192.0.2.128/25", true), ("192.0.0.0/16", true), ("192.0.3.0/24", false)] {
        let answer = create(&network(&[subnet], &[]), &host());
        match taken {
            true => assert_refused(answer, Conflict, &[subnet, "link eth0"]),
            false => drop(answer.unwrap()),
        }
    }
    let mut with_bridge = host();
    with_bridge.links.push(link("lan0", "bridge", &["10.1.0.1/24"]));
    let users = network(&[V4], &[("com.docker.network.bridge.name", "lan0")]);
    create(&users, &with_bridge).expect("a bridge's own subnet is what it is used for");
}

#[test]
fn an_internal_network_can_do_without_a_gateway() {
    let mut network = internal(network(&[V4], &[]));
    network.pools[0].gateway = None;
    let plan = create(&network, &host()).unwrap();
    assert!(!plan.resources().iter().any(|resource| matches!(resource, Resource::Address(_))));
}
