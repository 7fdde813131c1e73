//! Telling what is not as it should be, and mending it: by wish, and when the kernel tells of somebody else's change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::recover::Owner;
use crate::error::Result;
use crate::event::{Action, Subject};
use crate::id::NetworkId;
use crate::kernel::{Disturbance, Drift};
use crate::plan::Plan;

/// How long to rest between two repairs, at first and at most: whoever keeps flushing our rules shall not keep us busy.
const REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

impl Inner {
    /// What of everything is not as it should be.
    pub(super) async fn verify(&self) -> Result<Vec<Drift>> {
        let mut drifts = Vec::new();
        for (_, plan) in self.all_plans() {
            drifts.extend(self.surroundings.kernel.verify(&plan).await?);
        }
        Ok(drifts)
    }

    /// What of a network, and of all that is attached to it, is not as it should be.
    pub(super) async fn verify_network(&self, id: NetworkId) -> Result<Vec<Drift>> {
        self.surroundings.kernel.verify(&self.whole_plan(id)).await
    }

    /// A network's plan and those of all that is attached to it.
    pub(super) fn whole_plan(&self, id: NetworkId) -> Plan {
        let state = self.state();
        let own = state.networks.get(&id).map(|network| network.state.plan().clone()).unwrap_or_default();
        let attached = state.endpoints_on(id).filter_map(|endpoint| endpoint.state.attachment());
        attached.fold(own, |whole, attachment| whole.then(&attachment.plans.whole()))
    }

    /// Applies every plan in force again; answers with what was amiss before.
    pub(super) async fn repair(self: &Arc<Self>) -> Result<Vec<Drift>> {
        let mut amiss: BTreeMap<String, (Owner, Vec<Drift>)> = BTreeMap::new();
        for (owner, plan) in self.all_plans() {
            let drifts = self.surroundings.kernel.verify(&plan).await?;
            if !drifts.is_empty() {
                amiss.insert(format!("{owner:?}"), (owner, drifts));
            }
        }
        if amiss.is_empty() {
            return Ok(Vec::new());
        }
        self.restore().await;
        let mut all = Vec::new();
        for (owner, drifts) in amiss.into_values() {
            let told: Vec<String> = drifts.iter().map(|drift| drift.resource.clone()).collect();
            self.tell_repair(&owner, told.join(", "));
            all.extend(drifts);
        }
        Ok(all)
    }

    /// Mends whatever somebody else disturbs, ever more patiently while it goes on.
    pub(super) async fn repair_forever(self: Arc<Self>) {
        let mut rest = REST.0;
        while let Some(disturbance) = self.surroundings.kernel.disturbed().await {
            match &disturbance {
                Disturbance::Firewall { by } => tracing::warn!(?by, "somebody changed our firewall rules"),
                Disturbance::Link { name } => tracing::warn!(%name, "somebody changed a link of ours"),
                Disturbance::Lost => tracing::warn!("notifications were lost: verifying everything"),
            }
            match self.repair().await {
                Ok(drifts) if drifts.is_empty() => rest = REST.0,
                Ok(drifts) => {
                    tracing::warn!(count = drifts.len(), "repaired");
                    self.surroundings.clock.sleep(rest).await;
                    rest = REST.1.min(rest * 2);
                }
                Err(error) => {
                    tracing::error!(%error, "could not repair");
                    self.surroundings.clock.sleep(rest).await;
                    rest = REST.1.min(rest * 2);
                }
            }
        }
    }

    fn tell_repair(&self, owner: &Owner, what: String) {
        let (subject, id, name) = match owner {
            Owner::Network(id) => {
                let name = self.state().networks.get(id).map(|network| network.name.to_string());
                (Subject::Network, id.to_string(), name)
            }
            Owner::Sandbox(id) => {
                let name = self.state().sandboxes.get(id).map(|sandbox| sandbox.name.to_string());
                (Subject::Sandbox, id.to_string(), name)
            }
        };
        self.tell(subject, Action::Repair, id, name.unwrap_or_default(), [("resources", what)]);
    }
}
