//! Publishing ports and taking them back, without touching the link.

use std::sync::Arc;

use super::Inner;
use super::attach::both;
use super::claims::Claim;
use super::ports::Refused;
use super::sandbox_plan::together;
use crate::endpoint::{Attachment, Endpoint, EndpointState, Plans};
use crate::error::{Doing, Error, Result};
use crate::event::{Action, Subject};
use crate::failpoint;
use crate::id::EndpointId;
use crate::plan::Plan;
use crate::port::{HostPorts, PortBinding, PortRequest};
use crate::sandbox::{Sandbox, SandboxState};
use crate::store::{Change, Record};

impl Inner {
    /// Publishes more ports; answers with everything that is published then. Of an endpoint that is only reserved they
    /// are kept for later.
    pub(super) async fn publish(self: &Arc<Self>, id: EndpointId, ports: Vec<PortRequest>) -> Result<Vec<PortBinding>> {
        ports.iter().try_for_each(PortRequest::check)?;
        let _endpoint = self.take(Claim::Endpoint(id)).await;
        let endpoint = self.settled(id).await?;
        let wanted: Vec<PortRequest> = endpoint.wanted.iter().chain(&ports).cloned().collect();
        let Some(now) = attached(&endpoint)? else {
            let network = self.state().network_of(&endpoint)?;
            self.check_together(&network, &wanted)?;
            return self.want(&endpoint, wanted).await;
        };
        let network = self.state().network_of(&endpoint)?;
        let driver = self.surroundings.registry.driver(&network.driver)?;
        let mut refused = Refused::new();
        let outcome = loop {
            let added = self.promise_ports(driver.as_ref(), &network, &endpoint, &ports, &refused)?;
            let all = now.ports.iter().chain(&added).cloned().collect();
            let Err(cause) = self.change_ports(&endpoint, now, all, &wanted).await else { break Ok(added) };
            let again = self.may_try_other_ports(&endpoint, &cause, &mut refused);
            self.state().ports.release(id, &added);
            if !again {
                break Err(cause);
            }
        };
        let added = outcome.doing(|| format!("publishing ports of {}", endpoint.name))?;
        Ok(now.ports.iter().cloned().chain(added).collect())
    }

    /// Takes every published port back that one of these covers; answers with what is left.
    pub(super) async fn unpublish(
        self: &Arc<Self>,
        id: EndpointId,
        ports: Vec<PortRequest>,
    ) -> Result<Vec<PortBinding>> {
        let _endpoint = self.take(Claim::Endpoint(id)).await;
        let endpoint = self.settled(id).await?;
        let unknown =
            |port: &PortRequest| Error::not_found(format!("endpoint {} does not publish {port}", endpoint.name));
        let Some(now) = attached(&endpoint)? else {
            let is_meant = |wanted: &PortRequest| ports.iter().any(|port| port.covers_request(wanted));
            if let Some(port) = ports.iter().find(|port| !endpoint.wanted.iter().any(|it| port.covers_request(it))) {
                return Err(unknown(port));
            }
            return self.want(&endpoint, endpoint.wanted.iter().filter(|it| !is_meant(it)).cloned().collect()).await;
        };
        if let Some(port) = ports.iter().find(|port| !now.ports.iter().any(|it| port.covers(it))) {
            return Err(unknown(port));
        }
        let (gone, left): (Vec<PortBinding>, Vec<PortBinding>) =
            now.ports.iter().cloned().partition(|binding| ports.iter().any(|port| port.covers(binding)));
        let wanted = still_wanted(&endpoint.wanted, &left);
        let left = self
            .change_ports(&endpoint, now, left, &wanted)
            .await
            .doing(|| format!("unpublishing ports of {}", endpoint.name))?;
        self.state().ports.release(id, &gone);
        Ok(left)
    }

    async fn want(&self, endpoint: &Endpoint, wanted: Vec<PortRequest>) -> Result<Vec<PortBinding>> {
        let endpoint = Endpoint { wanted, ..endpoint.clone() };
        self.commit(vec![Change::Put(Record::Endpoint(Box::new(endpoint)))]).await?;
        Ok(Vec::new())
    }

    /// From one set of published ports to another, or back.
    async fn change_ports(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        now: &Attachment,
        ports: Vec<PortBinding>,
        wanted: &[PortRequest],
    ) -> Result<Vec<PortBinding>> {
        let network = self.state().network_of(endpoint)?;
        let driver = self.surroundings.registry.driver(&network.driver)?;
        let published = match ports.is_empty() {
            true => Plan::new(),
            false => driver.publish(&network, endpoint, &ports).await?,
        };
        failpoint!("controller.driver-published");
        let _sandbox = self.take(Claim::Sandbox(now.sandbox)).await;
        let next = Attachment { ports, plans: Plans { link: now.plans.link.clone(), ports: published }, ..now.clone() };
        let _changing = self.changing.read().await;
        let sandbox = self.ready_sandbox(now.sandbox)?;
        let (before, after) = (sandbox.state.footprint(), self.sandbox_with(&sandbox, &network, endpoint, &next));
        let (from, to) = (together(&before, &now.plans), together(&after, &next.plans));
        let changing = EndpointState::Changing { from: Box::new(now.clone()), to: Box::new(next.clone()) };
        // A change that a death interrupts is finished, so what is wanted changes with it.
        let changing = Endpoint { state: changing, wanted: wanted.to_vec(), ..endpoint.clone() };
        self.commit_both(&changing, &sandbox, SandboxState::Changing { from: before.clone(), to: after.clone() })
            .await?;
        let changed = match self.surroundings.kernel.replace(&from, &to).await {
            Ok(()) => self.settle_ports(endpoint, wanted, &next, &sandbox, after).await,
            Err(cause) => Err(cause),
        };
        if let Err(cause) = changed {
            // Back to what was, on record in any case; what of it fails in the kernel, verify tells and repair mends.
            let back = self.surroundings.kernel.replace(&to, &from).await;
            let state = EndpointState::Attached(now.clone());
            let was = Endpoint { state, ..endpoint.clone() };
            let stored = self.settle_on(both(&was, &sandbox, SandboxState::Ready { plan: before })).await;
            let errors = [Some(cause), back.err(), stored.err()].into_iter().flatten().collect();
            return Err(Error::several(errors).expect("there is a cause"));
        }
        let network = network.name.to_string();
        let told: Vec<String> = next.ports.iter().map(PortBinding::to_string).collect();
        let attributes = [("network", network), ("ports", told.join(","))];
        self.tell(Subject::Endpoint, Action::Publish, endpoint.id, &endpoint.name, attributes);
        Ok(next.ports)
    }

    async fn settle_ports(
        &self,
        endpoint: &Endpoint,
        wanted: &[PortRequest],
        attachment: &Attachment,
        sandbox: &Sandbox,
        plan: Plan,
    ) -> Result<()> {
        let state = EndpointState::Attached(attachment.clone());
        let endpoint = Endpoint { state, wanted: wanted.to_vec(), ..endpoint.clone() };
        self.commit_both(&endpoint, sandbox, SandboxState::Ready { plan }).await
    }
}

/// The requests that what is left came from, each binding from one.
fn still_wanted(wanted: &[PortRequest], left: &[PortBinding]) -> Vec<PortRequest> {
    let mut left: Vec<&PortBinding> = left.iter().collect();
    let mut takes_one = |request: &&PortRequest| {
        let before = left.len();
        match request.host {
            // One request for a range of the container's ports became many bindings.
            HostPorts::Ephemeral if request.container.count() > 1 => left.retain(|it| !request.covers(it)),
            _ => {
                if let Some(place) = left.iter().position(|it| request.covers(it)) {
                    left.remove(place);
                }
            }
        }
        left.len() < before
    };
    wanted.iter().filter(|request| takes_one(request)).cloned().collect()
}

/// What is attached; `None` if the endpoint is only reserved.
fn attached(endpoint: &Endpoint) -> Result<Option<&Attachment>> {
    match &endpoint.state {
        EndpointState::Attached(attachment) => Ok(Some(attachment)),
        EndpointState::Reserved => Ok(None),
        other => {
            Err(Error::conflict(format!("endpoint {} is {}; try again when it is done", endpoint.name, other.name())))
        }
    }
}
