//! What the controller knows: a picture in memory of what the store keeps, changed only by what was committed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Notify;

use super::claims::Claim;
use super::outside::Patience;
use super::ports::PortTable;
use super::sandbox_plan::Member;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::id::{EndpointId, NetworkId, SandboxId};
use crate::network::Network;
use crate::sandbox::{Sandbox, SandboxState};
use crate::store::{Change, Key, Record};

/// Everything, behind one mutex that is held for look-ups and single changes only.
#[derive(Default)]
pub(super) struct State {
    pub(super) networks: BTreeMap<NetworkId, Arc<Network>>,
    pub(super) endpoints: BTreeMap<EndpointId, Arc<Endpoint>>,
    pub(super) sandboxes: BTreeMap<SandboxId, Arc<Sandbox>>,
    pub(super) ports: PortTable,
    /// What is in somebody's hand, and who is told when it is given back.
    pub(super) claims: BTreeMap<Claim, Arc<Notify>>,
    /// Networks that sandboxes were made on: spares are made for them.
    pub(super) in_demand: BTreeSet<NetworkId>,
    /// Records that are ahead of the store, because it refused them; the reaper stores them when it can.
    pub(super) unstored: BTreeSet<Key>,
    /// What is owed to drivers outside, and being paid or waiting to be.
    pub(super) aside: BTreeMap<Key, Patience>,
    /// What belongs to nobody and could not be given back yet; the reaper does when it can.
    pub(super) to_release: Vec<Release>,
}

/// Something on lease that nobody uses any more.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Release {
    /// The address manager's name.
    pub(super) ipam: String,
    /// Its name for the pool.
    pub(super) pool: String,
    /// The address; `None` is the pool itself.
    pub(super) address: Option<IpAddr>,
    /// Whether it was only asked for.
    pub(super) unused: bool,
}

impl State {
    /// Takes over what was committed.
    pub(super) fn enact(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Put(Record::Network(network)) => drop(self.networks.insert(network.id, Arc::new(network))),
                Change::Put(Record::Endpoint(endpoint)) => {
                    drop(self.endpoints.insert(endpoint.id, Arc::new(*endpoint)))
                }
                Change::Put(Record::Sandbox(sandbox)) => drop(self.sandboxes.insert(sandbox.id, Arc::new(sandbox))),
                Change::Remove(Key::Network(id)) => drop(self.networks.remove(&id)),
                Change::Remove(Key::Endpoint(id)) => drop(self.endpoints.remove(&id)),
                Change::Remove(Key::Sandbox(id)) => drop(self.sandboxes.remove(&id)),
            }
        }
    }

    /// What brings the store to what stands here.
    pub(super) fn standing(&self, keys: impl IntoIterator<Item = Key>) -> Vec<Change> {
        let stands = |key: Key| {
            let record = match key {
                Key::Network(id) => self.networks.get(&id).map(|it| Record::Network(Network::clone(it))),
                Key::Endpoint(id) => self.endpoints.get(&id).map(|it| Record::Endpoint(Box::new(Endpoint::clone(it)))),
                Key::Sandbox(id) => self.sandboxes.get(&id).map(|it| Record::Sandbox(Sandbox::clone(it))),
            };
            record.map_or(Change::Remove(key), Change::Put)
        };
        keys.into_iter().map(stands).collect()
    }

    /// The endpoint's network; an endpoint without one is a broken invariant, told as an error.
    pub(super) fn network_of(&self, endpoint: &Endpoint) -> Result<Arc<Network>> {
        self.networks
            .get(&endpoint.network)
            .cloned()
            .ok_or_else(|| Error::internal(format!("endpoint {} is on a network that is gone", endpoint.name)))
    }

    /// Every sandbox that somebody asked for.
    pub(super) fn listed_sandboxes(&self) -> impl Iterator<Item = &Arc<Sandbox>> {
        self.sandboxes.values().filter(|it| !matches!(it.state, SandboxState::Spare { .. }))
    }

    /// Every endpoint on a network.
    pub(super) fn endpoints_on(&self, network: NetworkId) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values().filter(move |endpoint| endpoint.network == network)
    }

    /// Every endpoint in a sandbox, or on its way to or from it.
    pub(super) fn endpoints_in(&self, sandbox: SandboxId) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values().filter(move |endpoint| endpoint.state.sandbox() == Some(sandbox))
    }

    /// What a sandbox's plan is made from: every endpoint that is, or is about to be, in force in it, but the one that
    /// the caller brings or takes away.
    pub(super) fn members(&self, sandbox: SandboxId, except: Option<EndpointId>) -> Vec<Member<'_>> {
        let others = self.endpoints_in(sandbox).filter(|endpoint| Some(endpoint.id) != except);
        let members = others.filter_map(|endpoint| {
            let attachment = endpoint.state.attachment()?;
            let network = self.networks.get(&endpoint.network)?;
            Some(Member { network, endpoint, attachment })
        });
        members.collect()
    }
}
