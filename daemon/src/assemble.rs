//! Where the parts become one controller: kernel, store, drivers, address managers, time, randomness, tasks; and where
//! an engine is put beside it.
//!
//! The only file that knows which parts there are.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;

use trestle_core::controller::{Config, Controller};
use trestle_core::entropy::Entropy;
use trestle_core::kernel::Kernel;
use trestle_core::port::Protocol;
use trestle_core::registry::Registry;
use trestle_core::store::Store;
use trestle_core::surroundings::{Clock, Spawn, Surroundings, Task};
use trestle_core::{Doing, Error, Plan, Result};
use trestle_engine::{Engine, engine};
use trestle_ipam::{AddressPool, DefaultIpam, DefaultPools, NullIpam};
use trestle_kernel::LinuxKernel;
use trestle_kernel::firewall::Backend;
use trestle_kernel::mark::Instance;
use trestle_resolver::limits::Meter;
use trestle_store::{EmbeddedStore, Stamp};

use crate::config::Settings;
use crate::names::Names;

/// Opens the store and the kernel, and lets a controller take over what they hold. Call it within a tokio runtime.
///
/// # Errors
/// `Conflict` names the controller that looks after this network namespace already, or the store.
pub async fn controller(settings: &Settings, relay: &Handle, names: Arc<Names>) -> Result<Controller> {
    // Each published port takes a file. If only fewer can be published, that is no reason not to start.
    if let Err(error) = trestle_kernel::give_memory_back() {
        tracing::warn!(%error, "memory that was needed once is kept");
    }
    if let Err(error) = trestle_kernel::raise_file_limit() {
        tracing::warn!(%error, "not as many ports as the system allows can be published");
    }
    let now = trestle_kernel::stamp()?;
    let store = trestle_store::Options {
        data_root: settings.data_root.clone(),
        exec_root: settings.exec_root.clone(),
        stamp: Stamp { boot_id: now.boot_id, netns_cookie: now.netns_cookie },
    };
    let store = EmbeddedStore::open(store).await?;
    if store.discarded() {
        tracing::info!("the machine or its network namespace was restarted: attachments of before are forgotten");
    }
    let instance = store.instance();
    let kernel = trestle_kernel::Options {
        instance: Instance::new(instance),
        netns_folder: settings.exec_root.join("netns"),
        firewall: settings.firewall,
        description: format!("trestled, process {}, --data-root {}", std::process::id(), settings.data_root.display()),
    };
    let kernel = {
        let _relaying = relay.enter();
        LinuxKernel::open_with_names(kernel, Some(names.service())).doing(|| "looking after this network namespace")?
    };
    assemble(settings, Arc::new(kernel), Arc::new(store), instance, names).await
}

/// Opens the engine whose containers join a controller's networks.
pub async fn engine(settings: &Settings, controller: Controller) -> Result<Engine> {
    let options = engine::Options {
        controller,
        clock: Arc::new(SystemClock),
        data_root: settings.data_root.clone(),
        exec_root: settings.exec_root.clone(),
        entropy: Arc::new(SystemEntropy),
        bridge: settings.bridge.clone(),
        network_defaults: settings.network_defaults.clone(),
        cgroup_parent: settings.cgroup_parent.clone(),
    };
    Engine::open(options).await.doing(|| "opening the container engine")
}

/// What writes a plan as the lines that a person would type, with this back end of the firewall.
pub fn script(firewall: Backend) -> fn(&Plan) -> String {
    match firewall {
        Backend::NfTables => trestle_kernel::script::render,
        Backend::IpTables(_) => |plan| trestle_kernel::script::render_for(Backend::IpTables(None), plan),
    }
}

/// Whether published ports of a protocol are held by a socket, or only mapped.
pub fn can_hold(protocol: Protocol) -> bool {
    trestle_kernel::can_hold(protocol)
}

/// Gets ready to answer questions for names, on a runtime.
pub fn names(settings: &Settings, runtime: &Handle, meter: Arc<dyn Meter>) -> Result<Arc<Names>> {
    Names::start(settings, runtime, Arc::new(SystemEntropy), meter)
}

/// Puts the rest around a kernel and a store.
pub async fn assemble(
    settings: &Settings,
    kernel: Arc<dyn Kernel>,
    store: Arc<dyn Store>,
    instance: u32,
    names: Arc<Names>,
) -> Result<Controller> {
    let pools = default_pools(settings, instance)?;
    let mut registry =
        Registry::new().with_ipam("default", Arc::new(DefaultIpam::new(pools))).with_ipam("null", Arc::new(NullIpam));
    for (name, driver) in trestle_drivers::builtin() {
        registry = registry.with_driver(name, driver);
    }
    let surroundings = Surroundings {
        kernel,
        store,
        registry: Arc::new(registry),
        entropy: Arc::new(SystemEntropy),
        clock: Arc::new(SystemClock),
        spawn: Arc::new(Tokio(Handle::current())),
        witness: Some(names),
    };
    let config = Config {
        netns_folder: settings.exec_root.join("netns"),
        ephemeral: ephemeral_ports()?,
        spares: settings.spares,
    };
    Controller::open(surroundings, config).await
}

/// Where subnets of the address manager's own choice come from.
///
/// # Errors
/// `Invalid` for bases that overlap.
pub fn default_pools(settings: &Settings, instance: u32) -> Result<DefaultPools> {
    let pools = settings.default_pools.iter().map(|pool| AddressPool { base: pool.base, size: pool.size });
    DefaultPools::new(pools.collect(), global_id(instance)).doing(|| "default-address-pools")
}

/// 40 bits for the subnets of unique local IPv6 addresses (RFC 4193): the same as long as the installation lives, and
/// hardly another's. The machine's id makes it different on machines that were cloned with their data root.
fn global_id(instance: u32) -> [u8; 5] {
    // A machine without an id is left with what the instance tells.
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    // FNV-1a: constants of the 64 bit variant. It has to stay the same over releases, and needs no secrecy.
    let mixed = machine
        .iter()
        .chain(&instance.to_be_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let [_, _, _, a, b, c, d, e] = (mixed ^ (mixed >> 40)).to_be_bytes();
    [a, b, c, d, e]
}

/// The ports that the system itself takes for outgoing connections, and we for published ones that name none.
fn ephemeral_ports() -> Result<(u16, u16)> {
    let path = Path::new("/proc/sys/net/ipv4/ip_local_port_range");
    let text =
        std::fs::read_to_string(path).map_err(|error| Error::internal(format!("{}: {error}", path.display())))?;
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Ok((first, last)),
        _ => Err(Error::internal(format!("{}: {text:?} is not a range of ports", path.display()))),
    }
}

/// The kernel's randomness.
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let got = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty());
            match got {
                Ok(count) => bytes = &mut bytes[count..],
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("the kernel has no randomness to give, which Linux never says: {error}"),
            }
        }
    }
}

/// The machine's clock.
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, length: Duration) -> Task {
        Box::pin(tokio::time::sleep(length))
    }
}

/// Tasks of the runtime.
struct Tokio(Handle);

impl Spawn for Tokio {
    fn spawn(&self, task: Task) {
        // The task lives on by itself; nobody waits for its handle.
        drop(self.0.spawn(task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_global_id_is_the_installation_s_own() {
        assert_eq!(global_id(7), global_id(7));
        assert_ne!(global_id(7), global_id(8));
    }

    #[test]
    fn randomness_fills_what_it_is_given() {
        let mut bytes = [0; 64];
        SystemEntropy.fill(&mut bytes);
        assert_ne!(bytes, [0; 64]);
    }
}
