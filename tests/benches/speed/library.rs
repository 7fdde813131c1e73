//! Trestle as an embedder has it, asked for many containers.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trestle_core::controller::Controller;
use trestle_core::controller::request::{EndpointRequest, NetnsRequest, NetworkRequest, SandboxRequest};
use trestle_core::id::SandboxId;
use trestle_core::port::PortRequest;
use trestle_core::sandbox::SandboxNetns;
use trestle_tests::front::Front;
use trestle_tests::host::Host;
use trestle_tests::library::Library;

use super::NETWORK;

/// A controller with a network.
pub(crate) struct Trestle {
    host: Arc<Host>,
    library: Library,
}

/// What was attached.
pub(crate) struct Attached {
    pub(crate) sandbox: SandboxId,
    /// The file of its namespace.
    pub(crate) path: PathBuf,
}

impl Trestle {
    /// Opens the controller on a new host.
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(Host::new("library")))
    }

    /// Opens the controller on a host.
    pub(crate) fn on(host: Arc<Host>) -> Self {
        let library = Library::start(&host);
        let name = NETWORK.try_into().expect("it names a network");
        library.create_network(&NetworkRequest::new(name, "bridge")).expect("a network can be made");
        Self { host, library }
    }

    /// Where it is.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Makes a sandbox, attached with published ports. How long it took.
    pub(crate) fn attach(&self, ports: &[String]) -> (Duration, Attached) {
        let ports: Vec<PortRequest> = ports.iter().map(|port| port.parse().expect("it is a port")).collect();
        self.on_runtime(move |controller| attach(controller, ports))
    }

    /// Makes many, one after the other. How long each took.
    pub(crate) fn attach_in_a_row(&self, places: Vec<String>) -> Vec<(Duration, Attached)> {
        self.on_runtime(move |controller| async move {
            let mut all = Vec::with_capacity(places.len());
            for port in places {
                all.push(attach(controller.clone(), vec![port.parse().expect("it is a port")]).await);
            }
            all
        })
    }

    /// Deletes a sandbox with all that is attached to it. How long the answer took.
    pub(crate) fn detach(&self, attached: &Attached) -> Duration {
        let sandbox = attached.sandbox.to_string();
        self.on_runtime(move |controller| async move {
            let begun = Instant::now();
            controller.delete_sandbox(&sandbox).await.expect("a sandbox can be deleted");
            begun.elapsed()
        })
    }

    /// Deletes sandboxes, one after the other, and waits until nothing is owed any more. How long it took.
    pub(crate) fn detach_all(&self, attached: &[Attached]) -> Duration {
        let sandboxes: Vec<String> = attached.iter().map(|it| it.sandbox.to_string()).collect();
        self.on_runtime(move |controller| async move {
            let begun = Instant::now();
            for sandbox in sandboxes {
                controller.delete_sandbox(&sandbox).await.expect("a sandbox can be deleted");
            }
            controller.settle().await;
            begun.elapsed()
        })
    }

    /// Waits until nothing is owed any more.
    pub(crate) fn settle(&self) {
        self.detach_all(&[]);
        assert_eq!(self.host.ip("-o link show type veth"), "", "every link is gone");
    }

    /// How many elements a set or map of the firewall has, of those whose names begin so.
    pub(crate) fn elements(&self, of: &str) -> usize {
        count_elements(&self.host, "trestle", of)
    }

    /// On a thread of the runtime, where an embedder's own tasks are.
    fn on_runtime<T, F>(&self, work: impl FnOnce(Controller) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let task = work(self.library.controller().clone());
        self.host.block_on(async move { tokio::spawn(task).await.expect("nothing panics") })
    }
}

async fn attach(controller: Controller, ports: Vec<PortRequest>) -> (Duration, Attached) {
    let place = EndpointRequest { ports, ..EndpointRequest::on(NETWORK) };
    let begun = Instant::now();
    let request = SandboxRequest { endpoints: vec![place], ..SandboxRequest::new(NetnsRequest::Make) };
    let sandbox = controller.create_sandbox(request).await.expect("a sandbox can be made and attached");
    let spent = begun.elapsed();
    let SandboxNetns::Made { path } = sandbox.netns else { panic!("its namespace was asked for") };
    (spent, Attached { sandbox: sandbox.id, path })
}

/// Ports of the host, each its own mapping to the same port of the container.
pub(crate) fn each_to_itself(ports: &Range<u16>) -> Vec<String> {
    ports.clone().map(|port| format!("{port}:{port}/tcp")).collect()
}

/// How many elements a map in a host has, as the kernel tells it.
pub(crate) fn count_elements(host: &Host, table: &str, map: &str) -> usize {
    let listing = host.nft(&format!("list map inet {table} {map}"));
    let elements = listing.split_once("elements = {").map_or("", |(_, elements)| elements);
    elements.matches(" : ").count()
}
