//! The trial passes what is right, and finds what is wrong in the way that it is wrong.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trestle_plugins::client::{Address, Limits};
use trestle_plugins::conformance::{Report, Trial, Verdict, examine};

use crate::landscape::Landscape;
use crate::serve::{counting, served};
use crate::stranger::Stranger;

async fn tried(socket: &Path) -> Report {
    let wait = Duration::from_millis(1);
    let limits =
        Limits { deadline: Duration::from_secs(60), largest: 1 << 16, tries: 2, first_wait: wait, longest_wait: wait };
    let trial = Trial {
        address: Address::Unix(socket.to_owned()),
        limits,
        sandbox: "/run/netns/trial".into(),
        kernel: None,
        entropy: Arc::new(counting()),
    };
    examine(trial).await.unwrap()
}

/// What did not pass, as `method: promise`.
fn faults(report: &Report) -> Vec<String> {
    let faults = report.checks.iter().filter(|check| check.verdict != Verdict::Passed);
    faults.map(|check| format!("{}: {}", check.method, check.promise)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_served_drivers_pass() {
    let it = served();
    let report = tried(&it.socket()).await;
    assert_eq!(faults(&report), [""; 0], "{report}");
    assert_eq!(report.verdict(), Verdict::Passed);
    assert!(report.checks.len() > 90, "{}", report.checks.len());
    assert_eq!(it.snapshot(), [""; 0], "the trial leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_s_plugin_passes() {
    let host = Landscape::new();
    let socket = host.path("run/stranger.sock");
    let _stranger = Stranger::at(&socket, &[]);
    let report = tried(&socket).await;
    assert_eq!(faults(&report), [""; 0], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_plugin_fails_in_the_ways_that_it_is_broken() {
    for (misbehaviour, method, told) in [
        ("Plugin.Activate=page", "Plugin.Activate", "text/html"),
        ("NetworkDriver.GetCapabilities=lie", "NetworkDriver.GetCapabilities", "Scope is \"galactic\""),
        ("NetworkDriver.CreateEndpoint=lie", "NetworkDriver.CreateEndpoint", "multicast"),
        ("NetworkDriver.Join=lie", "NetworkDriver.Join", "SrcName is \"../../etc/shadow\""),
        ("NetworkDriver.Leave=half", "NetworkDriver.Leave", "no answer in JSON"),
        ("NetworkDriver.DeleteNetwork=huge", "NetworkDriver.DeleteNetwork", "larger than 65536 bytes"),
        ("IpamDriver.RequestPool=lie", "IpamDriver.RequestPool", "Pool is \"everything\""),
        ("IpamDriver.RequestAddress=lie", "IpamDriver.RequestAddress", "224.0.0.1"),
        ("IpamDriver.ReleaseAddress=status", "IpamDriver.ReleaseAddress", "out of order"),
        ("IpamDriver.ReleasePool=die", "IpamDriver.ReleasePool", "the plugin can't be reached"),
    ] {
        let host = Landscape::new();
        let socket = host.path("run/stranger.sock");
        let _stranger = Stranger::at(&socket, &[misbehaviour.to_owned()]);
        let report = tried(&socket).await;
        assert_eq!(report.verdict(), Verdict::Failed, "{misbehaviour}");
        let is_it = |check: &&trestle_plugins::conformance::Check| {
            check.verdict == Verdict::Failed && check.method == method && check.detail.contains(told)
        };
        assert!(
            report.checks.iter().any(|check| is_it(&check)),
            "{misbehaviour} should tell {told} of {method}: {report}"
        );
    }
}

#[tokio::test]
async fn a_plugin_that_is_not_there_fails_and_that_is_all() {
    let folder = tempfile::tempdir().unwrap();
    let report = tried(&folder.path().join("missing.sock")).await;
    assert_eq!(faults(&report), ["Plugin.Activate: answers a handshake"]);
}

#[test]
fn a_report_is_data_and_text() {
    let check = trestle_plugins::conformance::Check {
        method: "NetworkDriver.Join".into(),
        promise: "joins a sandbox".into(),
        verdict: Verdict::Failed,
        detail: "the plugin gave no answer".into(),
    };
    let report = Report { address: "unix:///x".into(), implements: vec!["NetworkDriver".into()], checks: vec![check] };
    let read: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(read, report);
    let told = "unix:///x: NetworkDriver\nFAILED   NetworkDriver.Join: joins a sandbox\n         \
        the plugin gave no answer\n0 passed, 0 doubtful, 1 failed";
    assert_eq!(report.to_string(), told);
}
