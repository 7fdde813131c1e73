//! The controller: requests in, plans made so, records kept.

pub mod request;

use std::path::PathBuf;

use tokio::sync::broadcast;

use crate::driver::OptionDoc;
use crate::endpoint::Endpoint;
use crate::error::Result;
use crate::event::Event;
use crate::kernel::Drift;
use crate::network::Network;
use crate::plan::Plan;
use crate::port::{PortBinding, PortRequest};
use crate::sandbox::Sandbox;
use crate::surroundings::Surroundings;
use request::{EndpointRequest, NetworkRequest, SandboxRequest};

/// What the owner of a controller decides once.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder in which namespaces are named: `/run/trestle/netns`.
    pub netns_folder: PathBuf,
    /// The host's ephemeral ports (`net.ipv4.ip_local_port_range`), both ends included.
    pub ephemeral: (u16, u16),
}

/// Networks, endpoints and sandboxes, and all that may be done with them. Cheap to clone; each clone is the same one.
#[derive(Clone)]
pub struct Controller {}

#[allow(missing_docs, unused_variables, clippy::todo, reason = "the controller is being written")]
impl Controller {
    pub async fn open(surroundings: Surroundings, config: Config) -> Result<Self> {
        todo!()
    }
    pub async fn run(&self) {
        todo!()
    }
    pub fn events(&self) -> broadcast::Receiver<Event> {
        todo!()
    }

    pub fn networks(&self) -> Vec<Network> {
        todo!()
    }
    pub fn network(&self, reference: &str) -> Result<Network> {
        todo!()
    }
    pub async fn create_network(&self, request: NetworkRequest) -> Result<Network> {
        todo!()
    }
    /// Dry run: nothing is stored, leased or changed.
    pub async fn plan_network(&self, request: NetworkRequest) -> Result<(Network, Plan)> {
        todo!()
    }
    pub async fn delete_network(&self, reference: &str) -> Result<()> {
        todo!()
    }
    /// The plan of a network and of all that is attached to it.
    pub fn whole_plan(&self, network: &str) -> Result<Plan> {
        todo!()
    }
    pub async fn verify_network(&self, reference: &str) -> Result<Vec<Drift>> {
        todo!()
    }
    /// Verifies everything.
    pub async fn verify(&self) -> Result<Vec<Drift>> {
        todo!()
    }
    /// Applies every stored plan again; answers with what was amiss before.
    pub async fn repair(&self) -> Result<Vec<Drift>> {
        todo!()
    }
    /// Every driver's name and options.
    pub fn drivers(&self) -> Vec<(String, Vec<OptionDoc>)> {
        todo!()
    }

    pub fn endpoints(&self) -> Vec<Endpoint> {
        todo!()
    }
    /// By id, name, `network/name`, or beginning of an id; ambiguous is `Invalid`.
    pub fn endpoint(&self, reference: &str) -> Result<Endpoint> {
        todo!()
    }
    pub async fn create_endpoint(&self, request: EndpointRequest) -> Result<Endpoint> {
        todo!()
    }
    /// `force` detaches it first.
    pub async fn delete_endpoint(&self, reference: &str, force: bool) -> Result<()> {
        todo!()
    }
    /// Attaches a reserved endpoint to a sandbox.
    pub async fn join(&self, endpoint: &str, sandbox: &str) -> Result<Endpoint> {
        todo!()
    }
    /// Cuts an endpoint off from its sandbox; it stays reserved, or goes if it lived as long as its attachment.
    pub async fn leave(&self, endpoint: &str) -> Result<()> {
        todo!()
    }
    /// Publishes more ports of an attached (or reserved: stored for later) endpoint; answers with all its bindings.
    pub async fn publish(&self, endpoint: &str, ports: Vec<PortRequest>) -> Result<Vec<PortBinding>> {
        todo!()
    }
    /// Takes published ports back, by protocol and container port as in `80/tcp`.
    pub async fn unpublish(&self, endpoint: &str, ports: Vec<crate::port::ExposedPort>) -> Result<Vec<PortBinding>> {
        todo!()
    }

    pub fn sandboxes(&self) -> Vec<Sandbox> {
        todo!()
    }
    pub fn sandbox(&self, reference: &str) -> Result<Sandbox> {
        todo!()
    }
    pub async fn create_sandbox(&self, request: SandboxRequest) -> Result<Sandbox> {
        todo!()
    }
    /// Detaches whatever is in it, then removes it.
    pub async fn delete_sandbox(&self, reference: &str) -> Result<()> {
        todo!()
    }

    /// Creates an endpoint that lives as long as its attachment, and attaches it.
    pub async fn connect(&self, sandbox: &str, request: EndpointRequest) -> Result<Endpoint> {
        todo!()
    }
    /// Dry run of `connect`: the plan that would be applied.
    pub async fn plan_connect(&self, sandbox: &str, request: EndpointRequest) -> Result<Plan> {
        todo!()
    }
    pub async fn disconnect(&self, sandbox: &str, network: &str) -> Result<()> {
        todo!()
    }
}
