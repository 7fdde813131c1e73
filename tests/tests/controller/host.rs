//! A host in memory, and everything that may be compared before and after.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use ipnet::IpNet;
use trestle_core::controller::request::{EndpointRequest, NetnsRequest, NetworkRequest, SandboxRequest};
use trestle_core::controller::{Config, Controller, Spares};
use trestle_core::entropy::Entropy;
use trestle_core::error::Result;
use trestle_core::facts::Facts;
use trestle_core::fake::{FakeKernel, FakeStore, Fate};
use trestle_core::ipam::{AddressRequest, Ipam, PoolLease, PoolRequest};
use trestle_core::registry::Registry;
use trestle_core::surroundings::{Clock, Spawn, Surroundings, Task};
use trestle_ipam::{DefaultIpam, DefaultPools};

use crate::outsider::Outsider;

pub(crate) struct Host {
    pub(crate) fate: Arc<Fate>,
    pub(crate) kernel: Arc<FakeKernel>,
    pub(crate) store: Arc<FakeStore>,
    pub(crate) ipam: Arc<FatedIpam>,
    pub(crate) outsider: Arc<Outsider>,
    /// How many sandboxes are made ahead: none, unless a test says so.
    pub(crate) spares: Spares,
    entropy: Arc<Counting>,
}

/// What must be the same before and after something that failed.
#[derive(Debug, PartialEq)]
pub(crate) struct Everything {
    pub(crate) kernel: Vec<String>,
    pub(crate) records: Vec<String>,
    pub(crate) leases: Vec<String>,
    /// What the driver outside has.
    pub(crate) outside: Vec<String>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let facts = Facts { ipv6: true, filter_bridged: true, uplink_mtu: Some(1500), ..Facts::default() };
        let fate = Fate::kind();
        Self {
            kernel: Arc::new(FakeKernel::new(facts, Arc::clone(&fate))),
            store: Arc::new(FakeStore::new(Arc::clone(&fate))),
            ipam: Arc::new(FatedIpam::new(Arc::clone(&fate))),
            outsider: Arc::new(Outsider::new(Arc::clone(&fate))),
            spares: Spares::NONE,
            entropy: Arc::default(),
            fate,
        }
    }

    /// A controller on this host, as one process has it. Leases in memory die with the process before.
    pub(crate) async fn boot(&mut self) -> Result<Controller> {
        self.ipam = Arc::new(FatedIpam::new(Arc::clone(&self.fate)));
        let registry = trestle_drivers::builtin()
            .into_iter()
            .fold(Registry::new(), |registry, (name, driver)| registry.with_driver(name, driver));
        let surroundings = Surroundings {
            kernel: self.kernel.clone(),
            store: self.store.clone(),
            registry: Arc::new(
                registry.with_ipam("default", self.ipam.clone()).with_driver("outsider", self.outsider.clone()),
            ),
            entropy: self.entropy.clone(),
            clock: Arc::new(NoTime),
            spawn: Arc::new(OnTokio),
            witness: None,
        };
        Controller::open(
            surroundings,
            Config { netns_folder: "/run/netns".into(), ephemeral: (40000, 40099), spares: self.spares },
        )
        .await
    }

    pub(crate) fn everything(&self) -> Everything {
        Everything {
            kernel: self.kernel.snapshot(),
            records: self.store.snapshot().iter().map(|record| format!("{record:?}")).collect(),
            leases: self.ipam.leases(),
            outside: self.outsider.has(),
        }
    }
}

impl Everything {
    /// What is there and was not, or was there and is not.
    #[track_caller]
    pub(crate) fn must_be(&self, before: &Everything, place: &str) {
        let lines = |it: &Everything| {
            [&it.kernel, &it.records, &it.leases, &it.outside].into_iter().flatten().cloned().collect::<Vec<_>>()
        };
        let (now, then) = (lines(self), lines(before));
        let more: Vec<_> = now.iter().filter(|line| !then.contains(line)).collect();
        let less: Vec<_> = then.iter().filter(|line| !now.contains(line)).collect();
        assert!(self == before, "{place}\nthere and should not be: {more:#?}\nnot there and should be: {less:#?}");
    }
}

/// A controller with network `front` (dual stack) and sandbox `box`.
pub(crate) async fn furnished(host: &mut Host) -> Controller {
    host.kernel.put_strangers_namespace(Path::new(GIVEN));
    let controller = host.boot().await.unwrap();
    controller.create_network(dual_stack("front")).await.unwrap();
    let sandbox = SandboxRequest { name: Some("box".try_into().unwrap()), ..SandboxRequest::new(NetnsRequest::Make) };
    controller.create_sandbox(sandbox).await.unwrap();
    controller
}

pub(crate) fn dual_stack(name: &str) -> NetworkRequest {
    NetworkRequest { ipv6: true, ..NetworkRequest::new(name.try_into().unwrap(), "bridge") }
}

pub(crate) fn on(network: &str, ports: &[&str]) -> EndpointRequest {
    let ports = ports.iter().map(|port| port.parse().unwrap()).collect();
    EndpointRequest { ports, ..EndpointRequest::on(network) }
}

/// A network namespace that somebody else made.
const GIVEN: &str = "/run/strangers/given";

/// A sandbox `given` in it.
pub(crate) fn given() -> SandboxRequest {
    SandboxRequest { name: Some("given".try_into().unwrap()), ..SandboxRequest::new(NetnsRequest::Path(GIVEN.into())) }
}

/// A place on `back` that takes the default route away from others, with a port.
pub(crate) fn foremost_on_back() -> EndpointRequest {
    EndpointRequest { priority: 7, ..on("back", &["53:53/udp"]) }
}

/// A place `web` on `front` that stays when it is detached.
pub(crate) fn web() -> EndpointRequest {
    EndpointRequest { name: Some("web".try_into().unwrap()), ..on("front", &["8080:80"]) }
}

/// A sandbox `twice` that is attached to `front` by two endpoints from the start.
pub(crate) fn attached_twice() -> SandboxRequest {
    let second = EndpointRequest { name: Some("second".try_into().unwrap()), ..on("front", &["53/udp"]) };
    SandboxRequest {
        name: Some("twice".try_into().unwrap()),
        endpoints: vec![on("front", &["8080:80"]), second],
        ..SandboxRequest::new(NetnsRequest::Make)
    }
}

/// The real address manager, with its leases written down and its steps in fate's hand.
pub(crate) struct FatedIpam {
    fate: Arc<Fate>,
    real: DefaultIpam,
    leases: std::sync::Mutex<BTreeMap<String, ()>>,
}

impl FatedIpam {
    fn new(fate: Arc<Fate>) -> Self {
        let pools = DefaultPools::new(Vec::new(), [1, 2, 3, 4, 5]).unwrap();
        Self { fate, real: DefaultIpam::new(pools), leases: Default::default() }
    }

    fn leases(&self) -> Vec<String> {
        self.leases.lock().unwrap().keys().cloned().collect()
    }
}

#[async_trait]
impl Ipam for FatedIpam {
    fn needs_replay(&self) -> bool {
        self.real.needs_replay()
    }

    async fn request_pool(&self, request: &PoolRequest) -> Result<PoolLease> {
        self.fate.step("request pool", || Ok(()))?;
        let lease = self.real.request_pool(request).await?;
        self.leases.lock().unwrap().insert(lease.id.clone(), ());
        Ok(lease)
    }

    async fn release_pool(&self, pool: &str) -> Result<()> {
        self.fate.step("release pool", || Ok(()))?;
        self.leases.lock().unwrap().remove(pool);
        self.real.release_pool(pool).await
    }

    async fn request_address(&self, pool: &str, request: &AddressRequest) -> Result<IpNet> {
        self.fate.step("request address", || Ok(()))?;
        let address = self.real.request_address(pool, request).await?;
        self.leases.lock().unwrap().insert(format!("{pool} {}", address.addr()), ());
        Ok(address)
    }

    async fn release_address(&self, pool: &str, address: IpAddr) -> Result<()> {
        self.fate.step("release address", || Ok(()))?;
        self.leases.lock().unwrap().remove(&format!("{pool} {address}"));
        self.real.release_address(pool, address).await
    }
}

/// Never the same twice, and the same in every run.
#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = number.rotate_left(index as u32 * 11).to_le_bytes()[index % 8];
        }
    }
}

struct NoTime;

impl Clock for NoTime {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep(&self, _length: Duration) -> Task {
        Box::pin(tokio::task::yield_now())
    }
}

struct OnTokio;

impl Spawn for OnTokio {
    fn spawn(&self, task: Task) {
        drop(tokio::spawn(task));
    }
}
