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
