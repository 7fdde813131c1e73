//! A plugin of another language and another process: well-behaved, and in every way that it is not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use trestle_core::driver::{Driver, Joined, Slot};
use trestle_core::facts::Facts;
use trestle_core::ipam::{AddressRequest, Family, Ipam, PoolRequest, Purpose};
use trestle_core::resource::Namespace;
use trestle_core::{Error, ErrorKind};

use crate::landscape::Landscape;
use crate::subjects;

/// The process; ends with this value.
pub(crate) struct Stranger(Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}

impl Stranger {
    /// Listens when this returns.
    pub(crate) fn at(socket: &Path, misbehaviour: &[String]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins/plugin.py");
        let mut command = Command::new("python3");
        command.arg(program).arg(socket).args(misbehaviour).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        Self(child)
    }
}

/// What one step of a life came to.
type Step = (&'static str, Result<(), Error>);

/// A network and an endpoint from beginning to end, on over errors.
async fn life(driver: &dyn Driver) -> Vec<Step> {
    let network = subjects::network();
    let endpoint = subjects::endpoint(&network);
    let slot = Slot { namespace: Namespace::At("/run/netns/1".into()), interface: "eth0".try_into().unwrap() };
    // It makes no link, and wants no other way out either.
    let nothing = Joined { declines_gateway: true, ..Joined::default() };
    vec![
        ("CreateNetwork", driver.create_network(&network, &Facts::default()).await.map(drop)),
        ("CreateEndpoint", driver.create_endpoint(&network, &endpoint).await.map(drop)),
        ("Join", driver.join(&network, &endpoint, &slot).await.map(|joined| assert_eq!(joined, nothing))),
        ("Leave", driver.leave(&network, &endpoint).await),
        ("DeleteEndpoint", driver.delete_endpoint(&network, &endpoint).await),
        ("DeleteNetwork", driver.delete_network(&network).await),
    ]
}

/// A pool and an address from beginning to end.
async fn lease(ipam: &dyn Ipam) -> Vec<Step> {
    let request = PoolRequest {
        family: Family::V4,
        subnet: Some("10.77.0.0/24".parse().unwrap()),
        range: None,
        avoid: Vec::new(),
        options: Default::default(),
    };
    let pool = "10.77.0.0/24";
    let address = AddressRequest { subnet: None, wanted: None, purpose: Purpose::Gateway };
    vec![
        ("RequestPool", ipam.request_pool(&request).await.map(drop)),
        ("RequestAddress", ipam.request_address(pool, &address).await.map(drop)),
        ("ReleaseAddress", ipam.release_address(pool, "10.77.0.1".parse().unwrap()).await),
        ("ReleasePool", ipam.release_pool(pool).await),
    ]
}

const METHODS: [&str; 10] = [
    "NetworkDriver.CreateNetwork",
    "NetworkDriver.CreateEndpoint",
    "NetworkDriver.Join",
    "NetworkDriver.Leave",
    "NetworkDriver.DeleteEndpoint",
    "NetworkDriver.DeleteNetwork",
    "IpamDriver.RequestPool",
    "IpamDriver.RequestAddress",
    "IpamDriver.ReleaseAddress",
    "IpamDriver.ReleasePool",
];

async fn both(host: &Landscape) -> Vec<Step> {
    let mut steps = life(host.plugins.driver("stranger").await.unwrap().as_ref()).await;
    steps.extend(lease(host.plugins.ipam("stranger").await.unwrap().as_ref()).await);
    steps
}

#[tokio::test]
async fn a_stranger_s_plugin_works() {
    let host = Landscape::new();
    let _stranger = Stranger::at(&host.path("run/stranger.sock"), &[]);
    for _ in 0..2 {
        for (step, outcome) in both(&host).await {
            outcome.unwrap_or_else(|error| panic!("{step}: {error}"));
        }
    }
    assert_eq!(host.plugins.inspect("stranger").await.unwrap().owes, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_killed_at_any_method_is_told_and_works_when_it_is_back() {
    for method in METHODS {
        let host = Landscape::new();
        let socket = host.path("run/stranger.sock");
        let stranger = Stranger::at(&socket, &[format!("{method}=die")]);
        let mut failed = 0;
        for (step, outcome) in both(&host).await {
            if let Err(error) = outcome {
                failed += 1;
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{method}, {step}: {error}");
                assert!(error.to_string().starts_with("plugin stranger: "), "{method}, {step}: {error}");
            }
        }
        assert_ne!(failed, 0, "{method}");
        drop(stranger);
        let _back = Stranger::at(&socket, &[]);
        for (step, outcome) in both(&host).await {
            outcome.unwrap_or_else(|error| panic!("{method}, {step} after it came back: {error}"));
        }
        assert_eq!(host.plugins.inspect("stranger").await.unwrap().owes, [], "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_plugin_sends_is_a_clear_error() {
    for (how, told) in [
        ("huge", "larger than 65536 bytes"),
        ("half", "no answer in JSON (EOF while parsing a string"),
        ("page", "but text/html, 22 bytes: \"<html>It works!</html>\""),
        ("status", "out of order"),
    ] {
        let host = Landscape::new();
        let misbehaviour = METHODS.map(|method| format!("{method}={how}"));
        let _stranger = Stranger::at(&host.path("run/stranger.sock"), &misbehaviour);
        for (step, outcome) in both(&host).await {
            // A plugin that refused to make a thing need not be asked to let it go.
            if how == "status" && ["Leave", "DeleteEndpoint", "DeleteNetwork"].contains(&step) {
                continue;
            }
            let error = outcome.expect_err(step);
            assert!(error.to_string().contains(told), "{how}, {step}: {error} should tell: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_are_found_out() {
    let host = Landscape::new();
    let lies = ["NetworkDriver.CreateEndpoint", "NetworkDriver.Join", "IpamDriver.RequestPool"];
    let _stranger = Stranger::at(&host.path("run/stranger.sock"), &lies.map(|method| format!("{method}=lie")));
    let refused: Vec<(&str, String)> =
        both(&host).await.into_iter().filter_map(|(step, outcome)| Some((step, outcome.err()?.to_string()))).collect();
    for (step, told) in
        [("CreateEndpoint", "MacAddress"), ("Join", "SrcName"), ("RequestPool", "Pool is \"everything\"")]
    {
        assert!(refused.iter().any(|(at, error)| *at == step && error.contains(told)), "{step}: {refused:?}");
    }
    for (method, told) in [("Plugin.Activate", "invalid type"), ("NetworkDriver.GetCapabilities", "galactic")] {
        let host = Landscape::new();
        let _stranger = Stranger::at(&host.path("run/stranger.sock"), &[format!("{method}=lie")]);
        let error = host.plugins.driver("stranger").await.err().unwrap().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_plugin_that_hangs_is_left_and_asked_again() {
    let host = Landscape::with(Duration::from_secs(2), Duration::from_secs(60));
    let hangs = "NetworkDriver.DeleteNetwork=hang".to_owned();
    let _stuck = Stranger::at(&host.path("run/stranger.sock"), &[hangs]);
    let driver = host.plugins.driver("stranger").await.unwrap();
    for (step, outcome) in life(driver.as_ref()).await {
        match step {
            "DeleteNetwork" => assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable),
            _ => outcome.unwrap_or_else(|error| panic!("{step}: {error}")),
        }
    }
    assert_eq!(host.plugins.inspect("stranger").await.unwrap().owes.len(), 1);
}
