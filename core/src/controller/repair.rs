//! Telling what is not as it should be, and mending it: by wish, and when the kernel tells of somebody else's change.

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
    ///
    /// A look while others change things may see what is half done, so whatever it finds amiss is looked at again
    /// while nobody changes anything.
    pub(super) async fn verify(&self) -> Result<Vec<Drift>> {
        if self.amiss().await?.is_empty() {
            return Ok(Vec::new());
        }
        let _still = self.changing.write().await;
        self.amiss().await
    }

    /// What of a network, and of all that is attached to it, is not as it should be.
    pub(super) async fn verify_network(&self, id: NetworkId) -> Result<Vec<Drift>> {
        let _still = self.changing.write().await;
        self.surroundings.kernel.verify(&self.whole_plan(id)).await
    }

    /// What networks share stands in the plan of each, and is told once.
    async fn amiss(&self) -> Result<Vec<Drift>> {
        let plans = self.all_plans();
        self.surroundings.kernel.verify(&Plan::union(plans.iter().map(|(_, plan)| plan))).await
    }

    /// A network's plan and those of all that is attached to it.
    pub(super) fn whole_plan(&self, id: NetworkId) -> Plan {
        let state = self.state();
        let own = state.networks.get(&id).map(|network| network.state.plan().clone()).unwrap_or_default();
        let attached = state.endpoints_on(id).filter_map(|endpoint| endpoint.state.attachment());
        attached.fold(own, |whole, attachment| whole.then(&attachment.plans.whole()))
    }

    /// Applies every plan in force again if anything is amiss; answers with what was.
    pub(super) async fn repair(self: &Arc<Self>) -> Result<Vec<Drift>> {
        if self.amiss().await?.is_empty() {
            return Ok(Vec::new());
        }
        let still = self.changing.write().await;
        let drifts = self.amiss().await?;
        let mut owners = Vec::new();
        if !drifts.is_empty() {
            for (owner, plan) in self.all_plans() {
                owners.push((owner, self.surroundings.kernel.verify(&plan).await?));
            }
        }
        let gone = if drifts.is_empty() { Vec::new() } else { self.restore().await };
        drop(still);
        self.remove_gone(gone).await;
        for (owner, drifts) in owners.into_iter().filter(|(_, drifts)| !drifts.is_empty()) {
            let told: Vec<String> = drifts.iter().map(|drift| drift.resource.clone()).collect();
            self.tell_repair(&owner, told.join(", "));
        }
        Ok(drifts)
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
