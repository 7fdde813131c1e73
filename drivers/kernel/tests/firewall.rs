//! The firewall's table, as the kernel and `nft` show it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod firewall_host;

use firewall_host::resources::{network, of_every_kind, port};
use firewall_host::{Host, all, instance, listing, nft, nft_output, run};
use trestle_core::error::ErrorKind;
use trestle_core::kernel::{Deviation, Disturbance, is_port_taken};
use trestle_core::resource::{Loopback, Namespace, Resource};
use trestle_kernel::firewall::{Firewall, News, render, watch};
use trestle_kernel::mark::Instance;

/// What `nft` makes of our text, in a namespace of its own.
fn listing_of_text(text: &str) -> String {
    Host::new().run(|| {
        let checked = nft_output(&["-c"], text);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        nft(text);
        listing()
    })
}

#[test]
fn the_encoder_and_the_text_say_the_same() {
    let every = of_every_kind();
    let mut cases: Vec<Vec<Resource>> = every.iter().map(|it| vec![Resource::FirewallBase, it.clone()]).collect();
    cases.push(every);
    for resources in cases {
        let encoded = Host::new().run(|| {
            let mut firewall = Firewall::open(instance()).unwrap();
            firewall.change(&[], &[], &all(&resources)).unwrap();
            assert_eq!(firewall.verify(&all(&resources)).unwrap(), []);
            assert_eq!(firewall.extra(&all(&resources)).unwrap(), Vec::<String>::new());
            listing()
        });
        assert_eq!(encoded, listing_of_text(&render(&all(&resources))));
    }
}

fn ports(first: u16, last: u16, container: u16) -> Resource {
    Resource::PublishedPort(port(None, (first, last), container))
}

fn base_and(resource: Resource) -> Vec<Resource> {
    vec![Resource::FirewallBase, resource]
}

/// A firewall with these resources in a namespace of its own.
fn with_firewall(resources: &[Resource], test: impl FnOnce(&mut Firewall) + Send) {
    Host::new().run(|| {
        let mut firewall = Firewall::open(instance()).unwrap();
        firewall.change(&[], &[], &all(resources)).unwrap();
        test(&mut firewall);
    });
}

#[test]
fn opening_changes_nothing_and_what_is_not_the_firewall_s_is_passed_over() {
    Host::new().run(|| {
        let mut firewall = Firewall::open(instance()).unwrap();
        let other = Resource::Loopback(Loopback { namespace: Namespace::Host });
        firewall.change(&[&other], &[], &[&other]).unwrap();
        firewall.restore(&[&other]).unwrap();
        assert_eq!(firewall.verify(&[&other]).unwrap(), []);
        assert!(!firewall.exists().unwrap());
    });
}

#[test]
fn adding_twice_is_adding_once() {
    let every = of_every_kind();
    with_firewall(&every, |firewall| {
        let once = listing();
        firewall.change(&[], &[], &all(&every)).unwrap();
        assert_eq!(listing(), once);
    });
}

#[test]
fn rules_and_their_counters_survive_the_next_network() {
    let first = base_and(Resource::FirewallNetwork(network("first")));
    with_firewall(&first, |firewall| {
        let handles = run("nft", &["-a", "list", "chain", "inet", "trestle", "forward"]);
        firewall.change(&[], &[], &all(&base_and(Resource::FirewallNetwork(network("second"))))).unwrap();
        assert_eq!(run("nft", &["-a", "list", "chain", "inet", "trestle", "forward"]), handles);
    });
}

#[test]
fn removing_takes_all_and_only_what_was_added() {
    let first = base_and(Resource::FirewallNetwork(network("first")));
    with_firewall(&first, |firewall| {
        let before = listing();
        let rest: Vec<Resource> = of_every_kind().split_off(1);
        firewall.change(&[], &[], &all(&rest)).unwrap();
        firewall.change(&all(&rest), &[], &[]).unwrap();
        assert_eq!(listing(), before);
    });
}

#[test]
fn removing_what_is_gone_succeeds() {
    let every = of_every_kind();
    with_firewall(&every, |firewall| {
        let rest = every[1..].to_vec();
        nft(
            "delete element inet trestle any_ports_v4 { tcp . 8080 }\ndelete element inet trestle bridges { \"trestle0\" }\n",
        );
        firewall.change(&all(&rest), &[], &[]).unwrap();
        assert_eq!(firewall.extra(&[]).unwrap(), Vec::<String>::new());
        firewall.change(&all(&rest), &[], &[]).unwrap();
        nft("delete table inet trestle\n");
        firewall.change(&all(&rest), &[], &[]).unwrap();
        firewall.change(&all(&every), &[], &[]).unwrap();
        assert!(!firewall.exists().unwrap());
    });
}

#[test]
fn removing_the_base_removes_the_table() {
    let every = of_every_kind();
    with_firewall(&every, |firewall| {
        assert!(firewall.exists().unwrap());
        firewall.change(&all(&every), &[], &[]).unwrap();
        assert!(!firewall.exists().unwrap());
        assert_eq!(run("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn a_changed_target_takes_one_transaction() {
    with_firewall(&base_and(ports(8080, 8080, 80)), |firewall| {
        let observer = Firewall::open(Instance::new(1)).unwrap();
        let mut watch = watch(&observer).unwrap();
        firewall.change(&[], &[(&ports(8080, 8080, 80), &ports(8080, 8080, 81))], &[]).unwrap();
        assert!(watch.news().unwrap().is_some());
        assert_eq!(watch.news().unwrap(), None);
        assert!(listing().contains("tcp . 8080 : 172.17.0.2 . 81"));
        assert_eq!(firewall.extra(&[&ports(8080, 8080, 81)]).unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_range_shrinks_without_touching_the_ports_that_stay() {
    let (wide, narrow) = (ports(7000, 7003, 80), ports(7000, 7001, 80));
    with_firewall(&base_and(wide.clone()), |firewall| {
        firewall.change(&[], &[(&wide, &narrow)], &[]).unwrap();
        assert_eq!(firewall.verify(&[&narrow]).unwrap(), []);
        assert_eq!(firewall.extra(&[&narrow]).unwrap(), Vec::<String>::new());
    });
}

#[test]
fn ten_thousand_ports_go_in_one_transaction_and_out_again() {
    let many = ports(10000, 19999, 20000);
    with_firewall(&[Resource::FirewallBase], |firewall| {
        firewall.change(&[], &[], &[&many]).unwrap();
        assert_eq!(firewall.verify(&[&many]).unwrap(), []);
        assert_eq!(firewall.extra(&[]).unwrap().len(), 20_000);
        firewall.restore(&[&many]).unwrap();
        assert_eq!(firewall.extra(&[&many]).unwrap(), Vec::<String>::new());
        nft("delete element inet trestle any_ports_v6 { tcp . 15000 }\n");
        firewall.change(&[&many], &[], &[]).unwrap();
        assert_eq!(firewall.extra(&[]).unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_change_is_made_whole_or_not_at_all() {
    with_firewall(&base_and(ports(8080, 8080, 80)), |firewall| {
        let before = listing();
        let [good, taken] = [Resource::FirewallNetwork(network("good")), ports(8080, 8080, 99)];
        let error = firewall.change(&[], &[], &[&good, &taken]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(is_port_taken(&error), "{error}");
        assert!(error.cause().contains("8080/tcp"), "{error}");
        assert_eq!(listing(), before);
    });
}

#[test]
fn others_may_change_their_rules_in_between() {
    with_firewall(&base_and(ports(8080, 8080, 80)), |firewall| {
        nft("add table inet somebody\n");
        firewall.change(&[], &[], &[&ports(81, 81, 81)]).unwrap();
        nft("delete table inet somebody\n");
        firewall.change(&[&ports(81, 81, 81)], &[], &[&ports(82, 82, 82)]).unwrap();
        assert_eq!(firewall.verify(&[&ports(8080, 8080, 80), &ports(82, 82, 82)]).unwrap(), []);
    });
}

#[test]
fn what_is_added_finds_a_whole_table_even_if_somebody_deleted_it() {
    let network = Resource::FirewallNetwork(network("first"));
    for deed in [
        "flush ruleset\n",
        "delete table inet trestle\n",
        "flush chain inet trestle nat_postrouting\nflush map inet trestle entering\n",
        "flush chain inet trestle ports\ndelete map inet trestle any_ports_v4\n",
    ] {
        with_firewall(&[Resource::FirewallBase, network.clone()], |firewall| {
            nft(deed);
            firewall.change(&[], &[], &[&Resource::FirewallBase, &network, &ports(80, 80, 80)]).unwrap();
            assert_eq!(
                firewall.verify(&[&Resource::FirewallBase, &network, &ports(80, 80, 80)]).unwrap(),
                [],
                "{deed}"
            );
        });
    }
    with_firewall(&[Resource::FirewallBase], |firewall| {
        nft("flush chain inet trestle ports\ndelete map inet trestle any_ports_v4\n");
        firewall.change(&[], &[], &[&ports(80, 80, 80)]).unwrap();
        assert_eq!(firewall.verify(&[&ports(80, 80, 80)]).unwrap(), []);
    });
}

#[test]
fn restoring_mends_everything_and_keeps_the_admin_chain() {
    let every = of_every_kind();
    for damage in [
        "",
        "flush chain inet trestle forward\n",
        "delete element inet trestle bridges { \"trestle0\" }\nadd element inet trestle bridges { \"stale\" }\n",
        "add rule inet trestle forward drop\n",
        "insert rule inet trestle nat_postrouting masquerade\n",
        "delete chain inet trestle raw_prerouting\nadd chain inet trestle raw_prerouting { type filter hook prerouting priority 5; }\n",
        "flush chain inet trestle ports\ndelete map inet trestle ports_v4\nadd map inet trestle ports_v4 { type ipv4_addr : ipv4_addr; }\n",
        // As it was before networks had a gateway mode for each family.
        "flush chain inet trestle forward\ndelete map inet trestle inside\n\
         add map inet trestle inside { type ifname . ifname : verdict; }\n\
         add element inet trestle inside { \"trestle0\" . \"trestle0\" : accept }\n\
         add rule inet trestle forward iifname . oifname vmap @inside\n",
        "add table inet trestle { flags dormant; }\n",
    ] {
        with_firewall(&every, |firewall| {
            nft("add chain inet trestle mine\nadd rule inet trestle mine ip saddr 203.0.113.7 drop\n");
            nft("add rule inet trestle admin jump mine\nadd rule inet trestle admin iifname @bridges counter\n");
            let before = listing();
            nft(damage);
            firewall.restore(&all(&every)).unwrap();
            assert_eq!(blocks(&listing()), blocks(&before), "{damage}");
            assert_eq!(firewall.verify(&all(&every)).unwrap(), []);
        });
    }
}

/// Chains and sets in one order: what is made anew stands last.
fn blocks(listing: &str) -> std::collections::BTreeSet<&str> {
    listing.trim_end_matches('}').split("\n\n").map(str::trim).collect()
}

#[test]
fn rules_of_people_outlive_the_last_network() {
    let every = of_every_kind();
    for restore in [false, true] {
        with_firewall(&every, |firewall| {
            nft("add rule inet trestle admin ip saddr 203.0.113.7 drop\n");
            match restore {
                true => firewall.restore(&[]).unwrap(),
                false => firewall.change(&all(&every), &[], &[]).unwrap(),
            }
            let left = listing();
            assert!(left.contains("203.0.113.7") && !left.contains("elements"), "{left}");
            firewall.change(&[], &[], &all(&every)).unwrap();
            assert!(listing().contains("203.0.113.7"));
            assert_eq!(firewall.verify(&all(&every)).unwrap(), []);
            nft("flush chain inet trestle admin\n");
            firewall.change(&all(&every), &[], &[]).unwrap();
            assert!(!firewall.exists().unwrap(), "nothing keeps the table any more");
        });
    }
}

#[test]
fn restoring_from_nothing_makes_the_same_table() {
    let every = of_every_kind();
    with_firewall(&every, |firewall| {
        let before = listing();
        nft("flush ruleset\n");
        firewall.restore(&all(&every)).unwrap();
        assert_eq!(listing(), before);
        firewall.restore(&[]).unwrap();
        assert!(!firewall.exists().unwrap());
        firewall.restore(&[]).unwrap();
    });
}

#[test]
fn every_drift_is_found_and_named() {
    let every = of_every_kind();
    for (damage, resource, deviation) in [
        ("delete table inet trestle\n", "table inet trestle", Deviation::Missing),
        ("add table inet trestle { flags dormant; }\n", "table inet trestle", Deviation::Altered),
        ("flush chain inet trestle forward\n", "chain forward of table inet trestle", Deviation::Altered),
        ("insert rule inet trestle ports return\n", "chain ports of table inet trestle", Deviation::Altered),
        (
            "delete chain inet trestle raw_prerouting\n",
            "chain raw_prerouting of table inet trestle",
            Deviation::Missing,
        ),
        ("chain inet trestle forward { policy drop; }\n", "chain forward of table inet trestle", Deviation::Altered),
        ("delete element inet trestle any_ports_v4 { tcp . 8080 }\n", "port 8080/tcp", Deviation::Missing),
        (
            "delete element inet trestle ports_v4 { 127.0.0.1 . tcp . 5432 }\n",
            "port 127.0.0.1:5432/tcp",
            Deviation::Missing,
        ),
        (
            "delete element inet trestle ranges_v6 { ::/0 . tcp . 8000-8010 }\n",
            "port 8000-8010/tcp",
            Deviation::Missing,
        ),
        (
            "delete element inet trestle any_ports_v4 { tcp . 8080 }\n\
             add element inet trestle any_ports_v4 { tcp . 8080 : 172.17.0.9 . 80 }\n",
            "port 8080/tcp",
            Deviation::Altered,
        ),
        (
            "delete element inet trestle entering { ipv4 . \"br-closed\" }\n\
             add element inet trestle entering { ipv4 . \"br-closed\" : accept }\n",
            "firewall of br-closed",
            Deviation::Altered,
        ),
        (
            "delete element inet trestle entering { ipv4 . \"br-routed\" }\n\
             add element inet trestle entering { ipv4 . \"br-routed\" : goto unprotected }\n",
            "firewall of br-routed",
            Deviation::Altered,
        ),
        (
            "delete element inet trestle inside { ipv4 . \"br-routed\" . \"br-routed\" }\n",
            "firewall of br-routed",
            Deviation::Missing,
        ),
        (
            "delete element inet trestle trusted { ipv6 . \"vxlan.1\" . \"br-trusting\" }\n",
            "firewall of br-trusting",
            Deviation::Missing,
        ),
        (
            "delete element inet trestle source_v4 { \"br-trusting\" }\n\
             add element inet trestle source_v4 { \"br-trusting\" : 192.0.2.9 }\n",
            "firewall of br-trusting",
            Deviation::Altered,
        ),
        (
            "delete element inet trestle internal { ipv4 . \"br-isolated\" }\n",
            "firewall of br-isolated",
            Deviation::Missing,
        ),
        (
            "delete element inet trestle opened_v6 { fd00::2 . udp . 53 }\n",
            "opened port [fd00::2]:53/udp",
            Deviation::Missing,
        ),
        (
            "delete element inet trestle opened_ranges_v4 { 172.17.0.2 . sctp . 8000-8010 }\n",
            "opened port 172.17.0.2:8000-8010/sctp",
            Deviation::Missing,
        ),
        (
            "insert rule inet trestle unprotected accept\n",
            "chain unprotected of table inet trestle",
            Deviation::Altered,
        ),
        ("delete element inet trestle hairpin_v6 { fd00::2 . fd00::2 }\n", "hairpin of fd00::2", Deviation::Missing),
    ] {
        with_firewall(&every, |firewall| {
            nft(damage);
            let drifts = firewall.verify(&all(&every)).unwrap();
            let found: Vec<_> = drifts.iter().map(|it| (it.resource.as_str(), it.deviation)).collect();
            assert_eq!(found, [(resource, deviation)], "{damage}: {drifts:?}");
        });
    }
}

#[test]
fn what_nobody_planned_is_told() {
    let every = of_every_kind();
    with_firewall(&every, |firewall| {
        nft("add element inet trestle any_ports_v4 { udp . 9 : 172.17.0.9 . 90 }\n");
        nft("add element inet trestle entering { ipv6 . \"stale\" : goto published_only }\n");
        nft("add element inet trestle ranges_v4 { 10.0.0.0-10.0.0.255 . tcp . 10-20 : 172.17.0.9 }\n");
        assert_eq!(
            firewall.extra(&all(&every)).unwrap(),
            [
                "10.0.0.0-10.0.0.255 . tcp . 10-20 : 172.17.0.9 in ranges_v4",
                "ipv6 . \"stale\" : goto published_only in entering",
                "udp . 9 : 172.17.0.9 . 90 in any_ports_v4",
            ]
        );
    });
}

#[test]
fn a_stranger_s_table_is_never_touched() {
    for (stranger, told) in [
        ("table inet trestle {\n\tchain mine {\n\t}\n}\n", "lacks our mark"),
        ("table inet trestle {\n\tcomment \"trestle 0000cd\"\n}\n", "another installation"),
    ] {
        Host::new().run(|| {
            nft(stranger);
            let before = run("nft", &["list", "ruleset"]);
            let every = of_every_kind();
            let mut firewall = Firewall::open(instance()).unwrap();
            for error in [
                firewall.change(&[], &[], &all(&every)).unwrap_err(),
                firewall.change(&all(&every), &[], &[]).unwrap_err(),
                firewall.restore(&all(&every)).unwrap_err(),
                firewall.restore(&[]).unwrap_err(),
                firewall.exists().unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Conflict);
                assert!(error.cause().contains(told), "{error}");
            }
            assert_eq!(firewall.verify(&all(&every)).unwrap()[0].deviation, Deviation::Obstructed);
            assert_eq!(run("nft", &["list", "ruleset"]), before);
        });
    }
}

#[test]
fn a_table_that_becomes_a_stranger_s_is_a_conflict_at_the_next_change() {
    with_firewall(&[Resource::FirewallBase], |firewall| {
        nft("delete table inet trestle\nadd table inet trestle\n");
        assert_eq!(firewall.change(&[], &[], &[&ports(80, 80, 80)]).unwrap_err().kind(), ErrorKind::Conflict);
    });
}

#[test]
fn two_instances_in_two_namespaces_never_meet() {
    let [one, other] = [Host::new(), Host::new()];
    let resources = base_and(ports(80, 80, 80));
    let mut first = one.run(|| Firewall::open(instance()).unwrap());
    let mut second = other.run(|| Firewall::open(Instance::new(2)).unwrap());
    first.change(&[], &[], &all(&resources)).unwrap();
    assert!(!second.exists().unwrap());
    second.change(&[], &[], &all(&resources)).unwrap();
    first.change(&all(&resources), &[], &[]).unwrap();
    assert_eq!(second.verify(&all(&resources)).unwrap(), []);
}

#[test]
fn others_changes_are_told_with_their_doer_and_ours_are_not() {
    with_firewall(&base_and(ports(80, 80, 80)), |firewall| {
        let mut watch = watch(firewall).unwrap();
        firewall.change(&[], &[], &[&ports(10000, 19999, 20000)]).unwrap();
        nft("add table inet somebody\ndelete table inet somebody\n");
        assert_eq!(watch.news().unwrap(), None);
        for deed in [
            "delete element inet trestle any_ports_v4 { tcp . 80 }\n",
            "flush chain inet trestle forward\n",
            "flush ruleset\n",
        ] {
            nft(deed);
            let Some(Disturbance::Firewall { by: Some(by) }) = watch.news().unwrap() else { panic!("{deed}") };
            assert!(by.starts_with("nft (pid "), "{by}");
            assert_eq!(watch.news().unwrap(), None, "{deed}");
        }
    });
}

#[test]
fn news_wake_a_task() {
    with_firewall(&base_and(ports(80, 80, 80)), |firewall| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let watch = watch(firewall).unwrap();
        let news = runtime.block_on(async {
            let mut news = News::new(watch).unwrap();
            let deed = std::thread::spawn(|| nft("flush chain inet trestle forward\n"));
            let news = news.next().await.unwrap();
            deed.join().unwrap();
            news
        });
        assert!(matches!(news, Disturbance::Firewall { .. }));
    });
}

#[test]
fn a_large_change_of_ours_is_no_news_and_what_others_do_after_it_is() {
    with_firewall(&base_and(ports(80, 80, 80)), |firewall| {
        let mut watch = watch(firewall).unwrap();
        let many = ports(20000, 60000, 10000);
        firewall.change(&[], &[], &[&many]).unwrap();
        firewall.change(&[&many], &[], &[]).unwrap();
        assert_eq!(watch.news().unwrap(), None);
        nft("flush chain inet trestle forward\n");
        assert!(matches!(watch.news().unwrap(), Some(Disturbance::Firewall { by: Some(_) })));
    });
}

#[test]
fn lost_news_are_told() {
    with_firewall(&base_and(ports(80, 80, 80)), |firewall| {
        let mut watch = watch(firewall).unwrap();
        let mut stranger = Firewall::open(instance()).unwrap();
        for _ in 0..10 {
            stranger.change(&[], &[], &[&ports(20000, 60000, 10000)]).unwrap();
            stranger.change(&[&ports(20000, 60000, 10000)], &[], &[]).unwrap();
        }
        let told: Vec<Disturbance> = std::iter::from_fn(|| watch.news().unwrap()).collect();
        assert!(told.contains(&Disturbance::Lost), "{told:?}");
    });
}

#[test]
fn foreign_chains_that_drop_are_named_with_the_remedy() {
    Host::new().run(|| {
        let mut firewall = Firewall::open(instance()).unwrap();
        firewall.change(&[], &[], &[&Resource::FirewallBase]).unwrap();
        assert_eq!(firewall.foreign_drops().unwrap(), Vec::<String>::new());
        nft("table ip filter {\n chain FORWARD {\n type filter hook forward priority 0; policy drop;\n }\n}\n");
        nft("table inet strict {\n chain fw {\n type filter hook forward priority 0;\n ct state established accept\n reject\n }\n}\n");
        nft("table inet partly {\n chain fw {\n type filter hook forward priority 0;\n iifname \"x\" counter drop\n }\n}\n");
        nft("table inet fine {\n chain fw {\n type filter hook forward priority 0;\n counter accept\n }\n}\n");
        nft("table inet input {\n chain in {\n type filter hook input priority 0; policy drop;\n }\n}\n");
        let mut told = firewall.foreign_drops().unwrap();
        told.sort();
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(told[0].contains("chain FORWARD of table ip filter") && told[0].contains("iptables -I FORWARD -i BRIDGE"));
        assert!(told[1].contains("chain fw of table inet partly") && told[1].contains("some packets"));
        assert!(told[2].contains("chain fw of table inet strict") && told[2].contains("nft insert rule inet strict fw"));
    });
}
