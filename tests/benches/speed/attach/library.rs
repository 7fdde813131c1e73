//! Trestle as an embedder has it: the controller on the real kernel layer and the real store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trestle_core::controller::request::{EndpointRequest, NetnsRequest, NetworkRequest, SandboxRequest};
use trestle_core::controller::{Controller, Spares};
use trestle_core::id::SandboxId;
use trestle_tests::front::{Front, Setup};
use trestle_tests::host::Host;
use trestle_tests::landscape;
use trestle_tests::library::Library;

use super::{Contestant, NETWORK, PORT};

/// A controller, and the sandbox that it attached.
pub(crate) struct InProcess {
    host: Arc<Host>,
    library: Library,
    attached: Option<SandboxId>,
    id: &'static str,
}

impl InProcess {
    /// With every sandbox made from nothing.
    pub(crate) fn cold() -> Self {
        Self::new("attach_cold_library", Spares::NONE)
    }

    /// With sandboxes made ahead.
    pub(crate) fn warm() -> Self {
        Self::new("attach_warm", Spares { per_network: 1, in_all: 1 })
    }

    /// Opens the controller, and makes the network.
    fn new(id: &'static str, spares: Spares) -> Self {
        let host = Arc::new(Host::new(id));
        let library = Library::start_as(&host, Setup { spares, ..Setup::default() });
        let name = NETWORK.try_into().expect("it names a network");
        library.create_network(&NetworkRequest::new(name, "bridge")).expect("a network can be made");
        Self { host, library, attached: None, id }
    }
}

impl Contestant for InProcess {
    fn id(&self) -> &'static str {
        self.id
    }

    fn attach(&mut self) -> Duration {
        let controller = self.library.controller().clone();
        // On a thread of the runtime, where an embedder's own tasks are.
        let timed = async move { tokio::spawn(attach(controller)).await.expect("nothing panics") };
        let (spent, sandbox) = self.host.block_on(timed);
        self.attached = Some(sandbox);
        spent
    }

    fn detach(&mut self) {
        let sandbox = self.attached.take().expect("something is attached").to_string();
        let controller = self.library.controller();
        self.host.block_on(async {
            controller.delete_sandbox(&sandbox).await.expect("a sandbox can be deleted");
            controller.settle().await;
            controller.refill().await.expect("sandboxes can be made ahead");
        });
    }
}

async fn attach(controller: Controller) -> (Duration, SandboxId) {
    let place: EndpointRequest = landscape::place(NETWORK, &[PORT]);
    let begun = Instant::now();
    let request = SandboxRequest { endpoints: vec![place], ..SandboxRequest::new(NetnsRequest::Make) };
    let sandbox = controller.create_sandbox(request).await.expect("a sandbox can be made and attached");
    (begun.elapsed(), sandbox.id)
}
