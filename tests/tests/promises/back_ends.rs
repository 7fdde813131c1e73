//! The firewall has several back ends, and whoever takes another one loses nothing.

use trestle_kernel::firewall::Backend;
use trestle_tests::daemon::Daemon;
use trestle_tests::front::{Front, Setup};
use trestle_tests::landscape::{LOCALHOST, Landscape, OUTSIDE, PROTOCOLS, ROUTER, hosts, network};
use trestle_tests::library::Library;
use trestle_tests::snapshot::Snapshot;
use trestle_tests::traffic::Conversation;
use trestle_tests::{privileges, wire};

use crate::crash::Scene;

/// Whose rules stand in a host's packet filter.
fn standing(land: &Landscape) -> Vec<&'static str> {
    let namespace = land.router.namespace();
    let holds = |program: &str, arguments: &[&str], word: &str| namespace.output(program, arguments).contains(word);
    let mut standing = Vec::new();
    if holds("nft", &["list", "tables"], "table inet trestle") {
        standing.push("nftables");
    }
    for kind in ["iptables-nft", "iptables-legacy"] {
        let six = kind.replace("iptables", "ip6tables");
        if [kind, &six].into_iter().any(|program| holds(&format!("{program}-save"), &[], "TRESTLE")) {
            standing.push(kind);
        }
    }
    standing
}

#[test]
fn another_back_end_takes_over_at_a_start_and_traffic_goes_on() {
    privileges::obtain(|| {
        let mut scene = Scene::set();
        let before = Snapshot::of_host(&scene.land.router);
        assert_eq!(standing(&scene.land), ["nftables"]);
        let mut kill = false;
        for backend in ["iptables-nft", "nftables", "iptables-legacy", "iptables-nft", "iptables-legacy", "nftables"] {
            match kill {
                true => scene.daemon.kill(),
                false => assert!(scene.daemon.stop().success()),
            }
            kill = !kill;
            scene.daemon.take(backend.parse().unwrap());
            scene.daemon.start_again();
            assert_eq!(standing(&scene.land), [backend]);
            scene.traffic_goes_on();
            scene.new_traffic_is_served();
            assert_eq!(scene.land.ask_locally(PROTOCOLS[0], LOCALHOST[0], 8080).by(), Some("web"));
            assert_eq!(scene.land.ask_locally(PROTOCOLS[0], LOCALHOST[1], 8080).by(), Some("web"));
            scene.land.nothing_is_amiss();
        }
        before.is_still(&Snapshot::of_host(&scene.land.router));
        scene.conversations.into_iter().for_each(Conversation::lost_nothing);
    });
}

#[test]
fn a_dry_run_speaks_the_language_of_the_back_end() {
    privileges::obtain(|| {
        for (backend, word) in [("nftables", "nft -f -"), ("iptables", "ip6tables-restore --noflush")] {
            let (router, _outside) = hosts(wire::MTU);
            let daemon = Daemon::start_as(&router, Setup { firewall: backend.parse().unwrap(), ..Setup::default() });
            let plan = daemon.plan_network(&network("front")).unwrap();
            assert!(plan.contains(word), "{plan}");
        }
    });
}

/// The kind that tells nobody of changes is asked by name: all else is as with the other.
#[test]
fn iptables_of_the_older_kind_serves_and_leaves_nothing() {
    privileges::obtain(|| {
        let land = Landscape::new(|host| {
            let firewall = "iptables-legacy".parse::<Backend>().unwrap();
            std::sync::Arc::new(Library::start_as(host, Setup { firewall, ..Setup::default() }))
        });
        let before = Snapshot::of(land.router.namespace());
        land.network("front");
        let web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
        let _server = web.serve(80);
        for (host, client) in ROUTER.into_iter().zip(OUTSIDE) {
            for protocol in PROTOCOLS {
                let answer = land.ask(protocol, host, 8080);
                assert_eq!((answer.by(), answer.saw()), (Some("web"), Some(client)), "{protocol} {host}");
            }
        }
        assert_eq!(standing(&land), ["iptables-legacy"]);
        land.nothing_is_amiss();
        land.router.namespace().output("iptables-legacy", &["-t", "nat", "-F"]);
        let amiss = land.front.verify().unwrap().join("\n");
        assert!(amiss.contains("TRESTLE-PREROUTING"), "{amiss}");
        land.front.delete_sandbox("web").unwrap();
        land.front.delete_network("front").unwrap();
        assert_eq!(standing(&land), [""; 0]);
        before.is_still(&Snapshot::of(land.router.namespace()));
    });
}
