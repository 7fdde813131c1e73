//! What the command line does by itself, and what its dry runs are worth.

use std::fs;
use std::sync::Arc;

use serde_json::Value;
use trestle_tests::daemon::Daemon;
use trestle_tests::landscape::{Landscape, hosts};
use trestle_tests::{privileges, wire};

fn play(scenario: impl FnOnce(&Daemon, &Landscape) + Send) {
    privileges::obtain(|| {
        let (router, outside) = hosts(wire::MTU);
        let daemon = Arc::new(Daemon::start(&router));
        let land = Landscape { front: daemon.clone(), router, outside };
        scenario(&daemon, &land);
    });
}

#[test]
fn a_command_in_a_sandbox_sees_its_links_in_sys_and_nobody_else_does() {
    play(|daemon, land| {
        land.network("front");
        let web = land.container("web", "front", &[]);
        let mounts = || land.router.run(|| fs::read_to_string("/proc/thread-self/mountinfo").unwrap());
        let before = mounts();
        let exec = |command: &[&str]| daemon.trestle(&[&["sandbox", "exec", "web"], command].concat()).unwrap();
        assert_eq!(exec(&["ls", "/sys/class/net"]).split_whitespace().collect::<Vec<_>>(), ["eth0", "lo"]);
        let mac = exec(&["cat", "/sys/class/net/eth0/address"]);
        assert!(web.namespace.ip("link show dev eth0").contains(mac.trim()), "{mac}");
        assert_eq!(mounts(), before);
    });
}

#[test]
fn a_dry_run_tells_what_then_happens() {
    play(|daemon, land| {
        let ask = |line: &str| daemon.trestle(&line.split(' ').collect::<Vec<_>>()).unwrap();
        let inspect = |line: &str| serde_json::from_str::<Value>(&ask(line)).unwrap()[0].take();
        let plans = [0; 3].map(|_| ask("network create --ipv6 --dry-run front"));
        ask("network create --ipv6 front");
        for pool in inspect("network inspect front")["pools"].as_array().unwrap() {
            let gateway = format!(" {}/", pool["gateway"].as_str().unwrap());
            assert!(plans.iter().all(|plan| plan.contains(&gateway)), "{gateway} in {plans:?}");
        }
        for name in ["one", "two", "three"] {
            ask(&format!("sandbox create {name}"));
            let plans = [0; 3].map(|_| ask(&format!("connect -p 80 -p 443 --dry-run front {name}")));
            ask(&format!("connect -p 80 -p 443 front {name}"));
            let endpoint = inspect(&format!("endpoint inspect front/{name}"));
            let addresses = ["ipv4", "ipv6"].map(|it| format!(" {} ", endpoint[it].as_str().unwrap()));
            let published = endpoint["published"].as_array().unwrap().iter();
            let ports = published.map(|it| it["port"].as_str().unwrap().split(':').next().unwrap().to_owned());
            for told in addresses.into_iter().chain(ports) {
                assert!(plans.iter().all(|plan| plan.contains(&told)), "{told} in {plans:?}");
            }
        }
        land.nothing_is_amiss();
    });
}
