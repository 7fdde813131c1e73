//! What holds of every plan of a bridge network, whatever the options and the host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use trestle_core::Plan;
use trestle_core::driver::Driver;
use trestle_core::facts::{Facts, LinkFact};
use trestle_core::network::Network;
use trestle_core::port::{HostPorts, PortBinding, PortRequest};
use trestle_core::resource::{FirewallNetwork, GatewayMode, Identity, Namespace, Owner, Resource};
use trestle_drivers::Bridge;

use crate::world::{binding, create, endpoint, host, if_name, internal, join, link, made, network, publish};

const YES_AND_NO: [&str; 2] = ["true", "false"];

/// Every mix of families, options and hosts that a network can be made of.
fn worlds() -> Vec<(Network, Facts)> {
    let mut worlds = Vec::new();
    for subnets in [&["10.1.0.0/24"][..], &["fd00:1::/64"], &["fd00:1::/64", "10.1.0.0/24"]] {
        for name in [None, Some("front0"), Some("lan0")] {
            for (icc, masquerade) in YES_AND_NO.iter().flat_map(|icc| YES_AND_NO.map(|masquerade| (*icc, masquerade))) {
                for mtu in [None, Some("1400")] {
                    let mut options = vec![
                        ("com.docker.network.bridge.enable_icc", icc),
                        ("com.docker.network.bridge.enable_ip_masquerade", masquerade),
                    ];
                    options.extend(name.map(|name| ("com.docker.network.bridge.name", name)));
                    options.extend(mtu.map(|mtu| ("com.docker.network.driver.mtu", mtu)));
                    for facts in hosts() {
                        worlds.push((network(subnets, &options), facts.clone()));
                        worlds.push((internal(network(subnets, &options)), facts));
                    }
                }
            }
        }
    }
    worlds
}

fn hosts() -> Vec<Facts> {
    let mut users = host();
    users.links.push(LinkFact { mtu: 1400, ..link("lan0", "bridge", &["10.1.0.1/24"]) });
    users.accepts_router_advertisements = vec![if_name("eth0"), if_name("lan0")];
    let call = |family| (format!("net/bridge/bridge-nf-call-{family}"), "1".to_owned());
    let mut filtered = users.clone();
    filtered.sysctls.extend(["iptables", "ip6tables"].map(call));
    vec![host(), Facts { filter_bridged: false, ..host() }, Facts { ipv6: false, ..host() }, users, filtered]
}

/// Every plan that is not refused, with the network it is for.
fn plans() -> Vec<(Network, Plan)> {
    let answers = worlds().into_iter().filter_map(|(network, facts)| Some((create(&network, &facts).ok()?, network)));
    let plans: Vec<_> = answers.map(|(plan, network)| (network, plan)).collect();
    assert!(plans.len() > 300, "only {} plans", plans.len());
    plans
}

fn position(plan: &Plan, wanted: impl Fn(&Resource) -> bool) -> Option<usize> {
    plan.resources().iter().position(wanted)
}

#[test]
fn no_two_resources_are_the_same_thing() {
    for (network, facts) in worlds() {
        if create(&network, &facts).is_err() {
            continue;
        }
        let network = made(network, &facts);
        let v4 = network.pool_v4().map(|_| "10.1.0.2/24");
        let v6 = network.pool_v6().map(|_| "fd00:1::2/64");
        let endpoint = endpoint(v4, v6);
        let mut whole = network.state.plan().clone().then(&join(&network, &endpoint).unwrap().plan);
        if !network.internal {
            let ports = [binding(None, "80", "80", "tcp"), binding(None, "80-90", "80-90", "udp")];
            whole = whole.then(&publish(&network, &endpoint, &ports).unwrap());
        }
        let identities: BTreeSet<Identity<'_>> = whole.resources().iter().map(Resource::identity).collect();
        assert_eq!(identities.len(), whole.resources().len(), "{whole:?}");
    }
}

#[test]
fn the_guard_stands_before_anything_opens_and_falls_last() {
    for (_, plan) in plans() {
        assert_eq!(plan.resources().first(), Some(&Resource::FirewallBase));
        assert!(matches!(plan.resources().last(), Some(Resource::FirewallNetwork(_))), "{plan:?}");
        let opens =
            |resource: &Resource| matches!(resource, Resource::Sysctl(it) if it.key.ends_with("route_localnet"));
        assert!(position(&plan, opens).is_none_or(|at| at > 0));
    }
}

#[test]
fn whatever_is_on_the_bridge_is_made_after_it_and_removed_before_it() {
    for (_, plan) in plans() {
        let bridge = position(&plan, |resource| matches!(resource, Resource::Bridge(_))).unwrap();
        let Resource::Bridge(made) = &plan.resources()[bridge] else { unreachable!() };
        for resource in &plan.resources()[..bridge] {
            match resource {
                Resource::FirewallBase => {}
                Resource::Sysctl(it) if made.owner == Owner::User => assert!(!it.key.ends_with("route_localnet")),
                Resource::Sysctl(it) => assert!(!it.key.contains(made.name.as_str()), "{}", it.key),
                other => panic!("{other:?} stands before the bridge"),
            }
        }
    }
}

#[test]
fn a_host_keeps_hearing_its_routers_before_it_forwards() {
    for (_, plan) in plans() {
        let forwards =
            |resource: &Resource| matches!(resource, Resource::Sysctl(it) if it.key == "net/ipv6/conf/all/forwarding");
        let hears = |resource: &Resource| matches!(resource, Resource::Sysctl(it) if it.value == "2");
        let last_kept = plan.resources().iter().rposition(hears);
        assert!(last_kept <= position(&plan, forwards), "{plan:?}");
    }
}

#[test]
fn beyond_its_own_bridge_a_network_touches_only_what_all_networks_share() {
    for (_, plan) in plans() {
        let Some(Resource::FirewallNetwork(own)) = plan.resources().last() else { panic!("{plan:?}") };
        for resource in plan.resources() {
            match resource {
                Resource::FirewallBase => {}
                Resource::Bridge(it) => assert_eq!(it.name, own.bridge),
                Resource::Address(it) => assert_eq!((&it.namespace, &it.link), (&Namespace::Host, &own.bridge)),
                Resource::FirewallNetwork(it) => assert_eq!(it.bridge, own.bridge),
                Resource::Sysctl(it) => {
                    let shared = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"].contains(&it.key.as_str());
                    let of_bridge = it.key.split('/').nth(3) == Some(own.bridge.as_str());
                    let kept = it.key.ends_with("/accept_ra") && it.value == "2";
                    assert!(shared || of_bridge || kept, "{}", it.key);
                }
                other => panic!("{other:?} is not a network's"),
            }
        }
    }
}

#[test]
fn a_user_s_bridge_is_never_set_up() {
    let of_users = plans().into_iter().filter(|(_, plan)| {
        plan.resources().iter().any(|it| matches!(it, Resource::Bridge(bridge) if bridge.owner == Owner::User))
    });
    let mut seen = 0;
    for (_, plan) in of_users {
        seen += 1;
        for resource in plan.resources() {
            if let Resource::Sysctl(it) = resource
                && it.key.contains("/lan0/")
            {
                let allowed =
                    it.key.ends_with("/route_localnet") || (it.key.ends_with("/accept_ra") && it.value == "2");
                assert!(allowed, "{} = {}", it.key, it.value);
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn an_internal_network_has_no_way_in_or_out() {
    for (network, plan) in plans() {
        let Some(Resource::FirewallNetwork(own)) = plan.resources().last() else { panic!("{plan:?}") };
        assert_eq!(own.internal, network.internal);
        if network.internal {
            assert!(!own.masquerade_v4 && !own.masquerade_v6);
            let opens = |it: &str| it.contains("forward") || it.ends_with("route_localnet");
            assert!(!plan.resources().iter().any(|it| matches!(it, Resource::Sysctl(it) if opens(&it.key))));
        }
    }
}

/// Every mix of gateway modes with what it interacts with.
fn modes() -> Vec<(Network, Facts)> {
    let modes = ["nat", "nat-unprotected", "routed", "isolated"];
    let mut worlds = Vec::new();
    for subnets in [&["10.1.0.0/24"][..], &["fd00:1::/64"], &["10.1.0.0/24", "fd00:1::/64"]] {
        for (v4, v6) in modes.iter().flat_map(|v4| modes.map(|v6| (*v4, v6))) {
            for (icc, masquerade) in YES_AND_NO.iter().flat_map(|icc| YES_AND_NO.map(|masquerade| (*icc, masquerade))) {
                for trusted in [None, Some("eth1")] {
                    let mut options = vec![
                        ("com.docker.network.bridge.gateway_mode_ipv4", v4),
                        ("com.docker.network.bridge.gateway_mode_ipv6", v6),
                        ("com.docker.network.bridge.enable_icc", icc),
                        ("com.docker.network.bridge.enable_ip_masquerade", masquerade),
                    ];
                    options.extend(trusted.map(|it| ("com.docker.network.bridge.trusted_host_interfaces", it)));
                    worlds.push((network(subnets, &options), host()));
                    worlds.push((internal(network(subnets, &options)), host()));
                }
            }
        }
    }
    worlds
}

/// Of each family that a network has: its mode, and the endpoint's address of it.
fn families(network: &Network, own: &FirewallNetwork) -> Vec<(GatewayMode, IpAddr)> {
    let v4 = network.pool_v4().map(|_| (own.gateway_v4, IpAddr::from([10, 1, 0, 2])));
    let v6 = network.pool_v6().map(|_| (own.gateway_v6, "fd00:1::2".parse().unwrap()));
    v4.into_iter().chain(v6).collect()
}

#[test]
fn every_mode_keeps_its_word_whatever_it_is_mixed_with() {
    let mut seen = 0;
    for (network, facts) in modes() {
        let Ok(plan) = create(&network, &facts) else { continue };
        seen += 1;
        let Some(Resource::FirewallNetwork(own)) = plan.resources().last() else { panic!("{plan:?}") };
        let modes = [(own.gateway_v4, own.masquerade_v4), (own.gateway_v6, own.masquerade_v6)];
        for (mode, masquerade) in modes {
            assert!(!(masquerade && (mode == GatewayMode::Routed || own.internal)), "{own:?}");
            assert!(mode != GatewayMode::Isolated || own.internal, "{own:?}");
        }
        for (mode, own_address) in families(&network, own) {
            let of_family = |it: &Resource| matches!(it, Resource::Address(it) if it.address.addr().is_ipv4() == own_address.is_ipv4());
            assert_eq!(mode == GatewayMode::Isolated, !plan.resources().iter().any(of_family), "{plan:?}");
        }
        assert!(!own.internal || own.trusted.is_empty());
    }
    assert!(seen > 300, "only {seen} plans");
}

#[test]
fn every_published_port_is_translated_or_opened_in_each_family_and_never_both_without_trust() {
    let requests = ["8080:80", "0.0.0.0:8081:81", "[::]:8082:82", "8083-8093:83-93", "88:88/udp"];
    let mut seen = 0;
    for (network, facts) in modes().into_iter().filter(|(network, _)| !network.internal) {
        let Ok(plan) = create(&network, &facts) else { continue };
        let Some(Resource::FirewallNetwork(own)) = plan.resources().last() else { panic!("{plan:?}") };
        let families = families(&network, own);
        let endpoint = endpoint(network.pool_v4().map(|_| "10.1.0.2/24"), network.pool_v6().map(|_| "fd00:1::2/64"));
        for request in requests {
            let request: PortRequest = request.parse().unwrap();
            let HostPorts::Within(host) = request.host else { unreachable!() };
            let takes = Bridge.takes_host_ports(&network, &request);
            let binding = PortBinding { host: takes.then_some(host), ..request.opened() };
            let Ok(plan) = publish(&network, &endpoint, &[binding]) else { continue };
            seen += 1;
            let mut covered = 0;
            for (mode, address) in &families {
                let meant = request.address.is_none_or(|at| at.is_ipv4() == address.is_ipv4());
                let translated = plan.resources().iter().any(|it| match it {
                    Resource::PublishedPort(it) => {
                        let to = [it.to_v4.map(IpAddr::from), it.to_v6.map(IpAddr::from)].contains(&Some(*address));
                        to && it.address.is_none_or(|at| at.is_ipv4() == address.is_ipv4())
                    }
                    _ => false,
                });
                let opened = plan.resources().iter().any(|it| {
                    matches!(it, Resource::OpenedPort(it) if it.address == *address && it.ports == request.container)
                });
                let trusts = *mode == GatewayMode::Nat && !own.trusted.is_empty();
                assert_eq!(translated, meant && *mode != GatewayMode::Routed, "{request} in {plan:?}");
                assert_eq!(opened, meant && (*mode == GatewayMode::Routed || trusts), "{request} in {plan:?}");
                covered += usize::from(meant);
            }
            let holds = plan.resources().iter().any(|it| matches!(it, Resource::PublishedPort(_)));
            assert_eq!(holds, takes, "{request} in {plan:?}");
            let spans_routed = |it: &Resource| match it {
                Resource::PublishedPort(it) => families.iter().any(|(mode, address)| {
                    *mode == GatewayMode::Routed && it.address.is_none_or(|at| at.is_ipv4() == address.is_ipv4())
                }),
                _ => false,
            };
            assert!(!plan.resources().iter().any(spans_routed), "{request} in {plan:?}");
            assert!(covered > 0 || holds, "{request} comes to nothing");
        }
    }
    assert!(seen > 500, "only {seen} ports");
}
