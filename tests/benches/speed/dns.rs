//! What an answer costs beside a packet that is only sent back, behind the same redirect, with few names and with many.
//!
//! dnsperf asks, from within a sandbox's namespace. It needs processors of its own as well, and has the same ones.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use trestle_core::Plan;
use trestle_core::dns::{EndpointNames, Naming};
use trestle_core::endpoint::{Attachment, Endpoint, EndpointState, Lease, Lifetime, Plans};
use trestle_core::entropy::Entropy;
use trestle_core::id::{EndpointId, NetworkId, SandboxId};
use trestle_core::kernel::Kernel;
use trestle_core::name_service::{NameService, NameSockets};
use trestle_core::network::{Network, NetworkState, Scope};
use trestle_core::resource::{Loopback, NameServer, Namespace, Netns, Resource};
use trestle_core::sandbox::{Sandbox, SandboxNetns, SandboxState};
use trestle_core::store::{Change, Record};
use trestle_core::witness::Witness;
use trestle_kernel::firewall::Backend;
use trestle_kernel::mark::Instance;
use trestle_kernel::{LinuxKernel, Options};
use trestle_resolver::limits::{Counted, Meter};
use trestle_resolver::upstream::{Defaults, HostServers, Upstream};
use trestle_resolver::{Directory, Limits, Server};
use trestle_tests::host::Host;

use super::contest::take_turns;
use super::report::Figure;

/// Rounds that count, unless the command line says another number.
const ROUNDS: usize = 3;

/// How long dnsperf asks, in seconds.
const SECONDS: &str = "1";

/// How many names there are.
const NAMES: [u16; 3] = [10, 1000, 10_000];

/// Somebody at the other end of the sockets in a sandbox of his own.
struct Contestant {
    host: Arc<Host>,
    netns: PathBuf,
    questions: PathBuf,
    _kernel: LinuxKernel,
}

/// What dnsperf measured.
#[derive(Clone, Copy)]
struct Run {
    /// Microseconds from answer to answer.
    each: f64,
    /// The time that one answer of a hundred took longer than, in microseconds.
    p99: f64,
}

#[allow(clippy::vec_box, reason = "turns are taken by whoever is in a box")]
pub(crate) fn measure(rounds: Option<usize>) -> Vec<Figure> {
    let mut contestants: Vec<Box<Contestant>> = vec![Box::new(Contestant::new("echo", NAMES[1], |_| Arc::new(Echo)))];
    contestants.extend(NAMES.map(|count| {
        Box::new(Contestant::new(&format!("names{count}"), count, move |runtime| Arc::new(answering(runtime, count))))
    }));
    let runs = take_turns(&mut contestants, 1, rounds.unwrap_or(ROUNDS), |contestant| contestant.run());
    let figure = |id, of: usize, what: fn(&Run) -> f64| Figure::new(id, "us", runs[of].iter().map(what).collect());
    let floor = figure("dns_echo", 0, |run| run.each);
    let thousand = figure("dns", 2, |run| run.each).beside(&floor);
    let p99_floor = figure("dns_echo_p99", 0, |run| run.p99);
    let p99 = figure("dns_p99", 2, |run| run.p99).beside(&p99_floor);
    let growth = runs[3].iter().zip(&runs[1]).map(|(many, few)| many.each / few.each).collect();
    vec![floor, thousand, p99_floor, p99, Figure::new("dns_10000_names_over_10", "x", growth)]
}

impl Contestant {
    fn new(name: &str, count: u16, service: impl FnOnce(Handle) -> Arc<dyn NameService> + Send) -> Self {
        let host = Arc::new(Host::new(name));
        let netns = host.exec_root().join("netns/0123456789ab");
        let kernel = host.block_on(async {
            let options = Options {
                instance: Instance::new(1),
                netns_folder: host.exec_root().join("netns"),
                firewall: Backend::NfTables,
                description: "a benchmark".into(),
            };
            let kernel =
                LinuxKernel::open_with_names(options, Some(service(Handle::current()))).expect("a kernel layer");
            let namespace = Namespace::At(netns.clone());
            let server = NameServer { namespace: namespace.clone(), sandbox: sandbox_id(), ipv6: false };
            let plan = Plan::from(vec![
                Resource::Netns(Netns { path: netns.clone() }),
                Resource::Loopback(Loopback { namespace }),
                Resource::NameServer(server),
            ]);
            kernel.apply(&plan).await.expect("a sandbox with a name server");
            kernel
        });
        let questions = host.folder().join("questions");
        let mut text = String::new();
        (0..count).for_each(|number| writeln!(text, "{} A", alias(number)).expect("a string can be written"));
        fs::write(&questions, text).expect("a test's folder can be written");
        Self { host, netns, questions, _kernel: kernel }
    }

    fn run(&mut self) -> Run {
        let told = self.dnsperf(&[]);
        let rate: f64 = figure(&told, "Queries per second:");
        let lost: f64 = figure(&told, "Queries lost:");
        assert!(lost == 0.0, "{told}");
        // It tells how long each answer took only if it tells of each, which takes time of its own.
        let told = self.dnsperf(&["-v"]);
        let of_each = told.lines().filter(|line| line.starts_with("> "));
        let mut times: Vec<f64> = of_each.filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect();
        times.sort_by(f64::total_cmp);
        Run { each: 1e6 / rate, p99: times[times.len() * 99 / 100] * 1e6 }
    }

    fn dnsperf(&self, more: &[&str]) -> String {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.netns.display()));
        command.args(["dnsperf", "-s", "127.0.0.11", "-c4", "-q64", "-l", SECONDS]).args(more).arg("-d");
        command.arg(&self.questions);
        let output = self.host.run(|| command.output()).expect("dnsperf is needed; tests/setup.sh installs it");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// The first number behind these words.
fn figure(told: &str, words: &str) -> f64 {
    let behind = told.split_once(words).unwrap_or_else(|| panic!("no {words} in {told}")).1;
    behind.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Sends every packet back, on a thread a socket, and does nothing else.
struct Echo;

impl NameService for Echo {
    fn serve(&self, _: SandboxId, sockets: NameSockets) -> trestle_core::Result<()> {
        for socket in sockets.udp {
            thread::spawn(move || echo(&socket));
        }
        Ok(())
    }

    fn stop(&self, _: SandboxId) {}
}

fn echo(socket: &UdpSocket) {
    socket.set_nonblocking(false).expect("a socket can be waited for");
    let mut room = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut room) {
        socket.send_to(&room[..length], from).expect("there is room for an answer");
    }
}

/// Our server, with one sandbox under so many names.
fn answering(runtime: Handle, count: u16) -> Server {
    let directory = Directory::default();
    let sandbox = Sandbox {
        id: sandbox_id(),
        name: "asker".try_into().expect("a name"),
        netns: SandboxNetns::Made { path: "/".into() },
        naming: Some(Box::new(Naming::default())),
        state: SandboxState::Ready { plan: Plan::new() },
    };
    let network = Network {
        id: network_id(),
        name: "front".try_into().expect("a name"),
        driver: "bridge".into(),
        ipam: "default".into(),
        scope: Scope::Local,
        pools: Vec::new(),
        internal: false,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        created: SystemTime::UNIX_EPOCH,
        state: NetworkState::Ready { plan: Plan::new() },
    };
    let aliases = (0..count).map(|number| alias(number).as_str().try_into().expect("a name")).collect();
    let endpoint = Endpoint {
        id: EndpointId::NOBODY,
        network: network_id(),
        name: "asker".try_into().expect("a name"),
        lifetime: Lifetime::Attachment,
        lease: Some(Lease { v4: Some("10.0.0.2/24".parse().expect("an address")), v6: None }),
        mac: "02:42:0a:00:00:02".parse().expect("a MAC address"),
        exposed: Vec::new(),
        wanted: Vec::new(),
        options: BTreeMap::new(),
        priority: 0,
        primary: false,
        interface: None,
        names: EndpointNames { aliases, links: Vec::new() },
        state: EndpointState::Attached(Attachment {
            sandbox: sandbox_id(),
            interface: None,
            table: 84_000,
            gateway_v4: None,
            gateway_v6: None,
            out_by_link_v4: false,
            out_by_link_v6: false,
            declines_gateway: false,
            ports: Vec::new(),
            plans: Plans::default(),
        }),
    };
    let records = [Record::Network(network), Record::Sandbox(sandbox), Record::Endpoint(Box::new(endpoint))];
    directory.committed(&records.map(Change::Put));
    let nobody = || Arc::new(Nobody);
    let limits = Limits::default();
    let upstream = Upstream::new(nobody(), Defaults::default(), limits, nobody(), nobody());
    Server::new(runtime, directory, Arc::new(upstream), limits, nobody())
}

fn alias(number: u16) -> String {
    format!("container-{number}")
}

fn sandbox_id() -> SandboxId {
    "5a".repeat(32).parse().expect("64 digits")
}

fn network_id() -> NetworkId {
    "4e".repeat(32).parse().expect("64 digits")
}

/// Nobody else is asked, and nobody counts.
struct Nobody;

impl HostServers for Nobody {
    fn servers(&self) -> Vec<std::net::SocketAddr> {
        Vec::new()
    }
}

impl Entropy for Nobody {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

impl Meter for Nobody {
    fn count(&self, _: Counted) {}

    fn upstream(&self, _: Duration) {}
}
