//! What holds of every plan of a bridge network, whatever the options and the host.

use std::collections::BTreeSet;

use trestle_core::Plan;
use trestle_core::facts::{Facts, LinkFact};
use trestle_core::network::Network;
use trestle_core::resource::{Identity, Namespace, Owner, Resource};

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
