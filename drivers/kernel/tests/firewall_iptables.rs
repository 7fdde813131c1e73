//! Our chains among those of iptables, as its own programs show them; both kinds of it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod firewall_host;

use firewall_host::resources::{network, of_every_kind, port};
use firewall_host::{Host, all, instance, nft, run};
use trestle_core::error::ErrorKind;
use trestle_core::kernel::{Deviation, Disturbance, is_port_taken};
use trestle_core::resource::Resource;
use trestle_kernel::firewall::{Backend, Firewall, commands, watch};
use trestle_kernel::mark::Instance;

/// Makes each promise a test for both kinds of iptables.
macro_rules! by_both_kinds {
    ($($promise:ident),+ $(,)?) => {
        mod nft { $(#[test] fn $promise() { super::$promise("nft") })+ }
        mod legacy { $(#[test] fn $promise() { super::$promise("legacy") })+ }
    };
}

by_both_kinds!(
    what_is_added_is_what_iptables_shows,
    adding_twice_is_adding_once,
    a_second_network_leaves_the_rules_of_the_first_and_their_counters,
    removing_takes_all_and_only_what_was_added,
    removing_the_last_takes_every_chain,
    a_firewall_opened_anew_knows_what_stands,
    a_taken_port_is_refused_and_named,
    what_is_missing_does_not_stop_a_change_but_is_made_again,
    removing_what_somebody_removed_succeeds,
    restoring_mends_everything_and_keeps_what_people_wrote,
    rules_of_people_outlive_the_last_network,
    a_rule_of_people_that_leads_to_their_chain_is_in_nobody_s_way,
    every_drift_is_found_and_named,
    what_nobody_planned_is_told_and_goes,
    a_stranger_s_chain_is_never_touched,
    ten_thousand_ports_go_in_and_out_again,
    a_back_end_takes_over_and_leaves_nothing_of_the_other,
    the_commands_that_are_told_make_the_same_rules,
);

fn backend(kind: &str) -> Backend {
    format!("iptables-{kind}").parse().unwrap()
}

fn ports(first: u16, last: u16, container: u16) -> Resource {
    Resource::PublishedPort(port(None, (first, last), container))
}

fn base_and(resource: Resource) -> Vec<Resource> {
    vec![Resource::FirewallBase, resource]
}

/// All rules of both families, and the chains that are not the kernel's own.
fn listing(kind: &str) -> Vec<String> {
    let mut told = Vec::new();
    for family in ["iptables", "ip6tables"] {
        let text = run(&format!("{family}-{kind}-save"), &[]);
        let (mut table, mut lines) = (String::new(), Vec::new());
        for line in text.lines() {
            match line.as_bytes().first() {
                Some(b'*') => table = line.to_owned(),
                Some(b'-') => lines.push(format!("{family} {table} {line}")),
                Some(b':') if line.contains(" - ") => {
                    lines.push(format!("{family} {table} {}", line.split(' ').next().unwrap()));
                }
                _ => {}
            }
        }
        told.extend(lines);
    }
    // Chains that were made later stand elsewhere, and the order of entries says nothing.
    told.sort();
    told
}

/// Runs iptables, its words split at blanks.
fn iptables(kind: &str, words: &str) {
    run(&format!("iptables-{kind}"), &words.split_whitespace().collect::<Vec<_>>());
}

fn ip6tables(kind: &str, words: &str) {
    run(&format!("ip6tables-{kind}"), &words.split_whitespace().collect::<Vec<_>>());
}

/// A firewall with these resources in a namespace of its own.
fn with_firewall(kind: &str, resources: &[Resource], test: impl FnOnce(&mut Firewall) + Send) {
    Host::new().run(|| {
        let mut firewall = Firewall::open_with(backend(kind), instance()).unwrap();
        firewall.change(&[], &[], &all(resources)).unwrap();
        test(&mut firewall);
    });
}

fn assert_right(firewall: &mut Firewall, resources: &[Resource]) {
    assert_eq!(firewall.verify(&all(resources)).unwrap(), []);
    assert_eq!(firewall.extra(&all(resources)).unwrap(), Vec::<String>::new());
}

fn what_is_added_is_what_iptables_shows(kind: &str) {
    let every = of_every_kind();
    with_firewall(kind, &every, |firewall| {
        assert_right(firewall, &every);
        let told = listing(kind).join("\n");
        for rule in [
            "iptables *nat -A TRESTLE-PORTS-ANY -p tcp -m tcp --dport 8080 -m comment --comment \"trestle 0000ab\" -j DNAT --to-destination 172.17.0.2:80",
            "ip6tables *nat -A TRESTLE-PORTS-AT -d 2001:db8::1/128 -p tcp -m tcp --dport 443 -m comment --comment \"trestle 0000ab\" -j DNAT --to-destination [fd00::2]:8443",
            "iptables *nat -A TRESTLE-PORTS-RANGES -d 192.0.2.1/32 -p tcp -m tcp --dport 9000:9999 -m comment --comment \"trestle 0000ab\" -j DNAT --to-destination 172.17.0.2",
            "iptables *raw -A PREROUTING -m comment --comment \"trestle 0000ab\" -j TRESTLE-RAW",
        ] {
            assert_eq!(told.matches(rule).count(), 1, "{rule}\n{told}");
        }
    });
}

fn adding_twice_is_adding_once(kind: &str) {
    let every = of_every_kind();
    with_firewall(kind, &every, |firewall| {
        let once = listing(kind);
        firewall.change(&[], &[], &all(&every)).unwrap();
        assert_eq!(listing(kind), once);
        let mut other = Firewall::open_with(backend(kind), instance()).unwrap();
        other.change(&[], &[], &all(&every)).unwrap();
        other.restore(&all(&every)).unwrap();
        assert_eq!(listing(kind), once);
    });
}

fn a_second_network_leaves_the_rules_of_the_first_and_their_counters(kind: &str) {
    let first = base_and(Resource::FirewallNetwork(network("first")));
    with_firewall(kind, &first, |firewall| {
        let counted = || {
            let text = run(&format!("iptables-{kind}-save"), &["-c"]);
            text.lines().filter(|it| it.contains("TRESTLE-OUT ")).map(str::to_owned).collect::<Vec<_>>()
        };
        run(
            &format!("iptables-{kind}"),
            &[
                "-I",
                "TRESTLE-OUT",
                "-i",
                "first",
                "-m",
                "comment",
                "--comment",
                "counted",
                "-j",
                "RETURN",
                "-c",
                "7",
                "7",
            ],
        );
        let before = counted();
        assert!(before.iter().any(|it| it.starts_with("[7:7]")), "{before:?}");
        firewall.change(&[], &[], &[&ports(80, 80, 80)]).unwrap();
        assert_eq!(counted(), before);
    });
}

fn removing_takes_all_and_only_what_was_added(kind: &str) {
    let first = base_and(Resource::FirewallNetwork(network("first")));
    with_firewall(kind, &first, |firewall| {
        let before = listing(kind);
        let rest: Vec<Resource> = of_every_kind().split_off(1);
        firewall.change(&[], &[], &all(&rest)).unwrap();
        assert_ne!(listing(kind), before);
        firewall.change(&all(&rest), &[], &[]).unwrap();
        assert_eq!(listing(kind), before);
    });
}

fn removing_the_last_takes_every_chain(kind: &str) {
    let every = of_every_kind();
    with_firewall(kind, &every, |firewall| {
        iptables(kind, "-A FORWARD -i lo -j ACCEPT");
        assert!(firewall.exists().unwrap());
        firewall.change(&all(&every), &[], &[]).unwrap();
        assert!(!firewall.exists().unwrap());
        assert_eq!(listing(kind), ["iptables *filter -A FORWARD -i lo -j ACCEPT"]);
        firewall.change(&all(&every), &[], &[]).unwrap();
        firewall.restore(&[]).unwrap();
        firewall.change(&[], &[], &all(&every)).unwrap();
        assert_right(firewall, &every);
    });
}

fn a_firewall_opened_anew_knows_what_stands(kind: &str) {
    let every = of_every_kind();
    with_firewall(kind, &every, |_| {
        let mut anew = Firewall::open_with(backend(kind), instance()).unwrap();
        anew.change(&[&ports(8080, 8080, 80)], &[], &[&ports(8081, 8081, 80)]).unwrap();
        let mut now = every.clone();
        now.retain(|it| *it != ports(8080, 8080, 80));
        now.push(ports(8081, 8081, 80));
        assert_right(&mut anew, &now);
    });
}

fn a_taken_port_is_refused_and_named(kind: &str) {
    with_firewall(kind, &base_and(ports(8080, 8080, 80)), |firewall| {
        let before = listing(kind);
        let [good, taken] = [Resource::FirewallNetwork(network("good")), ports(8080, 8080, 99)];
        let error = firewall.change(&[], &[], &[&good, &taken]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(is_port_taken(&error), "{error}");
        assert!(error.cause().contains("8080/tcp"), "{error}");
        assert_eq!(listing(kind), before);
        firewall.change(&[], &[(&ports(8080, 8080, 80), &taken)], &[]).unwrap();
        assert_right(firewall, &base_and(taken));
    });
}

fn what_is_missing_does_not_stop_a_change_but_is_made_again(kind: &str) {
    let every = of_every_kind();
    let flush = |words: &str| {
        iptables(kind, words);
        ip6tables(kind, words);
    };
    for damage in ["-t nat -F TRESTLE-PORTS-ANY", "-t filter -F", "-t nat -F"] {
        with_firewall(kind, &every, |firewall| {
            flush(damage);
            if !damage.contains("TRESTLE") {
                flush(&format!("{} -X", &damage[..damage.len() - 3]));
            }
            // What goes is not there: everything is made anew.
            firewall.change(&[&ports(8080, 8080, 80)], &[], &[&Resource::FirewallBase, &ports(90, 90, 90)]).unwrap();
            let mut now = every.clone();
            now.retain(|it| *it != ports(8080, 8080, 80));
            now.push(ports(90, 90, 90));
            firewall.restore(&all(&now)).unwrap();
            assert_right(firewall, &now);
        });
    }
    with_firewall(kind, &every, |firewall| {
        flush("-t nat -F TRESTLE-PORTS-ANY");
        firewall.change(&[&ports(8080, 8080, 80)], &[], &[]).unwrap();
        let now: Vec<Resource> = every.iter().filter(|it| **it != ports(8080, 8080, 80)).cloned().collect();
        assert_right(firewall, &now);
    });
}

fn removing_what_somebody_removed_succeeds(kind: &str) {
    let every = of_every_kind();
    with_firewall(kind, &every, |firewall| {
        let rest = every[1..].to_vec();
        for table in ["raw", "filter", "nat"] {
            iptables(kind, &format!("-t {table} -F"));
            iptables(kind, &format!("-t {table} -X"));
        }
        firewall.change(&all(&rest), &[], &[]).unwrap();
        assert_eq!(firewall.extra(&[]).unwrap(), Vec::<String>::new());
        firewall.change(&all(&every), &[], &[]).unwrap();
        assert_eq!(listing(kind), Vec::<String>::new());
    });
}

fn restoring_mends_everything_and_keeps_what_people_wrote(kind: &str) {
    let every = of_every_kind();
    for damage in [
        "-F TRESTLE-FORWARD",
        "-F FORWARD",
        "-t nat -D PREROUTING 1",
        "-A TRESTLE-FORWARD -j DROP",
        "-I FORWARD 1 -m comment --comment trestle~0000ab -j TRESTLE-FORWARD",
        "-t nat -F TRESTLE-PORTS-ANY",
        "-t nat -I TRESTLE-PORTS-ANY -p tcp -m tcp --dport 1 -j ACCEPT",
        "-t raw -F",
    ] {
        with_firewall(kind, &every, |firewall| {
            iptables(kind, "-A TRESTLE-USER -s 203.0.113.7 -j DROP");
            let before = listing(kind);
            let words: Vec<String> = damage.split(' ').map(|it| it.replace('~', " ")).collect();
            run(&format!("iptables-{kind}"), &words.iter().map(String::as_str).collect::<Vec<_>>());
            assert_ne!(listing(kind), before);
            firewall.restore(&all(&every)).unwrap();
            assert_eq!(listing(kind), before, "{damage}");
            assert_right(firewall, &every);
        });
    }
}

fn rules_of_people_outlive_the_last_network(kind: &str) {
    let every = of_every_kind();
    for restore in [false, true] {
        with_firewall(kind, &every, |firewall| {
            ip6tables(kind, "-A TRESTLE-USER -s fd00::7 -j DROP");
            match restore {
                true => firewall.restore(&[]).unwrap(),
                false => firewall.change(&all(&every), &[], &[]).unwrap(),
            }
            assert!(listing(kind).iter().any(|it| it.contains("TRESTLE-USER -s fd00::7/128 -j DROP")));
            assert_right(firewall, &[Resource::FirewallBase]);
            firewall.change(&[], &[], &all(&every)).unwrap();
            assert_right(firewall, &every);
            ip6tables(kind, "-F TRESTLE-USER");
            firewall.change(&all(&every), &[], &[]).unwrap();
            assert_eq!(listing(kind), Vec::<String>::new(), "nothing keeps the chains any more");
        });
    }
}

fn a_rule_of_people_that_leads_to_their_chain_is_in_nobody_s_way(kind: &str) {
    let every = of_every_kind();
    with_firewall(kind, &every, |firewall| {
        iptables(kind, "-A OUTPUT -j TRESTLE-USER");
        firewall.restore(&all(&every)).unwrap();
        assert_right(firewall, &every);
        firewall.change(&all(&every), &[], &[]).unwrap();
        assert_eq!(listing(kind), ["iptables *filter -A OUTPUT -j TRESTLE-USER", "iptables *filter :TRESTLE-USER"]);
    });
}

fn every_drift_is_found_and_named(kind: &str) {
    let every = of_every_kind();
    for (damage, resource, deviation) in [
        ("-t raw -F TRESTLE-RAW", "chain TRESTLE-RAW of table raw of iptables", Deviation::Altered),
        ("-t nat -F POSTROUTING", "chain TRESTLE-POSTROUTING of table nat of iptables", Deviation::Altered),
        ("-I TRESTLE-FORWARD -j RETURN", "chain TRESTLE-FORWARD of table filter of iptables", Deviation::Altered),
        ("-R TRESTLE-INPUT 1 -j ACCEPT", "chain TRESTLE-INPUT of table filter of iptables", Deviation::Obstructed),
        ("-t nat -F TRESTLE-LOCALHOST", "firewall of br-closed", Deviation::Missing),
        ("-t nat -D TRESTLE-PORTS-AT 1", "port 127.0.0.1:5432/tcp", Deviation::Missing),
        ("-t nat -D TRESTLE-PORTS-RANGES 2", "port 192.0.2.1:9000-9999/tcp", Deviation::Missing),
        ("-D TRESTLE-OPENED-PORTS 1", "opened port 172.17.0.2:80/tcp", Deviation::Missing),
        ("-D TRESTLE-TRUSTED 1", "firewall of br-trusting", Deviation::Missing),
        ("-D TRESTLE-RELAYED 1", "port 192.0.2.1:82-84/tcp", Deviation::Missing),
    ] {
        with_firewall(kind, &every, |firewall| {
            iptables(kind, damage);
            let drifts = firewall.verify(&all(&every)).unwrap();
            if deviation == Deviation::Obstructed {
                assert_eq!(drifts[0].deviation, deviation, "{drifts:?}");
                return;
            }
            let found: Vec<_> = drifts.iter().map(|it| (it.resource.as_str(), it.deviation)).collect();
            assert!(found.contains(&(resource, deviation)), "{damage}: {drifts:?}");
        });
    }
    with_firewall(kind, &every, |firewall| {
        let mark = ["-m", "comment", "--comment", "trestle 0000ab"];
        let rule = ["-t", "nat", "-R", "TRESTLE-PORTS-AT", "1", "-d", "127.0.0.1", "-p", "tcp", "--dport", "5432"];
        let act = ["-j", "DNAT", "--to-destination", "172.17.0.9:1"];
        run(&format!("iptables-{kind}"), &[&rule[..], &mark, &act].concat());
        let drifts = firewall.verify(&all(&every)).unwrap();
        let found: Vec<_> = drifts.iter().map(|it| (it.resource.as_str(), it.deviation)).collect();
        assert_eq!(found, [("port 127.0.0.1:5432/tcp", Deviation::Altered)], "{drifts:?}");
        assert!(drifts[0].detail.contains("172.17.0.9:1"), "{drifts:?}");
    });
}

fn what_nobody_planned_is_told_and_goes(kind: &str) {
    let every = of_every_kind();
    with_firewall(kind, &every, |firewall| {
        let before = listing(kind);
        firewall.change(&[], &[], &[&ports(9, 9, 90)]).unwrap();
        iptables(kind, "-A TRESTLE-OUT -i stale -j ACCEPT");
        let told = firewall.extra(&all(&every)).unwrap();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().any(|it| it.contains("--dport 9") && it.contains("ip6tables")), "{told:?}");
        assert!(told.iter().any(|it| it.contains("-i stale -j ACCEPT in TRESTLE-OUT of iptables")), "{told:?}");
        firewall.restore(&all(&every)).unwrap();
        assert_eq!(listing(kind), before);
    });
}

fn a_stranger_s_chain_is_never_touched(kind: &str) {
    for (comment, told) in [("somebody", "lack our mark"), ("trestle 0000cd", "another installation")] {
        Host::new().run(|| {
            iptables(kind, "-N TRESTLE-INSIDE");
            run(
                &format!("iptables-{kind}"),
                &["-A", "TRESTLE-INSIDE", "-m", "comment", "--comment", comment, "-j", "DROP"],
            );
            let before = listing(kind);
            let every = of_every_kind();
            let mut firewall = Firewall::open_with(backend(kind), instance()).unwrap();
            for error in [
                firewall.change(&[], &[], &all(&every)).unwrap_err(),
                firewall.change(&all(&every), &[], &[]).unwrap_err(),
                firewall.restore(&all(&every)).unwrap_err(),
                firewall.restore(&[]).unwrap_err(),
                firewall.exists().unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Conflict);
                assert!(error.cause().contains(told) && error.cause().contains("TRESTLE-INSIDE"), "{error}");
            }
            assert_eq!(firewall.verify(&all(&every)).unwrap()[0].deviation, Deviation::Obstructed);
            assert_eq!(listing(kind), before);
        });
    }
}

fn ten_thousand_ports_go_in_and_out_again(kind: &str) {
    let many = ports(10000, 19999, 20000);
    with_firewall(kind, &[Resource::FirewallBase], |firewall| {
        firewall.change(&[], &[], &[&many]).unwrap();
        assert_eq!(firewall.verify(&[&many]).unwrap(), []);
        assert_eq!(firewall.extra(&[]).unwrap().len(), 20_000);
        firewall.change(&[&many], &[], &[]).unwrap();
        assert_eq!(firewall.extra(&[]).unwrap(), Vec::<String>::new());
    });
}

fn a_back_end_takes_over_and_leaves_nothing_of_the_other(kind: &str) {
    let every = of_every_kind();
    let other = backend(if kind == "nft" { "legacy" } else { "nft" });
    Host::new().run(|| {
        let open = |backend| Firewall::open_with(backend, instance()).unwrap();
        let mut firewall = open(Backend::NfTables);
        firewall.change(&[], &[], &all(&every)).unwrap();
        for (next, before) in [
            (backend(kind), Backend::NfTables),
            (other, backend(kind)),
            (Backend::NfTables, other),
            (backend(kind), Backend::NfTables),
        ] {
            let mut taking_over = open(next);
            taking_over.restore(&all(&every)).unwrap();
            assert_right(&mut taking_over, &every);
            assert!(!open(before).exists().unwrap(), "{before} is left by {next}");
        }
        let mut last = open(Backend::NfTables);
        last.restore(&[]).unwrap();
        assert_eq!(listing(kind), Vec::<String>::new());
    });
}

fn the_commands_that_are_told_make_the_same_rules(kind: &str) {
    let every = of_every_kind();
    let mut made = Vec::new();
    with_firewall(kind, &every, |_| made = listing(kind));
    Host::new().run(|| {
        let script = commands(backend(kind), &all(&every));
        let script = script.replace("tables-restore", &format!("tables-{kind}-restore"));
        run("sh", &["-ec", &script]);
        let unmarked = |line: &String| line.replace(" -m comment --comment \"trestle 0000ab\"", "");
        assert_eq!(
            listing(kind),
            made.iter().map(unmarked).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        );
    });
}

#[test]
fn others_changes_are_told_and_ours_are_not() {
    with_firewall("nft", &base_and(ports(80, 80, 80)), |firewall| {
        let mut watch = watch(firewall).unwrap();
        firewall.change(&[], &[], &[&ports(81, 81, 80), &Resource::FirewallNetwork(network("br0"))]).unwrap();
        firewall.restore(&all(&base_and(ports(80, 80, 80)))).unwrap();
        assert_eq!(watch.news().unwrap(), None);
        nft("add table inet somebody\ndelete table inet somebody\n");
        iptables("nft", "-A TRESTLE-USER -s 203.0.113.7 -j DROP");
        iptables("nft", "-A FORWARD -s 203.0.113.7 -j DROP");
        assert_eq!(watch.news().unwrap(), None);
        for deed in ["-t nat -F TRESTLE-PORTS-ANY", "-F FORWARD", "-A TRESTLE-OUT -j DROP"] {
            iptables("nft", deed);
            let Some(Disturbance::Firewall { by: Some(by) }) = watch.news().unwrap() else { panic!("{deed}") };
            assert!(by.starts_with("iptables"), "{by}");
            assert_eq!(watch.news().unwrap(), None, "{deed}");
        }
        nft("flush ruleset\n");
        assert!(matches!(watch.news().unwrap(), Some(Disturbance::Firewall { .. })));
    });
}

#[test]
fn what_iptables_refuses_is_told_in_its_words() {
    Host::new().run(|| {
        // A chain of iptables' name that it did not make.
        nft("add table ip filter { chain FORWARD { type filter hook forward priority 5; ip saddr vmap { 192.0.2.1 : drop }; }; }\n");
        let mut firewall = Firewall::open_with(backend("nft"), instance()).unwrap();
        let error = firewall.change(&[], &[], &[&Resource::FirewallBase]).unwrap_err();
        assert!(error.to_string().contains("CHAIN_ADD failed"), "{error}");
    });
}

#[test]
fn the_host_s_own_kind_is_taken_where_none_is_named() {
    Host::new().run(|| {
        let told = run("iptables", &["--version"]);
        let kind = if told.contains("nf_tables") { "nft" } else { "legacy" };
        let mut firewall = Firewall::open_with(Backend::IpTables(None), instance()).unwrap();
        firewall.change(&[], &[], &[&Resource::FirewallBase]).unwrap();
        assert!(listing(kind).iter().any(|it| it.contains("TRESTLE-FORWARD")));
    });
}

#[test]
fn a_policy_that_drops_is_overruled_where_our_rules_go_first() {
    let every = of_every_kind();
    with_firewall("nft", &every, |firewall| {
        iptables("nft", "-P FORWARD DROP");
        assert_eq!(firewall.foreign_drops().unwrap(), Vec::<String>::new());
        nft("add table inet strict { chain fw { type filter hook forward priority 0; policy drop; }; }\n");
        assert_eq!(firewall.foreign_drops().unwrap().len(), 1);
    });
    with_firewall("legacy", &every, |firewall| {
        iptables("nft", "-P FORWARD DROP");
        assert_eq!(firewall.foreign_drops().unwrap().len(), 1, "the other kind's chain is another one");
    });
}

#[test]
fn an_installation_never_removes_another_s_rules_of_another_back_end() {
    let every = of_every_kind();
    with_firewall("nft", &every, |firewall| {
        let mut stranger = Firewall::open(Instance::new(7)).unwrap();
        stranger.restore(&all(&every)).unwrap();
        assert_right(firewall, &every);
    });
}
