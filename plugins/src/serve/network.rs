//! Networks that are served: made, kept, removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trestle_core::driver::{Driver, Ports};
use trestle_core::id::{EndpointId, NetworkId};
use trestle_core::network::{Network, NetworkState, Scope};
use trestle_core::resource::{Identity, Resource};
use trestle_core::{Error, Plan, Result};

use super::endpoint::Place;
use super::{Server, read};
use crate::wire::Done;
use crate::wire::network::{Capabilities, CreateNetwork, DeleteNetwork};

/// A network with its endpoints.
pub(super) struct Served {
    pub(super) network: Network,
    pub(super) places: BTreeMap<EndpointId, Place>,
}

impl Server {
    pub(super) fn driver(&self) -> Result<&(String, Arc<dyn Driver>)> {
        self.offer.driver.as_ref().ok_or_else(|| Error::not_found("no network driver is served here"))
    }

    pub(super) fn capabilities(&self) -> Result<Capabilities> {
        let capability = self.driver()?.1.capability();
        let scope = match capability.scope {
            Scope::Local => "local",
            Scope::Global => "global",
        };
        Ok(Capabilities {
            scope: scope.to_owned(),
            connectivity_scope: scope.to_owned(),
            gw_alloc_checker: false,
            port_mapping: capability.ports == Ports::Maps,
        })
    }

    pub(super) async fn create_network(&self, asked: &CreateNetwork) -> Result<Done> {
        let (name, driver) = self.driver()?;
        let mut network = read::network(asked, name, driver.capability().scope)?;
        let mut networks = self.networks.lock().await;
        if networks.contains_key(&network.id) {
            return Err(Error::conflict(format!("network {} is there already", network.id.short())));
        }
        if driver.capability().single && !networks.is_empty() {
            return Err(Error::forbidden(format!("only one network of driver {name} can exist")));
        }
        let facts = self.offer.kernel.facts().await?;
        let plan = driver.create_network(&network, &facts).await?;
        check_nobody_else_has(&plan, &networks)?;
        if let Err(cause) = self.offer.kernel.apply(&plan).await {
            self.undo(&own(&plan, &networks, network.id)).await;
            return Err(cause);
        }
        network.state = NetworkState::Ready { plan };
        networks.insert(network.id, Served { network, places: BTreeMap::new() });
        Ok(Done {})
    }

    /// One that is not there is gone already.
    pub(super) async fn delete_network(&self, asked: &DeleteNetwork) -> Result<Done> {
        let id: NetworkId = asked.network.parse()?;
        let mut networks = self.networks.lock().await;
        let Some(served) = networks.get(&id) else { return Ok(Done {}) };
        if !served.places.is_empty() {
            let count = served.places.len();
            return Err(Error::forbidden(format!("network {} has {count} endpoints", id.short())));
        }
        let own = own(served.network.state.plan(), &networks, id);
        self.remove(&own).await?;
        self.driver()?.1.delete_network(&served.network).await?;
        networks.remove(&id);
        Ok(Done {})
    }

    /// Takes a plan out of the kernel, links and all.
    pub(super) async fn remove(&self, plan: &Plan) -> Result<()> {
        let removed = self.offer.kernel.remove(plan).await;
        let reaped = self.offer.kernel.reap(std::slice::from_ref(plan)).await;
        Error::several([removed.err(), reaped.err()].into_iter().flatten().collect()).map_or(Ok(()), Err)
    }

    /// The same after a failure that is told already.
    pub(super) async fn undo(&self, plan: &Plan) {
        if let Err(error) = self.remove(plan).await {
            tracing::error!(%error, "some of what failed is still there");
        }
    }
}

/// What of a network's plan goes with it: not what others hold too.
fn own(plan: &Plan, networks: &BTreeMap<NetworkId, Served>, id: NetworkId) -> Plan {
    let others = networks.values().filter(|served| served.network.id != id);
    plan.without(others.map(|served| served.network.state.plan()))
}

/// Two networks can't lay hands on one link.
fn check_nobody_else_has(plan: &Plan, networks: &BTreeMap<NetworkId, Served>) -> Result<()> {
    let own: BTreeSet<Identity<'_>> =
        plan.resources().iter().filter(|it| !it.is_shared()).map(Resource::identity).collect();
    let has_one = |served: &&Served| {
        served.network.state.plan().resources().iter().any(|resource| own.contains(&resource.identity()))
    };
    match networks.values().find(has_one) {
        Some(other) => Err(Error::conflict(format!("network {} has that bridge already", other.network.id.short()))),
        None => Ok(()),
    }
}
