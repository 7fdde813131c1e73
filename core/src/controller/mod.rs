//! The controller: requests in, plans made so, records kept.
//!
//! | to find | look in |
//! |---|---|
//! | the way in and the way out of a sandbox | `attach`, `detach`; what detaching leaves to do: `reaper` |
//! | ports while attached | `publish`; who has which: `ports`, `spans` |
//! | networks, places on them, sandboxes | `networks`, `endpoints`, `sandboxes`; those made ahead: `spares` |
//! | drivers outside, that may be slow or dead | `outside` |
//! | a sandbox's own plan | `sandbox_plan` |
//! | the start, and mending | `recover`, `repair` |
//! | what is known, and who has it in hand | `state`, `lookup`, `claims` |
//!
//! Absent here: clean-up code that only errors run. What fails is detached, as by a person's wish.

mod attach;
mod claims;
mod detach;
mod endpoints;
mod inner;
mod lookup;
mod networks;
mod outside;
mod ports;
mod publish;
mod reaper;
mod recover;
mod repair;
pub mod request;
mod sandbox_plan;
mod sandboxes;
mod spans;
mod spares;
mod state;

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::broadcast;

use crate::dns::EndpointNames;
use crate::driver::OptionDoc;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::SandboxId;
use crate::kernel::Drift;
use crate::network::Network;
use crate::plan::Plan;
use crate::port::{PortBinding, PortRequest};
use crate::sandbox::Sandbox;
use crate::surroundings::Surroundings;
use inner::Inner;
use request::{EndpointRequest, NetworkRequest, SandboxRequest};
pub use spares::Spares;
use state::State;

/// What the owner of a controller decides once.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder in which namespaces are named: `/run/trestle/netns`.
    pub netns_folder: PathBuf,
    /// The host's ephemeral ports (`net.ipv4.ip_local_port_range`), both ends included.
    pub ephemeral: (u16, u16),
    /// How many sandboxes are made ahead.
    pub spares: Spares,
}

/// Networks, endpoints and sandboxes, and all that may be done with them. Cheap to clone; each clone is the same one.
///
/// Objects are named by id, by name, or by the beginning of an id; an ambiguous one is `Invalid`. Work that was begun
/// is finished whoever asked for it: dropping a future cancels nothing.
#[derive(Clone)]
pub struct Controller {
    inner: Arc<Inner>,
}

impl Controller {
    /// Takes over what the store keeps and the kernel still has: attached endpoints are applied again, half-made ones
    /// removed, and what bears our mark and belongs to nothing is swept.
    pub async fn open(surroundings: Surroundings, config: Config) -> Result<Self> {
        let inner = Inner::new(surroundings, config, State::default());
        inner.recover().await?;
        Ok(Self { inner })
    }

    /// Reaps what detaching left to do, mends what others disturb, and makes sandboxes ahead, as long as it is polled.
    /// The owner runs it once.
    pub async fn run(&self) {
        let mut reaper = pin!(Arc::clone(&self.inner).reap_forever());
        let mut mender = pin!(Arc::clone(&self.inner).repair_forever());
        let mut refiller = pin!(Arc::clone(&self.inner).refill_forever());
        let mut mending = true;
        poll_fn(|context| {
            if mending && mender.as_mut().poll(context).is_ready() {
                mending = false;
            }
            match (reaper.as_mut().poll(context), refiller.as_mut().poll(context)) {
                (Poll::Pending, Poll::Pending) => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Waits until nothing is owed by what was detached.
    pub async fn settle(&self) {
        let inner = Arc::clone(&self.inner);
        let settled = self.inner.finish(async move {
            inner.reap().await;
            let owing = inner.owing_endpoints();
            inner.hurry(owing).await;
            inner.hurry_networks().await;
            Ok(())
        });
        if let Err(error) = settled.await {
            tracing::error!(%error, "reaping");
        }
    }

    /// Makes all the spares that are wanted now, instead of when nobody waits for anything.
    pub async fn refill(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.refill().await }).await
    }

    /// What happens from now on. A listener that is far behind loses the oldest events, and is told so.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// Every driver's name and options.
    pub fn drivers(&self) -> Vec<(String, Vec<OptionDoc>)> {
        let drivers = self.inner.surroundings.registry.drivers();
        drivers.map(|(name, driver)| (name.to_owned(), driver.options())).collect()
    }

    /// Every network.
    pub fn networks(&self) -> Vec<Arc<Network>> {
        self.inner.state().networks.values().cloned().collect()
    }

    /// One network.
    pub fn network(&self, reference: &str) -> Result<Network> {
        Ok(Arc::unwrap_or_clone(self.inner.state().find_network(reference)?))
    }

    /// Makes a network, or nothing at all.
    pub async fn create_network(&self, request: NetworkRequest) -> Result<Network> {
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.create_network(request).await }).await
    }

    /// What [`Controller::create_network`] would make. Nothing is stored, kept on lease or changed.
    pub async fn plan_network(&self, request: NetworkRequest) -> Result<(Network, Plan)> {
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.plan_network(request).await }).await
    }

    /// Removes a network. `Forbidden` names the endpoints that are still on it.
    pub async fn delete_network(&self, reference: &str) -> Result<()> {
        let id = self.inner.state().find_network(reference)?.id;
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.delete_network(id).await }).await
    }

    /// The plan of a network and of all that is attached to it.
    pub fn whole_plan(&self, network: &str) -> Result<Plan> {
        let id = self.inner.state().find_network(network)?.id;
        Ok(self.inner.whole_plan(id))
    }

    /// What of a network, and of all that is attached to it, is not as its plans say.
    pub async fn verify_network(&self, reference: &str) -> Result<Vec<Drift>> {
        let id = self.inner.state().find_network(reference)?.id;
        self.inner.verify_network(id).await
    }

    /// What of everything is not as its plans say.
    pub async fn verify(&self) -> Result<Vec<Drift>> {
        self.inner.verify().await
    }

    /// Applies every stored plan again; answers with what was amiss before.
    pub async fn repair(&self) -> Result<Vec<Drift>> {
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.repair().await }).await
    }

    /// Every endpoint, those on their way out included.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.inner.state().endpoints.values().cloned().collect()
    }

    /// The network that an endpoint is on and the sandbox that it is in, as far as they are there.
    pub fn belongings(&self, endpoint: &Endpoint) -> (Option<Arc<Network>>, Option<Arc<Sandbox>>) {
        let state = self.inner.state();
        let sandbox = endpoint.state.sandbox().and_then(|id| state.sandboxes.get(&id).cloned());
        (state.networks.get(&endpoint.network).cloned(), sandbox)
    }

    /// Every endpoint in a sandbox, or on its way to or from it.
    pub fn endpoints_in(&self, sandbox: SandboxId) -> Vec<Endpoint> {
        self.inner.state().endpoints_in(sandbox).map(|endpoint| Endpoint::clone(endpoint)).collect()
    }

    /// One endpoint; `NETWORK/NAME` is understood too.
    pub fn endpoint(&self, reference: &str) -> Result<Endpoint> {
        Ok(Arc::unwrap_or_clone(self.inner.state().find_endpoint(reference)?))
    }

    /// Reserves a place on a network, with its addresses, until it is deleted.
    pub async fn create_endpoint(&self, request: EndpointRequest) -> Result<Endpoint> {
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.create_endpoint(request).await }).await
    }

    /// Gives a place up. One that is attached is `Forbidden` unless by force, which detaches it first.
    pub async fn delete_endpoint(&self, reference: &str, force: bool) -> Result<()> {
        let id = self.inner.state().find_endpoint(reference)?.id;
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.delete_endpoint(id, force).await }).await
    }

    /// Calls an endpoint, and those that it links to, by these names from now on, in place of those of before. Its
    /// traffic goes on.
    pub async fn call(&self, endpoint: &str, names: EndpointNames) -> Result<Endpoint> {
        let id = self.inner.state().find_endpoint(endpoint)?.id;
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.call(id, names).await }).await
    }

    /// Attaches a reserved endpoint to a sandbox, or changes nothing at all.
    pub async fn join(&self, endpoint: &str, sandbox: &str) -> Result<Endpoint> {
        let (endpoint, sandbox) = {
            let state = self.inner.state();
            (state.find_endpoint(endpoint)?.id, state.find_sandbox(sandbox)?.id)
        };
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.join(endpoint, sandbox).await }).await
    }

    /// Takes an endpoint out of its sandbox; it stays reserved, or goes if it lived as long as its attachment. One
    /// that is in none stays as it is.
    pub async fn leave(&self, endpoint: &str) -> Result<()> {
        let id = self.inner.state().find_endpoint(endpoint)?.id;
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.leave(id).await }).await
    }

    /// Publishes more ports of an endpoint; answers with everything that is published then. Of one that is only
    /// reserved they are kept for later.
    pub async fn publish(&self, endpoint: &str, ports: Vec<PortRequest>) -> Result<Vec<PortBinding>> {
        let id = self.inner.state().find_endpoint(endpoint)?.id;
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.publish(id, ports).await }).await
    }

    /// Takes published ports back; answers with what is left. `80/tcp` is every published port that leads to the
    /// container's port 80, `8080:80/tcp` that one.
    pub async fn unpublish(&self, endpoint: &str, ports: Vec<PortRequest>) -> Result<Vec<PortBinding>> {
        let id = self.inner.state().find_endpoint(endpoint)?.id;
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.unpublish(id, ports).await }).await
    }

    /// Every sandbox.
    pub fn sandboxes(&self) -> Vec<Arc<Sandbox>> {
        self.inner.state().listed_sandboxes().cloned().collect()
    }

    /// One sandbox.
    pub fn sandbox(&self, reference: &str) -> Result<Sandbox> {
        Ok(Arc::unwrap_or_clone(self.inner.state().find_sandbox(reference)?))
    }

    /// Makes a sandbox with everything that it is to be attached to, or nothing at all.
    pub async fn create_sandbox(&self, request: SandboxRequest) -> Result<Sandbox> {
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.create_sandbox(request).await }).await
    }

    /// Detaches whatever is in it, then removes it.
    pub async fn delete_sandbox(&self, reference: &str) -> Result<()> {
        let id = self.inner.state().find_sandbox(reference)?.id;
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.delete_sandbox(id).await }).await
    }

    /// Creates an endpoint that lives as long as its attachment, and attaches it, or changes nothing at all.
    pub async fn connect(&self, sandbox: &str, request: EndpointRequest) -> Result<Endpoint> {
        let id = self.inner.state().find_sandbox(sandbox)?.id;
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.connect(id, request).await }).await
    }

    /// The plan that [`Controller::connect`] would apply. Nothing is stored, kept on lease or changed.
    pub async fn plan_connect(&self, sandbox: &str, request: EndpointRequest) -> Result<Plan> {
        let id = self.inner.state().find_sandbox(sandbox)?.id;
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.plan_connect(id, request).await }).await
    }

    /// Takes a sandbox off a network. `NotFound` if it is not on it; `Invalid` if it is by several endpoints, which are
    /// named: [`Controller::leave`] takes one of them out.
    pub async fn disconnect(&self, sandbox: &str, network: &str) -> Result<()> {
        let endpoint = {
            let state = self.inner.state();
            let (sandbox, network) = (state.find_sandbox(sandbox)?, state.find_network(network)?);
            let inside = state.endpoints_in(sandbox.id).filter(|it| it.state.attachment().is_some());
            let between: Vec<&Endpoint> =
                inside.filter(|it| it.network == network.id).map(|endpoint| &**endpoint).collect();
            match between.as_slice() {
                [] => {
                    let cause = format!("sandbox {} is not connected to network {}", sandbox.name, network.name);
                    return Err(Error::not_found(cause));
                }
                [endpoint] => endpoint.id,
                several => {
                    let names: Vec<String> = several.iter().map(|it| format!("{}/{}", network.name, it.name)).collect();
                    return Err(Error::invalid(format!(
                        "sandbox {} is connected to network {} by several endpoints; let one leave by its name: {}",
                        sandbox.name,
                        network.name,
                        names.join(", ")
                    )));
                }
            }
        };
        let inner = Arc::clone(&self.inner);
        self.inner.finish(async move { inner.leave(endpoint).await }).await
    }
}
