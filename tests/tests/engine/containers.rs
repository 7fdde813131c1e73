//! The life of a container.

use trestle_tests::engine::{Engine, Said};
use trestle_tests::privileges;

const RUN: [&str; 5] = ["run", "--rm", "--network", "none", "busybox"];

fn run<'a>(command: &[&'a str]) -> Vec<&'a str> {
    [&RUN[..], command].concat()
}

#[test]
fn output_errors_and_exit_code_reach_who_runs_a_container() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let said = engine.docker(&run(&["sh", "-c", "echo out; echo err >&2; exit 7"]));
        assert_eq!(said, Said { code: 7, out: "out\n".into(), err: "err\n".into() });
        assert_eq!(engine.ok(&["ps", "-aq"]), "", "--rm removes it");
        assert_eq!(engine.footprint(), [""; 0]);
    });
}

#[test]
fn input_and_its_end_reach_a_container() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let much = "0123456789abcdef\n".repeat(20_000);
        let arguments = ["run", "-i", "--rm", "--network", "none", "busybox", "cat"];
        let said = engine.docker_with(&much, &arguments);
        assert_eq!((said.code, said.out.len()), (0, much.len()), "{}", said.err);
        assert_eq!(said.out, much);
    });
}

#[test]
fn a_start_that_fails_leaves_its_reason_and_nothing_else() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let said = engine.docker(&["run", "--name", "none", "--network", "none", "busybox", "no-such-program"]);
        assert_eq!(said.code, 127, "{}", said.err);
        assert!(said.err.contains("no-such-program"), "{}", said.err);
        assert_eq!(engine.inspect("none", ".State.Status"), "created");
        assert_eq!(engine.inspect("none", ".State.ExitCode"), "127");
        assert!(engine.inspect("none", ".State.Error").contains("executable file not found"));
        let said = engine.docker(&["run", "--name", "dir", "--network", "none", "-u", "nobody", "busybox", "true"]);
        assert_ne!(said.code, 0);
        assert_eq!(engine.inspect("dir", ".State.ExitCode"), "128");
        assert_eq!(engine.footprint(), [""; 0]);
        engine.ok(&["rm", "none", "dir"]);
    });
}

#[test]
fn a_container_is_stopped_by_its_signal_or_killed_when_it_does_not_end() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let mannered = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done";
        engine.ok(&["run", "-d", "--name", "mannered", "--network", "none", "busybox", "sh", "-c", mannered]);
        wait_for_line(&engine, "mannered", "ready");
        engine.ok(&["stop", "mannered"]);
        assert_eq!(engine.inspect("mannered", ".State.ExitCode"), "3");
        engine.ok(&["run", "-d", "--name", "deaf", "--network", "none", "busybox", "sleep", "1000"]);
        engine.ok(&["stop", "--time", "0", "deaf"]);
        assert_eq!(engine.inspect("deaf", ".State.ExitCode"), "137");
        assert!(engine.refused(&["kill", "deaf"]).contains("is not running"));
        engine.ok(&["start", "deaf"]);
        assert!(engine.refused(&["rm", "deaf"]).contains("container is running"));
        assert_eq!(engine.ok(&["rm", "-f", "deaf"]), "deaf");
        assert_eq!(engine.footprint(), [""; 0]);
    });
}

#[test]
fn what_a_container_printed_is_kept_and_followed() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let counts = "for i in 1 2 3 4 5; do echo $i; done; echo wrong >&2";
        engine.ok(&["run", "--name", "counts", "--network", "none", "busybox", "sh", "-c", counts]);
        assert_eq!(engine.docker(&["logs", "counts"]).out, "1\n2\n3\n4\n5\n");
        assert_eq!(engine.docker(&["logs", "counts"]).err, "wrong\n");
        assert_eq!(engine.ok(&["logs", "--tail", "3", "counts"]), "4\n5");
        assert_eq!(engine.ok(&["logs", "--until", "1970-01-02T00:00:00Z", "counts"]), "");
        let dated = engine.ok(&["logs", "--timestamps", "--tail", "2", "counts"]);
        assert!(dated.contains("Z 5") && dated.starts_with("20"), "{dated}");
        engine.ok(&["start", "counts"]);
        assert_eq!(engine.ok(&["logs", "--follow", "counts"]).lines().count(), 10);
        engine.ok(&["run", "--name", "mute", "--log-driver", "none", "--network", "none", "busybox", "echo", "x"]);
        assert!(engine.refused(&["logs", "mute"]).contains("does not support reading"));
    });
}

#[test]
fn commands_run_in_a_container_with_their_streams_and_exit_codes() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        engine.ok(&["run", "-d", "--name", "box", "-e", "A=1", "--network", "none", "busybox", "sleep", "1000"]);
        let said = engine.docker(&["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 5"]);
        assert_eq!(said, Said { code: 5, out: "out\n".into(), err: "err\n".into() });
        assert_eq!(engine.docker_with("hello", &["exec", "-i", "box", "cat"]).out, "hello");
        assert_eq!(
            engine.ok(&["exec", "-e", "B=2", "-w", "/tmp", "-u", "web", "box", "sh", "-c", "echo $A $B $PWD $(id -u)"]),
            "1 2 /tmp 33"
        );
        assert_eq!(engine.ok(&["exec", "-t", "box", "sh", "-c", "tty; echo $TERM"]), "/dev/pts/0\r\nxterm");
        assert_eq!(engine.docker(&["exec", "box", "no-such-program"]).code, 127);
        engine.ok(&["exec", "-d", "box", "sh", "-c", "echo made > /tmp/file"]);
        while engine.docker(&["exec", "box", "cat", "/tmp/file"]).out != "made\n" {}
        engine.ok(&["pause", "box"]);
        assert!(engine.refused(&["exec", "box", "true"]).contains("is paused"));
        assert_eq!(engine.inspect("box", ".State.Status"), "paused");
        assert!(engine.refused(&["pause", "box"]).contains("already paused"));
        engine.ok(&["unpause", "box"]);
        assert!(engine.ok(&["top", "box"]).contains("sleep 1000"));
        engine.ok(&["rename", "box", "crate"]);
        assert!(engine.ok(&["ps"]).contains("crate"));
        engine.ok(&["rm", "-f", "crate"]);
        assert!(engine.refused(&["exec", "crate", "true"]).contains("No such container: crate"));
        assert_eq!(engine.footprint(), [""; 0]);
    });
}

#[test]
fn a_terminal_is_one_stream_with_carriage_returns() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let said =
            engine.docker(&["run", "-t", "--rm", "--network", "none", "busybox", "sh", "-c", "tty; echo err >&2"]);
        assert_eq!((said.code, said.out.as_str()), (0, "/dev/pts/0\r\nerr\r\n"), "{}", said.err);
    });
}

#[test]
fn a_container_that_fails_is_started_again_as_often_as_it_was_asked() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let arguments =
            ["run", "-d", "--name", "fails", "--restart", "on-failure:2", "--network", "none", "busybox", "false"];
        engine.ok(&arguments);
        while engine.inspect("fails", ".State.Status") != "exited" || engine.inspect("fails", ".RestartCount") != "2" {}
        engine.ok(&["run", "-d", "--name", "always", "--restart", "always", "--network", "none", "busybox", "true"]);
        while engine.inspect("always", ".RestartCount") == "0" {}
        engine.ok(&["stop", "always"]);
        assert_eq!(engine.inspect("always", ".State.Status"), "exited");
    });
}

#[test]
fn limits_and_isolation_are_the_kernel_s() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let inside = |flags: &[&str], command: &str| {
            let arguments =
                [&["run", "--rm", "--network", "none"][..], flags, &["busybox", "sh", "-c", command]].concat();
            engine.docker(&arguments)
        };
        assert_eq!(inside(&["-m", "64m"], "cat /sys/fs/cgroup/memory/memory.limit_in_bytes").out, "67108864\n");
        assert_eq!(inside(&["--pids-limit", "50"], "cat /sys/fs/cgroup/pids/pids.max").out, "50\n");
        assert_eq!(
            inside(&["--hostname", "web"], "hostname; cat /etc/hostname; echo $HOSTNAME").out,
            "web\nweb\nweb\n"
        );
        assert_eq!(inside(&["-u", "web", "-w", "/made"], "id -u; pwd").out, "33\n/made\n");
        assert_eq!(inside(&["--read-only"], "touch /x || echo refused").out, "refused\n");
        assert_eq!(inside(&["--tmpfs", "/mem:size=1m"], "df /mem | tail -n 1 | cut -c 1-5").out, "tmpfs\n");
        assert_eq!(inside(&["--ulimit", "nofile=100"], "ulimit -n").out, "100\n");
        assert_eq!(inside(&["--cap-drop", "ALL"], "grep CapEff /proc/self/status").out, "CapEff:\t0000000000000000\n");
        assert_eq!(inside(&[], "grep Seccomp: /proc/self/status").out, "Seccomp:\t2\n");
        assert_eq!(
            inside(&["--security-opt", "no-new-privileges"], "grep NoNew /proc/self/status").out,
            "NoNewPrivs:\t1\n"
        );
        assert_eq!(
            inside(&["--shm-size", "1m"], "df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2").out,
            "1024\n"
        );
        assert_eq!(inside(&[], "ls /sys/class/net").out, "lo\n");
        let folder = engine.host().folder().join("bound");
        let bind = format!("{}:/bound:ro", folder.display());
        assert_eq!(inside(&["-v", &bind], "touch /bound/x || echo refused").out, "refused\n");
        assert!(inside(&["-m", "1m"], "true").err.contains("Minimum memory limit allowed is 6MB"));
        assert_eq!(engine.footprint(), [""; 0]);
    });
}

#[test]
fn names_ids_and_states_are_told_as_docker_tells_them() {
    privileges::obtain(|| {
        let engine = Engine::start("engine");
        let id = engine.ok(&["create", "--name", "one", "--label", "a=b", "--network", "none", "busybox", "true"]);
        assert_eq!((id.len(), engine.inspect(&id[..6], ".Name").as_str()), (64, "/one"));
        let told = engine.refused(&["create", "--name", "one", "--network", "none", "busybox"]);
        assert!(
            told.contains(&format!("The container name \"/one\" is already in use by container \"{id}\"")),
            "{told}"
        );
        assert!(engine.refused(&["start", "two"]).contains("No such container: two"));
        assert!(engine.refused(&["create", "nothing-of-that-name"]).contains("nothing-of-that-name"));
        assert_eq!(engine.ok(&["ps", "-q"]), "");
        assert_eq!(
            engine.ok(&["ps", "-a", "--format", "{{.Names}} {{.Image}} {{.Status}}", "--filter", "label=a=b"]),
            "one busybox Created"
        );
        assert_eq!(engine.ok(&["ps", "-aq", "--filter", "status=exited"]), "");
        engine.ok(&["start", "one"]);
        assert_eq!(engine.ok(&["wait", "one"]), "0");
        assert_eq!(engine.ok(&["ps", "-aq", "--no-trunc", "--filter", "exited=0"]), id);
        assert!(engine.ok(&["container", "prune", "-f"]).contains(&id));
        assert_eq!(engine.ok(&["ps", "-aq"]), "");
    });
}

/// Waits until a container has printed a line.
fn wait_for_line(engine: &Engine, container: &str, line: &str) {
    while !engine.docker(&["logs", container]).out.lines().any(|it| it == line) {}
}
