//! Taking over what an earlier process left: what was attached is applied again, what was half done is removed.

use std::sync::Arc;

use super::Inner;
use super::reaper::PATIENCE;
use super::sandbox_plan::together;
use crate::endpoint::{Attachment, Endpoint, EndpointState, Lifetime, Owed, Plans};
use crate::error::{Doing, Error, ErrorKind, Result};
use crate::id::{NetworkId, SandboxId};
use crate::ipam::{AddressRequest, Family, Ipam, PoolRequest, Purpose};
use crate::network::{Network, NetworkState};
use crate::plan::Plan;
use crate::sandbox::{SandboxNetns, SandboxState};
use crate::store::{Change, Record};

/// Whose plan it is.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    Network(NetworkId),
    Sandbox(SandboxId),
}

impl Inner {
    /// Loads every record and makes kernel and records agree. One object that can't be restored keeps no other from it.
    pub(super) async fn recover(self: &Arc<Self>) -> Result<()> {
        let records = self.surroundings.store.load().await.doing(|| "loading the records")?;
        let found = records.into_iter().map(|(record, _)| Change::Put(record)).collect();
        self.enact(&mut self.state(), found);
        self.lease_again().await;
        self.finish_states().await?;
        report("removing what was made ahead", self.remove_spares(None).await);
        report("finishing with a sandbox", self.finish_sandboxes().await);
        let gone = self.restore().await;
        self.remove_gone(gone).await;
        self.reap().await;
        for network in self.unfinished_networks() {
            report("removing a half-made network", self.unmake_network(network).await);
        }
        report("removing networks", self.finish_networks().await);
        let keep: Vec<Plan> = self.all_plans().into_iter().map(|(_, plan)| plan).collect();
        match self.surroundings.kernel.sweep(&keep).await {
            Ok(swept) => {
                swept.iter().for_each(|leftover| tracing::warn!(%leftover, "removed what belonged to nothing"))
            }
            Err(error) => report("sweeping", Err(error)),
        }
        Ok(())
    }

    /// Tells address managers that forget about every lease that is stored; those outside once they can be asked.
    async fn lease_again(self: &Arc<Self>) {
        let networks: Vec<Arc<Network>> = self.state().networks.values().cloned().collect();
        for network in networks {
            if let Ok(ipam) = self.surroundings.registry.ipam(&network.ipam)
                && ipam.external()
            {
                self.lease_again_outside(network, ipam);
                continue;
            }
            report("leasing the addresses of a network again", self.lease_network_again(&network).await);
        }
    }

    fn lease_again_outside(self: &Arc<Self>, network: Arc<Network>, ipam: Arc<dyn Ipam>) {
        let inner = Arc::clone(self);
        self.surroundings.spawn.spawn(Box::pin(async move {
            let mut patience = PATIENCE.0;
            while ipam.greet().await.is_err() {
                inner.surroundings.clock.sleep(patience).await;
                patience = PATIENCE.1.min(patience * 2);
                if !inner.state().networks.contains_key(&network.id) {
                    return;
                }
            }
            report("leasing the addresses of a network again", inner.lease_network_again(&network).await);
        }));
    }

    /// Removes a network whose making was broken off; one whose driver is outside goes when that can be told.
    async fn unmake_network(self: &Arc<Self>, mut network: Network) -> Result<()> {
        if !self.is_outside(&network.driver) {
            return self.dismantle(network).await;
        }
        let plan = network.state.plan().clone();
        self.put_network(&mut network, NetworkState::Deleting { plan }).await
    }

    async fn lease_network_again(&self, network: &Network) -> Result<()> {
        let ipam = self.surroundings.registry.ipam(&network.ipam)?;
        if !ipam.needs_replay() {
            return Ok(());
        }
        let mut errors = Vec::new();
        for pool in &network.pools {
            let family = if pool.subnet.addr().is_ipv4() { Family::V4 } else { Family::V6 };
            let ask = PoolRequest {
                family,
                subnet: Some(pool.subnet),
                range: pool.range,
                avoid: Vec::new(),
                options: Default::default(),
            };
            if let Err(error) = ipam.request_pool(&ask).await {
                errors.push(error);
                continue;
            }
            let endpoints: Vec<Arc<Endpoint>> = self.state().endpoints_on(network.id).cloned().collect();
            let leased = endpoints.iter().flat_map(|endpoint| {
                let lease = endpoint.lease.clone().unwrap_or_default();
                let purpose = Purpose::Endpoint { mac: endpoint.mac, name: endpoint.name.to_string() };
                let addresses = [lease.v4.map(|it| it.addr().into()), lease.v6.map(|it| it.addr().into())];
                addresses.into_iter().flatten().map(move |address| (address, purpose.clone()))
            });
            let own = pool.gateway.iter().map(|address| (*address, Purpose::Gateway));
            let kept = pool.auxiliary.values().map(|address| (*address, Purpose::Auxiliary));
            for (address, purpose) in own.chain(kept).chain(leased).filter(|(address, _)| pool.subnet.contains(address))
            {
                errors.extend(
                    ipam.request_address(
                        &pool.id,
                        &AddressRequest { subnet: Some(pool.subnet), wanted: Some(address), purpose },
                    )
                    .await
                    .err(),
                );
            }
        }
        Error::several(errors).map_or(Ok(()), Err).doing(|| format!("network {}", network.name))
    }

    /// Every state that stands between two others is brought to the one that it falls to.
    async fn finish_states(self: &Arc<Self>) -> Result<()> {
        let endpoints: Vec<Arc<Endpoint>> = self.state().endpoints.values().cloned().collect();
        let mut changes = Vec::new();
        for endpoint in &endpoints {
            let owed = |first: &[Owed]| {
                let forget = endpoint.lifetime == Lifetime::Attachment;
                first.iter().copied().chain(forget.then_some(Owed::Forget)).collect::<Vec<_>>()
            };
            let detaching = |sandbox: SandboxId, owed: Vec<Owed>| EndpointState::Detaching {
                sandbox,
                interface: endpoint.state.interface().cloned(),
                plan: endpoint.state.footprint(),
                owed,
            };
            let state = match &endpoint.state {
                EndpointState::Attached(attachment) => {
                    self.state().ports.restore(endpoint.id, &attachment.ports);
                    continue;
                }
                // One that lived as long as its attachment, and has none, was between two tries to attach it.
                EndpointState::Reserved if endpoint.lifetime == Lifetime::Attachment => EndpointState::Reserving,
                EndpointState::Reserving | EndpointState::Reserved => continue,
                EndpointState::Joining { sandbox } => detaching(*sandbox, owed(&[Owed::Leave])),
                EndpointState::Attaching(it) => detaching(it.sandbox, owed(&[Owed::Cut, Owed::Reap, Owed::Leave])),
                EndpointState::Detaching { sandbox, interface, plan, owed } => {
                    // Links that were cut off before the crash are cut off again, in case the cut was not finished.
                    let mut owed = owed.clone();
                    if owed.contains(&Owed::Reap) && !owed.contains(&Owed::Cut) {
                        owed.insert(0, Owed::Cut);
                    }
                    EndpointState::Detaching {
                        sandbox: *sandbox,
                        interface: interface.clone(),
                        plan: plan.clone(),
                        owed,
                    }
                }
                EndpointState::Changing { from, to } => {
                    self.state().ports.restore(endpoint.id, &to.ports);
                    let gone = from.plans.whole().without([&to.plans.whole()]);
                    report("removing what a change took away", self.surroundings.kernel.remove(&gone).await);
                    EndpointState::Attached(Attachment::clone(to))
                }
            };
            changes.push(Change::Put(Record::Endpoint(Box::new(Endpoint { state, ..Endpoint::clone(endpoint) }))));
        }
        if changes.is_empty() { Ok(()) } else { self.commit(changes).await }
    }

    /// Applies every plan that is in force; answers with sandboxes whose given namespace is gone. Nobody else may
    /// change anything meanwhile.
    pub(super) async fn restore(&self) -> Vec<SandboxId> {
        let (owners, plans): (Vec<Owner>, Vec<Plan>) = self.all_plans().into_iter().unzip();
        let outcomes = self.surroundings.kernel.restore(&plans).await;
        let mut gone = Vec::new();
        for (owner, outcome) in owners.into_iter().zip(outcomes) {
            match (owner, outcome) {
                (_, Ok(())) => {}
                (Owner::Sandbox(id), Err(error)) if error.kind() == ErrorKind::NotFound && self.is_given(id) => {
                    tracing::warn!(%error, "the namespace of a sandbox is gone, and the sandbox with it");
                    gone.push(id);
                }
                (owner, Err(error)) => tracing::error!(%error, ?owner, "could not be restored"),
            }
        }
        gone
    }

    /// Removes sandboxes whose namespace is gone, with what was attached to them.
    pub(super) async fn remove_gone(self: &Arc<Self>, gone: Vec<SandboxId>) {
        for id in gone {
            report("removing a sandbox whose namespace is gone", self.delete_sandbox(id).await);
        }
    }

    fn is_given(&self, id: SandboxId) -> bool {
        matches!(self.known_sandbox(id), Ok(sandbox) if matches!(sandbox.netns, SandboxNetns::Given { .. }))
    }

    /// Every plan that is in force: networks first, then each sandbox together with what is attached to it.
    pub(super) fn all_plans(&self) -> Vec<(Owner, Plan)> {
        let state = self.state();
        let networks = state.networks.values().filter_map(|network| match &network.state {
            NetworkState::Ready { plan } => Some((Owner::Network(network.id), plan.clone())),
            _ => None,
        });
        let sandboxes = state.sandboxes.values().filter_map(|sandbox| match &sandbox.state {
            SandboxState::Ready { plan } | SandboxState::Creating { plan } | SandboxState::Spare { plan, .. } => {
                Some((sandbox.id, plan))
            }
            SandboxState::Changing { to, .. } => Some((sandbox.id, to)),
            _ => None,
        });
        let whole = sandboxes.map(|(id, plan)| {
            let mut links = Plans::default();
            for attachment in state.endpoints_in(id).filter_map(|endpoint| endpoint.state.attachment()) {
                links.link = links.link.then(&attachment.plans.link);
                links.ports = links.ports.then(&attachment.plans.ports);
            }
            (Owner::Sandbox(id), together(plan, &links))
        });
        networks.chain(whole).collect()
    }

    fn unfinished_networks(&self) -> Vec<Network> {
        let state = self.state();
        let unfinished = state.networks.values().filter(|network| !matches!(network.state, NetworkState::Ready { .. }));
        unfinished.map(|network| Network::clone(network)).collect()
    }
}

/// An error that keeps nothing else from being done.
fn report(what: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "{what}");
    }
}
