//! The library as an embedder has it: a controller put together from the real parts.

use std::fs;
use std::net::IpAddr;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use trestle_core::controller::request::{EndpointRequest, NetnsRequest, NetworkRequest, SandboxRequest};
use trestle_core::controller::{Config, Controller};
use trestle_core::endpoint::Endpoint;
use trestle_core::entropy::Entropy;
use trestle_core::port::PortBinding;
use trestle_core::registry::Registry;
use trestle_core::sandbox::SandboxNetns;
use trestle_core::surroundings::{Clock, Spawn, Surroundings, Task};
use trestle_drivers::builtin;
use trestle_ipam::{DefaultIpam, DefaultPools, NullIpam};
use trestle_kernel::mark::Instance;
use trestle_kernel::{LinuxKernel, Options, raise_file_limit};
use trestle_store::{EmbeddedStore, Stamp};

use crate::front::{Front, Place, Result, Setup};
use crate::host::Host;

/// A controller in a host of the test's own, within the test's process.
pub struct Library {
    host: Arc<Host>,
    controller: Controller,
    running: JoinHandle<()>,
}

impl Library {
    /// Puts one together and lets it run.
    pub fn start(host: &Arc<Host>) -> Self {
        Self::start_as(host, Setup::default())
    }

    /// The same, set up in another way.
    pub fn start_as(host: &Arc<Host>, setup: Setup) -> Self {
        let opened = Self::open(host, host.data_root(), host.exec_root(), setup);
        opened.unwrap_or_else(|error| panic!("opening: {error}"))
    }

    /// The same with roots of its own; where it is refused, why.
    pub fn try_start(host: &Arc<Host>, roots: &Path) -> Result<Self> {
        Self::open(host, roots.join("data"), roots.join("run"), Setup::default())
    }

    fn open(host: &Arc<Host>, data_root: PathBuf, exec_root: PathBuf, setup: Setup) -> Result<Self> {
        host.block_on(async {
            let controller = open(data_root, exec_root, setup).await.map_err(|error| error.to_string())?;
            let running = tokio::spawn({
                let controller = controller.clone();
                async move { controller.run().await }
            });
            Ok(Self { host: host.clone(), controller, running })
        })
    }

    /// The controller itself, for what no front shows. Its futures are to be run in the host.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    fn place(&self, endpoint: &Endpoint) -> Result<Place> {
        let lease = endpoint.lease.clone().unwrap_or_default();
        let network = self.controller.network(&endpoint.network.to_string()).map_err(|error| error.to_string())?;
        let attachment = endpoint.state.attachment();
        Ok(Place {
            v4: lease.v4.map(|net| net.addr()),
            v6: lease.v6.map(|net| net.addr()),
            gateways: network.pools.iter().filter_map(|pool| pool.gateway).collect::<Vec<IpAddr>>(),
            interface: attachment.and_then(|it| it.interface.as_ref()).map(ToString::to_string),
            ports: attachment.map(|it| told(&it.ports)).unwrap_or_default(),
        })
    }

    /// Runs a request in the host.
    fn ask<T: Send>(&self, request: impl Future<Output = trestle_core::Result<T>> + Send) -> Result<T> {
        self.host.block_on(request).map_err(|error| error.to_string())
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Front for Library {
    fn host(&self) -> &Arc<Host> {
        &self.host
    }

    fn create_network(&self, request: &NetworkRequest) -> Result<()> {
        self.ask(self.controller.create_network(request.clone())).map(drop)
    }

    fn delete_network(&self, network: &str) -> Result<()> {
        self.ask(self.controller.delete_network(network))
    }

    fn plan_network(&self, request: &NetworkRequest) -> Result<String> {
        let (_, plan) = self.ask(self.controller.plan_network(request.clone()))?;
        Ok(format!("{plan:#?}"))
    }

    fn create_sandbox(&self, name: &str, netns: &NetnsRequest) -> Result<PathBuf> {
        let name = Some(name.try_into().map_err(|error: trestle_core::Error| error.to_string())?);
        let request = SandboxRequest { name, ..SandboxRequest::new(netns.clone()) };
        Ok(namespace_file(self.ask(self.controller.create_sandbox(request))?.netns))
    }

    fn create_attached(&self, name: &str, networks: &[&str], port: &str) -> Result<PathBuf> {
        let mut endpoints: Vec<EndpointRequest> = networks.iter().map(|it| EndpointRequest::on(*it)).collect();
        endpoints[0].ports.push(port.parse().map_err(|error: trestle_core::Error| error.to_string())?);
        let name = Some(name.try_into().map_err(|error: trestle_core::Error| error.to_string())?);
        let request = SandboxRequest { name, endpoints, ..SandboxRequest::new(NetnsRequest::Make) };
        Ok(namespace_file(self.ask(self.controller.create_sandbox(request))?.netns))
    }

    fn delete_sandbox(&self, sandbox: &str) -> Result<()> {
        self.ask(self.controller.delete_sandbox(sandbox))
    }

    fn connect(&self, sandbox: &str, request: &EndpointRequest) -> Result<Place> {
        let endpoint = self.ask(self.controller.connect(sandbox, request.clone()))?;
        self.place(&endpoint)
    }

    fn disconnect(&self, sandbox: &str, network: &str) -> Result<()> {
        self.ask(self.controller.disconnect(sandbox, network))
    }

    fn publish(&self, endpoint: &str, port: &str) -> Result<Vec<String>> {
        let port = port.parse().map_err(|error: trestle_core::Error| error.to_string())?;
        self.ask(self.controller.publish(endpoint, vec![port])).map(|ports| told(&ports))
    }

    fn unpublish(&self, endpoint: &str, port: &str) -> Result<Vec<String>> {
        let port = port.parse().map_err(|error: trestle_core::Error| error.to_string())?;
        self.ask(self.controller.unpublish(endpoint, vec![port])).map(|ports| told(&ports))
    }

    fn verify(&self) -> Result<Vec<String>> {
        let drifts = self.ask(self.controller.verify())?;
        Ok(drifts.iter().map(|drift| format!("{drift:?}")).collect())
    }

    fn objects(&self) -> Result<Vec<String>> {
        let networks = self.controller.networks();
        let network_of = |endpoint: &Endpoint| {
            let network = networks.iter().find(|network| network.id == endpoint.network);
            network.map(|network| network.name.to_string()).unwrap_or_default()
        };
        let endpoints = self.controller.endpoints();
        let mut names: Vec<String> = endpoints
            .iter()
            .map(|endpoint| format!("endpoint {}/{}", network_of(endpoint), endpoint.name))
            .chain(networks.iter().map(|network| format!("network {}", network.name)))
            .chain(self.controller.sandboxes().iter().map(|sandbox| format!("sandbox {}", sandbox.name)))
            .collect();
        names.sort();
        Ok(names)
    }
}

fn namespace_file(netns: SandboxNetns) -> PathBuf {
    match netns {
        SandboxNetns::Made { path } | SandboxNetns::Given { path, .. } => path,
        SandboxNetns::Host => "/proc/thread-self/ns/net".into(),
    }
}

fn told(ports: &[PortBinding]) -> Vec<String> {
    ports.iter().map(ToString::to_string).collect()
}

/// Puts a controller together, in the network namespace of the calling thread and on its runtime.
async fn open(data_root: PathBuf, exec_root: PathBuf, setup: Setup) -> trestle_core::Result<Controller> {
    raise_file_limit()?;
    let Setup { firewall, spares, engine: _ } = setup;
    let netns_folder = exec_root.join("netns");
    let description = data_root.display().to_string();
    let store = EmbeddedStore::open(trestle_store::Options { data_root, exec_root, stamp: stamp() }).await?;
    let instance = store.instance();
    let options =
        Options { instance: Instance::new(instance), netns_folder: netns_folder.clone(), firewall, description };
    let kernel = LinuxKernel::open(options)?;
    let [a, b, c, d] = instance.to_be_bytes();
    let pools = DefaultPools::new(Vec::new(), [a, b, c, d, 0])?;
    let registry =
        Registry::new().with_ipam("default", Arc::new(DefaultIpam::new(pools))).with_ipam("null", Arc::new(NullIpam));
    let registry = builtin().into_iter().fold(registry, |registry, (name, driver)| registry.with_driver(name, driver));
    let surroundings = Surroundings {
        kernel: Arc::new(kernel),
        store: Arc::new(store),
        registry: Arc::new(registry),
        entropy: Arc::new(Urandom),
        clock: Arc::new(Now),
        spawn: Arc::new(Tokio(Handle::current())),
        witness: None,
    };
    Controller::open(surroundings, Config { netns_folder, ephemeral: ephemeral(), spares }).await
}

/// Which boot and which network namespace this is.
fn stamp() -> Stamp {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux tells its boot");
    let namespace = fs::metadata("/proc/thread-self/ns/net").expect("a thread has a network namespace");
    Stamp { boot_id: boot_id.trim().into(), netns_cookie: namespace.st_ino() }
}

/// `net.ipv4.ip_local_port_range`.
fn ephemeral() -> (u16, u16) {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("Linux tells its ephemeral ports");
    let mut ends = range.split_whitespace().map(|end| end.parse().expect("a port"));
    (ends.next().expect("the first"), ends.next().expect("the last"))
}

struct Urandom;

impl Entropy for Urandom {
    fn fill(&self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let filled = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty());
            let count = filled.expect("Linux has a source of randomness");
            bytes = &mut bytes[count..];
        }
    }
}

struct Now;

impl Clock for Now {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, length: Duration) -> Task {
        Box::pin(tokio::time::sleep(length))
    }
}

struct Tokio(Handle);

impl Spawn for Tokio {
    fn spawn(&self, task: Task) {
        drop(self.0.spawn(task));
    }
}
