//! Telling what is not as it should be, and mending it: by wish, and when the kernel tells of somebody else's change.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::inner::either;
use super::recover::Owner;
use crate::error::Result;
use crate::event::{Action, Subject};
use crate::id::NetworkId;
use crate::kernel::{Deviation, Disturbance, Drift};
use crate::plan::Plan;

/// How long to rest between two repairs, at first and at most: whoever keeps flushing our rules shall not keep us busy.
const REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

/// How often everything is looked at when nobody gives cause.
const ROUND: Duration = Duration::from_secs(60);

impl Inner {
    /// What of everything is not as it should be.
    ///
    /// A look while others change things may see what is half done, so whatever it finds amiss is looked at again
    /// while nobody changes anything; but for what others put in the way, which no change of ours looks like.
    pub(super) async fn verify(&self) -> Result<Vec<Drift>> {
        let drifts = self.amiss().await?;
        if !drifts.iter().any(is_mendable) {
            return Ok(drifts);
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
        let mut drifts = self.surroundings.kernel.verify(&Plan::union(plans.iter().map(|(_, plan)| plan))).await?;
        let strays = self.surroundings.kernel.strays(&self.everything_on_record()).await?;
        let detail = "it bears our mark and belongs to nothing";
        let told = |resource| Drift { resource, deviation: Deviation::Stray, detail: detail.to_owned() };
        drifts.extend(strays.into_iter().map(told));
        Ok(drifts)
    }

    /// What may be in the kernel, that which comes or goes included.
    pub(super) fn everything_on_record(&self) -> Vec<Plan> {
        let state = self.state();
        let networks = state.networks.values().map(|network| network.state.plan().clone());
        let sandboxes = state.sandboxes.values().map(|sandbox| sandbox.state.footprint());
        let endpoints = state.endpoints.values().map(|endpoint| endpoint.state.footprint());
        networks.chain(sandboxes).chain(endpoints).collect()
    }

    /// A network's plan and those of all that is attached to it.
    pub(super) fn whole_plan(&self, id: NetworkId) -> Plan {
        let state = self.state();
        let own = state.networks.get(&id).map(|network| network.state.plan().clone()).unwrap_or_default();
        let attached = state.endpoints_on(id).filter_map(|endpoint| endpoint.state.attachment());
        attached.fold(own, |whole, attachment| whole.then(&attachment.plans.whole()))
    }

    /// Applies every plan in force again if anything is amiss that can be mended; answers with all that was.
    pub(super) async fn repair(self: &Arc<Self>) -> Result<Vec<Drift>> {
        let drifts = self.amiss().await?;
        if !drifts.iter().any(is_mendable) {
            return Ok(drifts);
        }
        let still = self.changing.write().await;
        let drifts = self.amiss().await?;
        let mendable = drifts.iter().any(is_mendable);
        let mut owners = Vec::new();
        if mendable {
            for (owner, plan) in self.all_plans() {
                match self.surroundings.kernel.verify(&plan).await {
                    Ok(drifts) => owners.push((owner, drifts)),
                    Err(error) => tracing::error!(%error, ?owner, "could not be looked at"),
                }
            }
        }
        let gone = if mendable { self.restore().await } else { Vec::new() };
        if drifts.iter().any(|drift| drift.deviation == Deviation::Stray) {
            let swept = self.surroundings.kernel.sweep(&self.everything_on_record()).await?;
            tracing::warn!(?swept, "removed what belonged to nothing");
        }
        drop(still);
        self.remove_gone(gone).await;
        for (owner, drifts) in owners {
            let mended = drifts.iter().filter(|drift| is_mendable(drift));
            let told: Vec<&str> = mended.map(|drift| drift.resource.as_str()).collect();
            if !told.is_empty() {
                self.tell_repair(&owner, told.join(", "));
            }
        }
        Ok(drifts)
    }

    /// Mends whatever somebody else disturbs, ever more patiently while it does not become right or goes on; and looks
    /// at everything from time to time, for news can be missed.
    pub(super) async fn repair_forever(self: Arc<Self>) {
        let mut rest = REST.0;
        let mut news = self.surroundings.kernel.disturbed();
        loop {
            let well = match self.repair().await {
                Ok(drifts) => !drifts.iter().any(is_mendable),
                Err(error) => {
                    tracing::error!(%error, "could not repair");
                    false
                }
            };
            if !well {
                self.surroundings.clock.sleep(rest).await;
                rest = REST.1.min(rest * 2);
                continue;
            }
            rest = REST.0;
            match either(news.as_mut(), self.surroundings.clock.sleep(ROUND)).await {
                None => {}
                Some(None) => return,
                Some(Some(disturbance)) => {
                    log_disturbance(&disturbance);
                    news = self.surroundings.kernel.disturbed();
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

/// What others put in the way is theirs to take away: it is told, and nothing is made anew for it.
fn is_mendable(drift: &Drift) -> bool {
    drift.deviation != Deviation::Obstructed
}

fn log_disturbance(disturbance: &Disturbance) {
    match disturbance {
        Disturbance::Firewall { by } => tracing::warn!(?by, "somebody changed our firewall rules"),
        Disturbance::Link { name } => tracing::warn!(%name, "somebody changed a link of ours"),
        Disturbance::Lost => tracing::warn!("notifications were lost: verifying everything"),
    }
}
