//! Sandboxes made ahead: namespace, loopback, and a link on a network, for whoever comes next.
//!
//! A spare is nobody's. It has no address, is in no list, and keeps no network from being removed; after a crash it is
//! removed. Who takes one brings its namespace, its ids and its MAC address into his own plan, so that what lies between
//! is the addresses, the routes and the doors. They are made when nobody waits for anything.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Inner;
use super::claims::{Claim, Held};
use super::request::{EndpointRequest, NetnsRequest, SandboxRequest};
use super::sandbox_plan::sandbox_plan;
use crate::driver::{Addresses, Driver, Ports, Slot};
use crate::endpoint::{Endpoint, EndpointState, Lease, Lifetime};
use crate::error::{Error, Result};
use crate::id::{EndpointId, NetworkId, SandboxId};
use crate::mac::MacAddress;
use crate::name::{EndpointName, SandboxName};
use crate::network::{Network, NetworkState};
use crate::plan::Plan;
use crate::resource::Resource;
use crate::sandbox::{Sandbox, SandboxNetns, SandboxState};
use crate::store::{Change, Key, Record};

/// How many spares there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spares {
    /// On one network; with 0 none is made anywhere.
    pub per_network: usize,
    /// On all together.
    pub in_all: usize,
}

impl Spares {
    /// None at all.
    pub const NONE: Self = Self { per_network: 0, in_all: 0 };
}

impl Default for Spares {
    fn default() -> Self {
        Self { per_network: 4, in_all: 32 }
    }
}

/// A spare that was taken.
pub(super) struct Spare {
    pub(super) sandbox: SandboxId,
    pub(super) endpoint: EndpointId,
    pub(super) mac: MacAddress,
    /// What of it stands.
    pub(super) plan: Plan,
    /// The sandbox, in hand.
    pub(super) claim: Held,
}

impl Inner {
    /// The spare that fits what is asked for, if there is one. Dropping it leaves it where it was.
    pub(super) fn take_spare(self: &Arc<Self>, request: &SandboxRequest) -> Option<Spare> {
        let first = request.endpoints.first()?;
        let plain = |it: &EndpointRequest| it.mac.is_none() && it.interface.is_none() && it.options.is_empty();
        if self.config.spares.per_network == 0 || request.netns != NetnsRequest::Make || !plain(first) {
            return None;
        }
        let network = self.state().find_network(&first.network).ok()?.id;
        self.state().in_demand.insert(network);
        self.wanting.notify_one();
        let fitting = self.spares_on(network);
        fitting.into_iter().find_map(|id| {
            let claim = self.try_take(Claim::Sandbox(id))?;
            let sandbox = self.known_sandbox(id).ok()?;
            match &sandbox.state {
                SandboxState::Spare { plan, endpoint, mac, .. } => {
                    Some(Spare { sandbox: id, endpoint: *endpoint, mac: *mac, plan: plan.clone(), claim })
                }
                _ => None,
            }
        })
    }

    /// Makes spares for networks that are in demand, whenever nobody waits for anything.
    pub(super) async fn refill_forever(self: Arc<Self>) {
        loop {
            self.wanting.notified().await;
            loop {
                self.wait_for_quiet().await;
                match self.make_one_more().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "no sandbox could be made ahead");
                        break;
                    }
                }
            }
        }
    }

    /// Makes spares until there are enough. For who wants to have them now.
    pub(super) async fn refill(self: &Arc<Self>) -> Result<()> {
        while self.make_one_more().await? {}
        Ok(())
    }

    /// Makes a spare, if one is wanted. Whether it was.
    async fn make_one_more(self: &Arc<Self>) -> Result<bool> {
        let _one_at_a_time = self.refilling.lock().await;
        match self.short_of_spares() {
            Some(network) => self.make_spare(&network).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Removes every spare on a network, for who has the network in hand; of all networks at the start.
    pub(super) async fn remove_spares(self: &Arc<Self>, on: Option<NetworkId>) -> Result<()> {
        let mut errors = Vec::new();
        if let Some(network) = on {
            self.state().in_demand.remove(&network);
        }
        for id in self.spares(|network| on.is_none_or(|on| on == network)) {
            let _sandbox = self.take(Claim::Sandbox(id)).await;
            let Ok(sandbox) = self.known_sandbox(id) else { continue };
            if let SandboxState::Spare { .. } = sandbox.state {
                errors.extend(self.remove_spare(&sandbox).await.err());
            }
        }
        Error::several(errors).map_or(Ok(()), Err)
    }

    /// Waits until no request is being worked on.
    async fn wait_for_quiet(&self) {
        loop {
            let quiet = self.quiet.notified();
            if self.under_way.load(Ordering::Acquire) == 0 {
                return;
            }
            quiet.await;
        }
    }

    /// A network that has fewer than it should.
    fn short_of_spares(&self) -> Option<Arc<Network>> {
        let limits = self.config.spares;
        if self.spares(|_| true).len() >= limits.in_all {
            return None;
        }
        let in_demand: Vec<NetworkId> = self.state().in_demand.iter().copied().collect();
        let short = in_demand.into_iter().find(|it| self.spares_on(*it).len() < limits.per_network)?;
        let network = self.state().networks.get(&short).cloned();
        let fits = network.filter(|network| self.can_have_spares(network));
        if fits.is_none() {
            self.state().in_demand.remove(&short);
            self.wanting.notify_one();
        }
        fits
    }

    fn can_have_spares(&self, network: &Network) -> bool {
        let Ok(driver) = self.surroundings.registry.driver(&network.driver) else { return false };
        let capability = driver.capability();
        let is_going = self.state().claims.contains_key(&Claim::Network(network.id));
        !capability.external
            && capability.ports == Ports::Maps
            && capability.addresses != Addresses::None
            && matches!(network.state, NetworkState::Ready { .. })
            && !is_going
    }

    async fn make_spare(self: &Arc<Self>, network: &Arc<Network>) -> Result<()> {
        let entropy = self.surroundings.entropy.as_ref();
        let (id, endpoint) = (SandboxId::random(entropy), EndpointId::random(entropy));
        let claim = self.take(Claim::Sandbox(id)).await;
        let driver = self.surroundings.registry.driver(&network.driver)?;
        let netns = SandboxNetns::Made { path: self.config.netns_folder.join(id.short()) };
        let somebody = somebody(network, endpoint, MacAddress::random(entropy))?;
        let links = links_of(driver.as_ref(), network, &somebody, &netns).await?;
        let name = SandboxName::try_from(format!("spare-{}", id.short()))?;
        let half = SandboxState::Creating { plan: Plan::new() };
        let half = Sandbox { id, name, netns, naming: None, state: half };
        let plan = sandbox_plan(&half, &[]).then(&links);
        let state = SandboxState::Spare { plan: plan.clone(), network: network.id, endpoint, mac: somebody.mac };
        let sandbox = Sandbox { state, ..half };
        let _changing = self.changing.read().await;
        // Who removes the network has it in hand first, and looks for spares then.
        if links.is_empty() || !self.can_have_spares(network) {
            self.state().in_demand.remove(&network.id);
            return Ok(());
        }
        self.commit(vec![Change::Put(Record::Sandbox(sandbox.clone()))]).await?;
        let made = self.surroundings.kernel.apply(&plan).await;
        if made.is_err() {
            self.state().in_demand.remove(&network.id);
            self.remove_spare_now(&sandbox, &plan).await?;
        }
        drop(claim);
        made
    }

    async fn remove_spare(&self, sandbox: &Sandbox) -> Result<()> {
        let _changing = self.changing.read().await;
        self.remove_spare_now(sandbox, &sandbox.state.footprint()).await
    }

    /// For who has it in hand, and may change the kernel.
    async fn remove_spare_now(&self, sandbox: &Sandbox, plan: &Plan) -> Result<()> {
        self.surroundings.kernel.remove(plan).await?;
        self.surroundings.kernel.reap(std::slice::from_ref(plan)).await?;
        self.commit(vec![Change::Remove(Key::Sandbox(sandbox.id))]).await
    }

    fn spares_on(&self, network: NetworkId) -> Vec<SandboxId> {
        self.spares(|of| of == network)
    }

    fn spares(&self, of: impl Fn(NetworkId) -> bool) -> Vec<SandboxId> {
        let state = self.state();
        let is_one = |it: &&Arc<Sandbox>| matches!(it.state, SandboxState::Spare { network, .. } if of(network));
        state.sandboxes.values().filter(is_one).map(|it| it.id).collect()
    }
}

/// An endpoint as any other: with an address of each family that the network has, which is nobody's.
fn somebody(network: &Network, id: EndpointId, mac: MacAddress) -> Result<Endpoint> {
    let mut lease = Lease::default();
    for pool in &network.pools {
        match pool.subnet {
            ipnet::IpNet::V4(subnet) => lease.v4 = Some(subnet),
            ipnet::IpNet::V6(subnet) => lease.v6 = Some(subnet),
        }
    }
    Ok(Endpoint {
        id,
        network: network.id,
        name: EndpointName::try_from(format!("spare-{}", id.short()))?,
        lifetime: Lifetime::Attachment,
        lease: Some(lease),
        mac,
        exposed: Vec::new(),
        wanted: Vec::new(),
        options: Default::default(),
        priority: 0,
        primary: false,
        interface: None,
        names: Default::default(),
        state: EndpointState::Reserved,
    })
}

/// What of a place on a network can stand before anybody has it: the links.
async fn links_of(driver: &dyn Driver, network: &Network, somebody: &Endpoint, netns: &SandboxNetns) -> Result<Plan> {
    let interface = driver.interface_name(network, somebody).first()?;
    let joined = driver.join(network, somebody, &Slot { namespace: netns.namespace(), interface }).await?;
    Ok(joined.plan.resources().iter().filter(|it| matches!(it, Resource::Veth(_))).cloned().collect())
}
