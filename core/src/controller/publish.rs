//! Publishing ports and taking them back, without touching the link.

use std::sync::Arc;

use super::Inner;
use super::claims::Claim;
use super::sandbox_plan::together;
use crate::endpoint::{Attachment, Endpoint, EndpointState, Plans};
use crate::error::{Doing, Error, Result};
use crate::event::{Action, Subject};
use crate::id::EndpointId;
use crate::kernel::is_port_taken;
use crate::plan::Plan;
use crate::port::{ExposedPort, HostPorts, PortBinding, PortRequest};
use crate::sandbox::{Sandbox, SandboxState};
use crate::store::{Change, Record};

/// How many times other ephemeral ports are tried when the host turns out to have given one away.
const TRIES: usize = 16;

impl Inner {
    /// Publishes more ports; answers with everything that is published then. Of an endpoint that is only reserved they
    /// are kept for later.
    pub(super) async fn publish(self: &Arc<Self>, id: EndpointId, ports: Vec<PortRequest>) -> Result<Vec<PortBinding>> {
        ports.iter().try_for_each(PortRequest::check)?;
        let _endpoint = self.take(Claim::Endpoint(id)).await;
        let endpoint = self.settled(id).await?;
        let wanted: Vec<PortRequest> = endpoint.wanted.iter().chain(&ports).cloned().collect();
        let EndpointState::Attached(now) = &endpoint.state else { return self.want(&endpoint, wanted).await };
        let _sandbox = self.take(Claim::Sandbox(now.sandbox)).await;
        let tries = if ports.iter().any(|port| port.host == HostPorts::Ephemeral) { TRIES } else { 1 };
        let network = self.state().network_of(&endpoint)?;
        let driver = self.surroundings.registry.driver(&network.driver)?;
        let mut outcome = Err(Error::internal("no try was made"));
        for _ in 0..tries {
            let added = self.promise_ports(driver.as_ref(), &network, &endpoint, &ports)?;
            let all = now.ports.iter().chain(&added).cloned().collect();
            outcome = self.change_ports(&endpoint, now, all, &wanted).await;
            match &outcome {
                Ok(_) => break,
                Err(cause) => {
                    self.state().ports.release(id, &added);
                    if !is_port_taken(cause) {
                        break;
                    }
                }
            }
        }
        outcome.doing(|| format!("publishing ports of {}", endpoint.name))
    }

    /// Takes every published port back that leads to one of these container ports; answers with what is left.
    pub(super) async fn unpublish(
        self: &Arc<Self>,
        id: EndpointId,
        ports: Vec<ExposedPort>,
    ) -> Result<Vec<PortBinding>> {
        let _endpoint = self.take(Claim::Endpoint(id)).await;
        let endpoint = self.settled(id).await?;
        let is_meant =
            |container, protocol| ports.iter().any(|port| port.protocol == protocol && port.ports == container);
        let known = |port: &ExposedPort| {
            endpoint.wanted.iter().any(|it| it.protocol == port.protocol && it.container == port.ports)
                || endpoint.state.attachment().is_some_and(|now| {
                    now.ports.iter().any(|it| it.protocol == port.protocol && it.container == port.ports)
                })
        };
        if let Some(unknown) = ports.iter().find(|port| !known(port)) {
            return Err(Error::not_found(format!("endpoint {} does not publish {unknown}", endpoint.name)));
        }
        let wanted: Vec<PortRequest> =
            endpoint.wanted.iter().filter(|port| !is_meant(port.container, port.protocol)).cloned().collect();
        let EndpointState::Attached(now) = &endpoint.state else { return self.want(&endpoint, wanted).await };
        let _sandbox = self.take(Claim::Sandbox(now.sandbox)).await;
        let (gone, left): (Vec<PortBinding>, Vec<PortBinding>) =
            now.ports.iter().cloned().partition(|port| is_meant(port.container, port.protocol));
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
        let next = Attachment { ports, plans: Plans { link: now.plans.link.clone(), ports: published }, ..now.clone() };
        let _changing = self.changing.read().await;
        let sandbox = self.ready_sandbox(now.sandbox)?;
        let (before, after) = (sandbox.state.footprint(), self.sandbox_with(&sandbox, &network, endpoint, &next));
        let (from, to) = (together(&before, &now.plans), together(&after, &next.plans));
        let changing = EndpointState::Changing { from: Box::new(now.clone()), to: Box::new(next.clone()) };
        let changing = Endpoint { state: changing, ..endpoint.clone() };
        self.commit_both(&changing, &sandbox, SandboxState::Changing { from: before.clone(), to: after.clone() })
            .await?;
        let changed = match self.surroundings.kernel.replace(&from, &to).await {
            Ok(()) => self.settle_ports(endpoint, wanted, &next, &sandbox, after).await,
            Err(cause) => Err(cause),
        };
        if let Err(cause) = changed {
            // Back to what was; where even that fails, verify tells of it and repair mends it.
            let back = self.surroundings.kernel.replace(&to, &from).await;
            let stored = self.settle_ports(endpoint, &endpoint.wanted, now, &sandbox, before).await;
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
