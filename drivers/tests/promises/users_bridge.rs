//! A bridge that somebody else made is used as it stands.

use trestle_core::ErrorKind::{Conflict, Unsupported};
use trestle_core::Plan;
use trestle_core::facts::{Facts, LinkFact};
use trestle_core::resource::{Bridge, FirewallNetwork, GatewayMode, Inside, Namespace, Owner, Resource, Sysctl};

use crate::world::{address, assert_refused, create, host, if_name, link, network, sysctl};

const NAME: (&str, &str) = ("com.docker.network.bridge.name", "lan0");
const MTU: &str = "com.docker.network.driver.mtu";
const ICC: (&str, &str) = ("com.docker.network.bridge.enable_icc", "false");

fn host_with_bridge(addresses: &[&str]) -> Facts {
    let mac = Some("52:54:00:00:00:01".parse().unwrap());
    let mut facts = host();
    facts.links.push(LinkFact { mtu: 9000, mac, ..link("lan0", "bridge", addresses) });
    facts
}

fn bridge(filter_bridged: bool) -> Bridge {
    Bridge {
        name: if_name("lan0"),
        owner: Owner::User,
        mac: "52:54:00:00:00:01".parse().unwrap(),
        mtu: 9000,
        filter_bridged,
        ipv6: true,
    }
}

fn traffic(filter_bridged: bool) -> FirewallNetwork {
    FirewallNetwork {
        bridge: if_name("lan0"),
        inside: Inside::Open,
        internal: false,
        gateway_v4: GatewayMode::Nat,
        gateway_v6: GatewayMode::Nat,
        trusted: Vec::new(),
        masquerade_v4: true,
        masquerade_v6: true,
        source_v4: None,
        source_v6: None,
        filter_bridged,
    }
}

/// The guard of the loopback goes with the last network; a bridge that stays must not stay open.
fn put_back(setting: Resource) -> Resource {
    match setting {
        Resource::Sysctl(it) => Resource::Sysctl(Sysctl { put_back: true, ..it }),
        other => other,
    }
}

#[test]
fn it_is_used_with_its_own_mtu_and_mac_and_gets_only_the_addresses_that_it_lacks() {
    let network = network(&["10.1.0.0/24", "fd00:1::/64"], &[NAME]);
    let expected = vec![
        Resource::FirewallBase,
        sysctl("net/ipv4/ip_forward", "1", Some("0")),
        sysctl("net/ipv6/conf/all/forwarding", "1", Some("0")),
        Resource::Bridge(bridge(false)),
        address(Namespace::Host, "lan0", "fd00:1::1/64"),
        put_back(sysctl("net/ipv4/conf/lan0/route_localnet", "1", Some("0"))),
        Resource::FirewallNetwork(traffic(false)),
    ];
    let has_v4 = host_with_bridge(&["10.1.0.1/16", "198.51.100.1/24"]);
    assert_eq!(create(&network, &has_v4).unwrap(), Plan::from(expected.clone()));

    let mut has_none = expected.clone();
    has_none.insert(4, address(Namespace::Host, "lan0", "10.1.0.1/24"));
    assert_eq!(create(&network, &host_with_bridge(&[])).unwrap(), Plan::from(has_none));

    let mut has_both = expected;
    has_both.remove(4);
    let facts = host_with_bridge(&["10.1.0.1/24", "fd00:1::1/64"]);
    assert_eq!(create(&network, &facts).unwrap(), Plan::from(has_both));
}

#[test]
fn its_address_has_to_reach_the_whole_subnet() {
    let narrow = host_with_bridge(&["10.1.0.1/32"]);
    let parts = ["bridge lan0", "10.1.0.1/32", "needs 10.1.0.1/24"];
    assert_refused(create(&network(&["10.1.0.0/24"], &[NAME]), &narrow), Conflict, &parts);
}

#[test]
fn another_mtu_than_its_own_is_refused() {
    let asked = |mtu| create(&network(&["10.1.0.0/24"], &[NAME, (MTU, mtu)]), &host_with_bridge(&[]));
    assert!(asked("9000").is_ok());
    assert_refused(asked("1500"), Conflict, &[MTU, "1500", "lan0", "9000"]);
}

#[test]
fn its_packets_pass_the_firewall_only_if_the_host_says_so_for_both_families() {
    let apart = network(&["10.1.0.0/24"], &[NAME, ICC]);
    let filtering = |families: &[&str]| {
        let mut facts = host_with_bridge(&[]);
        let setting = |family: &&str| (format!("net/bridge/bridge-nf-call-{family}"), "1".to_owned());
        facts.sysctls.extend(families.iter().map(setting));
        facts
    };
    for too_few in [&[][..], &["iptables"], &["ip6tables"]] {
        let refused = create(&apart, &filtering(too_few));
        assert_refused(refused, Unsupported, &["lan0", "net.bridge.bridge-nf-call-ip6tables"]);
    }
    let facts = filtering(&["iptables", "ip6tables"]);
    let plan = create(&apart, &facts).unwrap();
    let expected = FirewallNetwork { inside: Inside::PublishedOnly, masquerade_v6: false, ..traffic(true) };
    assert_eq!(plan.resources().last(), Some(&Resource::FirewallNetwork(expected)));
    assert!(plan.resources().contains(&Resource::Bridge(Bridge { ipv6: false, ..bridge(true) })));
}
