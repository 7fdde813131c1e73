//! Telling what is not as it should be, and mending it: by wish, and when the kernel tells of somebody else's change.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::Inner;
use super::recover::Owner;
use crate::error::Result;
use crate::event::{Action, Subject};
use crate::id::NetworkId;
use crate::kernel::{Deviation, Disturbance, Drift};
use crate::plan::Plan;
use crate::surroundings::Task;

/// How long to rest between two repairs, at first and at most: whoever keeps flushing our rules shall not keep us busy.
const REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

/// How often everything is looked at when nobody gives cause.
const ROUND: Duration = Duration::from_secs(60);

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

    /// Applies every plan in force again if anything is amiss that can be mended; answers with all that was.
    pub(super) async fn repair(self: &Arc<Self>) -> Result<Vec<Drift>> {
        if self.amiss().await?.is_empty() {
            return Ok(Vec::new());
        }
        let still = self.changing.write().await;
        let drifts = self.amiss().await?;
        // What others put in the way is theirs to take away: it is told, and nothing is made anew for it.
        let mendable = drifts.iter().any(|drift| drift.deviation != Deviation::Obstructed);
        let mut owners = Vec::new();
        if mendable {
            for (owner, plan) in self.all_plans() {
                owners.push((owner, self.surroundings.kernel.verify(&plan).await?));
            }
        }
        let gone = if mendable { self.restore().await } else { Vec::new() };
        drop(still);
        self.remove_gone(gone).await;
        for (owner, drifts) in owners {
            let mended = drifts.iter().filter(|drift| drift.deviation != Deviation::Obstructed);
            let told: Vec<&str> = mended.map(|drift| drift.resource.as_str()).collect();
            if !told.is_empty() {
                self.tell_repair(&owner, told.join(", "));
            }
        }
        Ok(drifts)
    }

    /// Mends whatever somebody else disturbs, ever more patiently while it goes on; and looks at everything from time to
    /// time, for news can be missed and what was in the way may have gone.
    pub(super) async fn repair_forever(self: Arc<Self>) {
        let mut rest = REST.0;
        let mut news = self.surroundings.kernel.disturbed();
        loop {
            match either(news.as_mut(), self.surroundings.clock.sleep(ROUND)).await {
                None => {}
                Some(None) => return,
                Some(Some(disturbance)) => {
                    log_disturbance(&disturbance);
                    news = self.surroundings.kernel.disturbed();
                }
            }
            let mended = match self.repair().await {
                Ok(drifts) => drifts.iter().filter(|drift| drift.deviation != Deviation::Obstructed).count(),
                Err(error) => {
                    tracing::error!(%error, "could not repair");
                    1
                }
            };
            if mended == 0 {
                rest = REST.0;
                continue;
            }
            tracing::warn!(mended, "repaired");
            self.surroundings.clock.sleep(rest).await;
            rest = REST.1.min(rest * 2);
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

fn log_disturbance(disturbance: &Disturbance) {
    match disturbance {
        Disturbance::Firewall { by } => tracing::warn!(?by, "somebody changed our firewall rules"),
        Disturbance::Link { name } => tracing::warn!(%name, "somebody changed a link of ours"),
        Disturbance::Lost => tracing::warn!("notifications were lost: verifying everything"),
    }
}

/// What the first of the two says if it is done first, else nothing. The first goes on where it was.
async fn either<T>(mut first: Pin<&mut (impl Future<Output = T> + ?Sized)>, mut second: Task) -> Option<T> {
    poll_fn(|context| match (first.as_mut().poll(context), second.as_mut().poll(context)) {
        (Poll::Ready(said), _) => Poll::Ready(Some(said)),
        (Poll::Pending, Poll::Ready(())) => Poll::Ready(None),
        (Poll::Pending, Poll::Pending) => Poll::Pending,
    })
    .await
}
