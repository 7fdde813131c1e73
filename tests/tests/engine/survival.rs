//! Containers outlive their daemon.

use std::collections::BTreeSet;
use std::fs;

use trestle_tests::daemon::Daemon;
use trestle_tests::engine::Engine;
use trestle_tests::privileges;

#[test]
fn containers_their_logs_and_exit_codes_survive_the_daemon_s_death() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let run = |name: &str, command: &str| {
            engine.ok(&["run", "-d", "--name", name, "--network", "none", "busybox", "sh", "-c", command])
        };
        let waits = "while [ ! -e /go ]; do sleep 0.01; done; echo gone; exit 5";
        run("lives", "echo before; while [ ! -e /go ]; do sleep 0.01; done; echo after");
        run("dies", waits);
        let pid = engine.inspect("lives", ".State.Pid");
        let root = |name: &str| format!("/proc/{}/root/go", engine.inspect(name, ".State.Pid"));
        let (lives, dies) = (root("lives"), root("dies"));
        let died: u32 = engine.inspect("dies", ".State.Pid").parse().unwrap();
        engine.daemon.kill();
        fs::write(dies, "").unwrap();
        while std::path::Path::new(&format!("/proc/{died}")).exists() {}
        engine.daemon.start_again();
        assert_eq!(engine.ok(&["wait", "dies"]), "5");
        assert_eq!(engine.ok(&["logs", "dies"]), "gone");
        assert_eq!(engine.inspect("lives", ".State.Status"), "running");
        assert_eq!(engine.inspect("lives", ".State.Pid"), pid);
        assert_eq!(engine.ok(&["exec", "lives", "echo", "inside"]), "inside");
        fs::write(lives, "").unwrap();
        assert_eq!(engine.ok(&["wait", "lives"]), "0");
        assert_eq!(engine.ok(&["logs", "lives"]), "before\nafter");
        engine.ok(&["rm", "lives", "dies"]);
        assert_eq!(engine.footprint(), [""; 0]);
    });
}

#[test]
fn a_daemon_that_dies_at_any_step_of_a_start_or_a_stop_leaves_nothing_half_done() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let clean = engine.footprint();
        let mut died_at = BTreeSet::new();
        for step in 1.. {
            engine.daemon.order_death(step);
            let name = format!("c{step}");
            engine.docker(&["run", "-d", "--name", &name, "--network", "none", "busybox", "sleep", "1000"]);
            engine.docker(&["stop", "--time", "0", &name]);
            engine.docker(&["rm", &name]);
            let Some(point) = engine.daemon.take_order_back() else {
                break;
            };
            println!("killed at {point}, failpoint {step}");
            engine.daemon.start_again();
            // Whatever became of it, it is one thing or the other, and can be removed.
            if engine.docker(&["inspect", &name]).code == 0 {
                let status = engine.inspect(&name, ".State.Status");
                assert!(["created", "running", "exited"].contains(&status.as_str()), "{point}: {status}");
                let runs = engine.docker(&["exec", &name, "true"]).code == 0;
                assert_eq!(runs, status == "running", "{point}: {status}");
                engine.ok(&["rm", "-f", &name]);
            }
            assert_eq!(engine.footprint(), clean, "killed at {point}");
            died_at.insert(point);
        }
        let points = Daemon::failpoints().into_iter().filter(|name| name.starts_with("engine."));
        let missing: Vec<String> = points.filter(|name| !died_at.contains(name)).collect();
        assert_eq!(missing, [""; 0], "no daemon died at these");
    });
}
