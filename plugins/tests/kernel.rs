//! A served driver on the real kernel, in a network namespace of its own: what Docker's daemon would do with its answers
//! is done by hand.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use tokio::net::UnixListener;
use trestle_core::entropy::Entropy;
use trestle_core::kernel::Kernel;
use trestle_drivers::Bridge;
use trestle_ipam::{DefaultIpam, DefaultPools};
use trestle_kernel::mark::Instance;
use trestle_kernel::{LinuxKernel, Options};
use trestle_plugins::client::{Address, Client, Limits};
use trestle_plugins::conformance::{Trial, Verdict, examine};
use trestle_plugins::serve::{Offer, serve};
use trestle_plugins::wire::network::{
    CreateEndpoint, CreateNetwork, DeleteEndpoint, DeleteNetwork, Interface, IpamData, Join, Leave, Place,
};

/// Runs one of the tests below in a network and mount namespace of its own, as root there.
fn in_namespace(test: &str) {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "--mount"]).arg(program).args(["--exact", test, "--ignored"]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
fn a_served_driver_links_a_container_that_somebody_else_moves() {
    in_namespace("links");
}

#[test]
fn a_served_driver_passes_the_trial_on_the_real_kernel() {
    in_namespace("trial");
}

struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::SeqCst).to_le_bytes();
        bytes.iter_mut().zip(count.iter().cycle()).for_each(|(byte, digit)| *byte = *digit);
    }
}

struct Served {
    folder: TempDir,
    kernel: Arc<LinuxKernel>,
}

fn served() -> Served {
    // Fresh namespaces may have them on, and then links seem to work for the wrong reason, or not at all.
    for family in ["iptables", "ip6tables"] {
        std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "0").ok();
    }
    run("ip", "link set lo up");
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        instance: Instance::new(7),
        firewall: trestle_kernel::firewall::Backend::NfTables,
        netns_folder: folder.path().join("netns"),
        description: "a test of served drivers".to_owned(),
    };
    let kernel = Arc::new(LinuxKernel::open(options).unwrap());
    let pools = DefaultPools::new(Vec::new(), [1, 2, 3, 4, 5]).unwrap();
    let offer = Offer {
        driver: Some(("bridge".to_owned(), Arc::new(Bridge))),
        ipam: Some(Arc::new(DefaultIpam::new(pools))),
        kernel: Arc::clone(&kernel) as _,
        entropy: Arc::new(Counting(AtomicU64::new(1))),
    };
    let listener = UnixListener::bind(folder.path().join("trestle.sock")).unwrap();
    tokio::spawn(async move { serve(offer, listener).await.unwrap() });
    Served { folder, kernel }
}

impl Served {
    fn address(&self) -> Address {
        Address::Unix(self.folder.path().join("trestle.sock"))
    }
}

fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A process with a network namespace of its own; ends with this value.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Container {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // When it answers, it is where it shall be.
        child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Self(child)
    }

    fn run(&self, line: &str) -> String {
        run("nsenter", &format!("--target {} --net {line}", self.0.id()))
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run in a namespace by a_served_driver_links_a_container_that_somebody_else_moves"]
async fn links() {
    let it = served();
    let client = Client::new(it.address(), Limits::default()).unwrap();
    let place = Place { network: "a".repeat(64), endpoint: "b".repeat(64) };
    let data = IpamData { pool: "198.18.0.0/24".into(), gateway: "198.18.0.1/24".into(), ..IpamData::default() };
    let network = CreateNetwork { network: place.network.clone(), v4: vec![data], ..CreateNetwork::default() };
    client.call(&network).await.unwrap();
    let endpoint = CreateEndpoint {
        network: place.network.clone(),
        endpoint: place.endpoint.clone(),
        interface: Interface { address: "198.18.0.2/24".into(), ..Interface::default() },
        ..CreateEndpoint::default()
    };
    client.call(&endpoint).await.unwrap();
    let container = Container::new();
    let join = Join {
        network: place.network.clone(),
        endpoint: place.endpoint.clone(),
        sandbox_key: format!("/proc/{}/ns/net", container.0.id()),
        ..Join::default()
    };
    let joined = client.call(&join).await.unwrap();
    let link = joined.interface_name.unwrap().src_name;
    run("ip", &format!("link set {link} netns {} name eth0", container.0.id()));
    container.run("ip address add 198.18.0.2/24 dev eth0");
    container.run("ip link set eth0 up");
    container.run(&format!("ip route add default via {}", joined.gateway));
    container.run("ping -c 1 -W 10 198.18.0.1");
    client.call(&Leave(place.clone())).await.unwrap();
    assert!(!container.run("ip -o link").contains("eth0"), "the link is gone from the container");
    client.call(&DeleteEndpoint(place.clone())).await.unwrap();
    client.call(&DeleteNetwork { network: place.network }).await.unwrap();
    assert_eq!(it.kernel.strays(&[]).await.unwrap(), [""; 0]);
    assert_eq!(run("ip", "-o link").lines().count(), 1, "only the loopback is left");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run in a namespace by a_served_driver_passes_the_trial_on_the_real_kernel"]
async fn trial() {
    let it = served();
    let trial = Trial {
        address: it.address(),
        limits: Limits::default(),
        sandbox: PathBuf::from("/run/netns/trial"),
        kernel: Some(Arc::clone(&it.kernel) as _),
        entropy: Arc::new(Counting(AtomicU64::new(1 << 32))),
    };
    let report = examine(trial).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Passed, "{report}");
    assert!(report.checks.iter().any(|check| check.promise == "makes the link that it tells of"));
    assert!(report.checks.iter().any(|check| check.promise.starts_with("leaves no link behind")));
    assert_eq!(run("ip", "-o link").lines().count(), 1, "only the loopback is left");
}
