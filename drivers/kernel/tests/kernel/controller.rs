//! One controller a namespace; two in two namespaces; what they tell of their host.

use trestle_core::Plan;
use trestle_core::error::ErrorKind;
use trestle_core::kernel::{Disturbance, Kernel};
use trestle_core::resource::{Hairpin, Resource};
use trestle_kernel::stamp;

use crate::host::{endpoint, ip, kernel, name, netns, network, on_a_host, open, reaches, room, with_sandboxes};

#[test]
fn a_second_controller_is_refused_and_told_of_the_first() {
    on_a_host(async || {
        let first = open("/var/lib/first").unwrap();
        let error = open("/var/lib/second").err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let pid = format!("pid {}", std::process::id());
        assert!(error.to_string().contains(&pid) && error.to_string().contains("/var/lib/first"), "{error}");
        drop(first);
        open("/var/lib/second").unwrap();
    });
}

#[test]
fn two_controllers_in_two_namespaces_never_touch_each_other() {
    let host = || {
        on_a_host(async || {
            let kernel = kernel();
            with_sandboxes(&kernel, 3).await;
            let all = (2..5).fold(network(), |plan, number| plan.then(&room(number)).then(&endpoint(number)));
            kernel.remove(&room(4).then(&endpoint(4))).await.unwrap();
            kernel.reap(&[]).await.unwrap();
            let kept = network().then(&room(2)).then(&endpoint(2));
            assert_eq!(kernel.sweep(std::slice::from_ref(&kept)).await.unwrap().len(), 2, "one link, one namespace");
            assert_eq!(kernel.verify(&kept).await.unwrap(), []);
            assert!(reaches(&netns(2), "10.0.0.1"));
            kernel.remove(&all).await.unwrap();
        });
    };
    let other = std::thread::spawn(host);
    host();
    other.join().unwrap();
}

#[test]
fn the_stamp_is_the_namespace_s_own() {
    let host = || on_a_host(async || (stamp().unwrap(), stamp().unwrap()));
    let ((one, again), (other, _)) = (host(), host());
    assert_eq!(one, again);
    assert_eq!(one.boot_id, other.boot_id);
    assert_ne!(one.netns_cookie, other.netns_cookie);
}

#[test]
fn the_facts_are_the_host_s() {
    on_a_host(async || {
        let kernel = kernel();
        kernel.apply(&network()).await.unwrap();
        ip("link add uplink mtu 1442 type veth peer name other");
        ip("link set uplink up");
        ip("link set other up");
        ip("address add 192.0.2.7/24 dev uplink");
        ip("route add default via 192.0.2.1");
        ip("route add 198.51.100.0/24 via 192.0.2.1");
        let facts = kernel.facts().await.unwrap();
        assert_eq!(facts.uplink_mtu, Some(1442));
        let routes: Vec<String> = facts.routes.iter().map(ToString::to_string).collect();
        assert!(routes.contains(&"198.51.100.0/24".into()) && routes.contains(&"192.0.2.0/24".into()), "{routes:?}");
        assert!(!routes.iter().any(|route| route.ends_with("/0")), "{routes:?}");
        let bridge = facts.link(&name("br-test")).unwrap();
        assert!(bridge.ours && bridge.kind == "bridge" && bridge.addresses.contains(&"10.0.0.1/24".parse().unwrap()));
        let uplink = facts.link(&name("uplink")).unwrap();
        assert!(!uplink.ours && uplink.kind == "veth" && uplink.addresses.contains(&"192.0.2.7/24".parse().unwrap()));
        assert_eq!(facts.sysctl("net/ipv4/ip_forward"), Some("0"));
        // Every link would listen to routers; only one that has learnt a route from them has something to lose.
        assert!(facts.ipv6 && facts.accepts_router_advertisements.is_empty());
        ip("-6 route add 2001:db8:7::/64 dev uplink proto ra");
        assert_eq!(kernel.facts().await.unwrap().accepts_router_advertisements, [name("uplink")]);
        assert!(facts.links.iter().all(|link| link.name.as_str() != "lo"));
    });
}

#[test]
fn a_stranger_s_change_of_our_links_is_told_and_our_own_are_not() {
    on_a_host(async || {
        let kernel = kernel();
        for _ in 0..5 {
            with_sandboxes(&kernel, 4).await;
            for number in 2..6 {
                kernel.remove(&room(number).then(&endpoint(number))).await.unwrap();
            }
            kernel.reap(&[]).await.unwrap();
        }
        with_sandboxes(&kernel, 2).await;
        // What is not ours may change as it likes.
        ip("link add stranger0 type veth peer name stranger1");
        ip("link del stranger0");
        for (command, link) in [
            ("link set veth0000000002 down", "veth0000000002"),
            ("link del veth0000000003", "veth0000000003"),
            ("link set br-test mtu 1280", "br-test"),
        ] {
            ip(command);
            let news = kernel.disturbed().await;
            assert_eq!(news, Some(Disturbance::Link { name: link.into() }), "{command}");
            let plan = network().then(&endpoint(2)).then(&endpoint(3));
            kernel.apply(&plan).await.unwrap();
            assert_eq!(kernel.verify(&plan).await.unwrap(), []);
        }
    });
}

#[test]
fn dropping_the_kernel_layer_leaves_what_it_made() {
    on_a_host(async || {
        let first = kernel();
        with_sandboxes(&first, 2).await;
        drop(first);
        assert!(reaches(&netns(2), "10.0.0.3"));
        let second = kernel();
        let plan = network().then(&room(2)).then(&endpoint(2));
        assert_eq!(second.verify(&plan).await.unwrap(), []);
        assert!(plan.resources().iter().any(|it| matches!(it, Resource::Veth(_))));
    });
}

#[test]
fn a_stranger_s_change_of_our_firewall_is_told_and_our_own_are_not() {
    on_a_host(async || {
        let kernel = kernel();
        let plan =
            Plan::from(vec![Resource::FirewallBase, Resource::Hairpin(Hairpin { address: [10, 0, 0, 2].into() })]);
        kernel.apply(&plan).await.unwrap();
        kernel.remove(&plan).await.unwrap();
        kernel.apply(&plan).await.unwrap();
        let flushed = std::process::Command::new("nft").args(["flush", "ruleset"]).status().unwrap();
        assert!(flushed.success());
        let news = kernel.disturbed().await;
        let Some(Disturbance::Firewall { by: Some(by) }) = &news else { panic!("{news:?}") };
        assert!(by.contains("nft"), "{by}");
        assert!(!kernel.verify(&plan).await.unwrap().is_empty());
        assert!(kernel.restore(std::slice::from_ref(&plan)).await[0].is_ok());
        assert_eq!(kernel.verify(&plan).await.unwrap(), []);
    });
}

#[test]
fn a_stranger_s_chain_that_drops_is_named() {
    on_a_host(async || {
        let kernel = kernel();
        let plan = Plan::from(vec![Resource::FirewallBase]);
        kernel.apply(&plan).await.unwrap();
        let rules = "table inet walls { chain shut { type filter hook forward priority 0; policy drop; }; }";
        assert!(std::process::Command::new("nft").arg(rules).status().unwrap().success());
        let drifts = kernel.verify(&plan).await.unwrap();
        assert!(drifts.iter().any(|drift| drift.detail.contains("walls")), "{drifts:?}");
    });
}
