//! The command line as people run it, against a daemon on a kernel in memory.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod fixture;

use std::process::{Output, Stdio};

use fixture::Daemon;
use tokio::process::Command;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

async fn trestle(host: &str, line: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trestle"));
    command.args(line.split_whitespace()).env("TRESTLE_HOST", host).env_remove("TRESTLE_CERT_PATH");
    command.stdin(Stdio::null()).output().await.unwrap().into()
}

async fn good(daemon: &Daemon, line: &str) -> String {
    let ran = trestle(&daemon.host(), line).await;
    assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    ran.out
}

#[tokio::test]
async fn networks_endpoints_and_sandboxes_are_made_shown_and_removed() {
    let daemon = Daemon::start().await;
    let id = good(&daemon, "network create --subnet 10.1.0.0/24 front").await;
    assert_eq!(id.trim().len(), 64);
    assert_eq!(good(&daemon, "network ls -q --no-trunc").await, id);
    let table = good(&daemon, "network ls").await;
    let mut lines = table.lines();
    assert_eq!(lines.next().unwrap(), "NETWORK ID     NAME    DRIVER   SCOPE   SUBNETS");
    assert_eq!(lines.next().unwrap(), format!("{}   front   bridge   local   10.1.0.0/24", &id[..12]));
    good(&daemon, "sandbox create web").await;
    let told = good(&daemon, "connect front web --ip 10.1.0.7 -p 8080:80").await;
    assert_eq!(told, "web on front: eth0, 10.1.0.7/24, 8080:80/tcp\n");
    assert!(good(&daemon, "endpoint ls").await.contains("10.1.0.7/24"));
    assert_eq!(good(&daemon, "endpoint publish front/web 53/udp").await.lines().count(), 2);
    assert_eq!(good(&daemon, "endpoint unpublish web 53/udp").await, "8080:80/tcp\n");
    let inspected: serde_json::Value = serde_json::from_str(&good(&daemon, "sandbox inspect web").await).unwrap();
    assert_eq!(inspected[0]["endpoints"][0]["ipv4"], "10.1.0.7/24");
    assert_eq!(good(&daemon, "verify").await, "everything is as it should be\n");
    assert_eq!(good(&daemon, "disconnect front web").await, "");
    good(&daemon, "sandbox rm web").await;
    assert_eq!(good(&daemon, "network rm front").await, "front\n");
}

#[tokio::test]
async fn what_is_out_of_the_ordinary_about_a_port_is_noted_beside_it() {
    let daemon = Daemon::start().await;
    good(&daemon, "network create front").await;
    good(&daemon, "sandbox create web").await;
    let told = good(&daemon, "connect front web -p 9:9/sctp -p 80:80").await;
    assert!(told.ends_with(" 9:9/sctp (not held), 80:80/tcp\n"), "{told}");
    let table = good(&daemon, "endpoint ls").await;
    assert!(table.contains("9:9/sctp (not held), 80:80/tcp"), "{table}");
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let daemon = Daemon::start().await;
    assert!(good(&daemon, "network create --dry-run front").await.starts_with("# "));
    assert!(daemon.controller.networks().is_empty());
}

#[tokio::test]
async fn exit_codes_mean_what_the_help_says() {
    let daemon = Daemon::start().await;
    let host = daemon.host();
    good(&daemon, "network create front").await;
    good(&daemon, "sandbox create web").await;
    good(&daemon, "connect front web").await;
    for (line, code, named) in [
        ("network create -o color=red back", 1, "color"),
        ("network rm front", 1, "front"),
        ("network create a/b", 2, "a/b"),
        ("network create --gateway 10.0.0.1 a", 2, "--gateway"),
        ("network inspect back", 3, "back"),
        ("network rm back front", 1, "front"),
        ("connect back web", 3, "back"),
        ("network create front", 4, "front"),
        ("sandbox exec nobody true", 125, "nobody"),
    ] {
        let ran = trestle(&host, line).await;
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
        assert!(ran.err.contains(named), "{line}: {}", ran.err);
    }
    let ran = trestle("unix:///nowhere/x.sock", "network ls").await;
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("/nowhere/x.sock") && ran.err.contains("systemctl start trestle"), "{}", ran.err);
}

#[tokio::test]
async fn exec_becomes_the_command_and_passes_its_code_through() {
    let daemon = Daemon::start().await;
    good(&daemon, "sandbox create --host-namespace web").await;
    let host = daemon.host();
    assert_eq!(trestle(&host, "sandbox exec web echo -n --help").await.out, "--help");
    assert_eq!(trestle(&host, "sandbox exec web false").await.code, 1);
    let missing = trestle(&host, "sandbox exec web no-such-command").await;
    assert_eq!(missing.code, 127, "{}", missing.err);
    assert_eq!(trestle(&host, "sandbox exec web /etc/passwd").await.code, 126);
}

#[tokio::test]
async fn the_version_of_the_command_is_told_without_a_daemon() {
    let ran = trestle("unix:///nowhere/x.sock", "version").await;
    assert_eq!(ran.code, 5);
    assert_eq!(ran.out, format!("trestle  {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn completions_need_no_daemon() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = trestle("unix:///nowhere/x.sock", &format!("completion {shell}")).await;
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("network"), "{shell}");
    }
}

#[test]
fn the_unit_that_people_are_told_of_is_the_one_that_is_there() {
    let unit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/trestle.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    assert!(unit.lines().any(|line| line == "Alias=trestled.service"), "{unit}");
    assert!(unit.contains("ExecStart=/usr/bin/trestled "), "{unit}");
}

#[tokio::test]
async fn a_list_is_filtered_as_with_docker() {
    let daemon = Daemon::start().await;
    good(&daemon, "network create --label team=red front").await;
    good(&daemon, "network create --label team=blue frontier").await;
    let null = good(&daemon, "network create -d null none").await;
    for name in ["web", "job"] {
        good(&daemon, &format!("sandbox create {name}")).await;
    }
    good(&daemon, "connect front web").await;
    good(&daemon, "endpoint create --name spare frontier").await;
    for (line, expected) in [
        ("network ls", 3),
        ("network ls -f name=front", 2),
        ("network ls --filter driver=null", 1),
        ("network ls -f label=team", 2),
        ("network ls -f label=team=red -f driver=bridge", 1),
        ("network ls -f name=none -f name=frontier", 2),
        (&format!("network ls -f id={}", &null[..12]), 1),
        ("endpoint ls -f network=front", 1),
        ("endpoint ls -f state=reserved", 1),
        ("endpoint ls -f sandbox=web -f network=frontier", 0),
        ("sandbox ls -f network=front", 1),
        ("sandbox ls -f name=o", 1),
    ] {
        assert_eq!(good(&daemon, &format!("{line} -q")).await.lines().count(), expected, "{line}");
        let json: serde_json::Value =
            serde_json::from_str(&good(&daemon, &format!("{line} --format json")).await).unwrap();
        assert_eq!(json.as_array().unwrap().len(), expected, "{line}");
    }
    let ran = trestle(&daemon.host(), "network ls -f color=red").await;
    assert_eq!((ran.code, ran.err.contains("driver, id, label, name, scope")), (2, true), "{}", ran.err);
}

#[tokio::test]
async fn networks_that_nobody_is_on_are_pruned_and_no_others() {
    let daemon = Daemon::start().await;
    for name in ["front", "old", "older"] {
        good(&daemon, &format!("network create {name}")).await;
    }
    good(&daemon, "endpoint create front").await;
    let ran = trestle(&daemon.host(), "network prune").await;
    assert_eq!(ran.code, 1, "whoever says nothing does not mean it");
    assert!(ran.err.contains("This removes the networks") && ran.err.contains("old"), "{}", ran.err);
    assert_eq!(good(&daemon, "network prune --force --filter name=older").await, "older\n");
    assert_eq!(good(&daemon, "network prune -f").await, "old\n");
    assert_eq!(good(&daemon, "network prune -f").await, "");
    assert_eq!(good(&daemon, "network ls -q").await.lines().count(), 1);
}

#[tokio::test]
async fn what_is_inspected_is_json_or_a_sheet_for_people() {
    let daemon = Daemon::start().await;
    good(&daemon, "network create --subnet 10.1.0.0/24 front").await;
    good(&daemon, "sandbox create web").await;
    good(&daemon, "connect -p 8080:80 front web").await;
    for (line, named) in [
        ("network inspect front", "subnet: 10.1.0.0/24"),
        ("sandbox inspect web", "state: ready"),
        ("endpoint inspect front/web", "port: 8080:80/tcp"),
    ] {
        assert_eq!(good(&daemon, line).await, good(&daemon, &format!("{line} --format json")).await);
        let sheet = good(&daemon, &format!("{line} --format table")).await;
        assert!(sheet.lines().next().unwrap().starts_with("id: "), "{sheet}");
        assert!(sheet.contains(named), "{sheet}");
    }
    let ran = trestle(&daemon.host(), "network inspect --format table nobody front").await;
    assert_eq!((ran.code, ran.out.contains("name: front"), ran.err.contains("nobody")), (3, true, true), "{}", ran.err);
}
