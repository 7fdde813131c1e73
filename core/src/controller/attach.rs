//! Attaching an endpoint to a sandbox: ask the driver, store its plans, make them so.

use std::sync::Arc;

use super::Inner;
use super::claims::Claim;
use super::endpoints::Reservation;
use super::ports::Clash;
use super::request::EndpointRequest;
use super::sandbox_plan::{FIRST_TABLE, Member, sandbox_plan, together};
use crate::driver::{Driver, InterfaceName, Ports, Slot};
use crate::endpoint::{Attachment, Endpoint, EndpointState, Lifetime, Plans};
use crate::error::{Doing, Error, Result};
use crate::event::{Action, Subject};
use crate::id::{EndpointId, SandboxId};
use crate::kernel::is_port_taken;
use crate::name::IfName;
use crate::network::Network;
use crate::plan::Plan;
use crate::port::{HostPorts, PortBinding, PortRequest};
use crate::resource::Namespace;
use crate::sandbox::{Sandbox, SandboxState};
use crate::store::{Change, Record};

/// How many times another ephemeral port is tried when the host turns out to have given one away.
const TRIES: usize = 16;

impl Inner {
    /// Creates an endpoint that lives as long as its attachment, and attaches it.
    pub(super) async fn connect(self: &Arc<Self>, sandbox: SandboxId, request: EndpointRequest) -> Result<Endpoint> {
        let name = self.known_sandbox(sandbox)?.name.clone();
        let reservation = self.reserve(request, Lifetime::Attachment, Some(name.as_str())).await?;
        self.attach(reservation, sandbox).await
    }

    /// Attaches an endpoint that is reserved.
    pub(super) async fn join(self: &Arc<Self>, id: EndpointId, sandbox: SandboxId) -> Result<Endpoint> {
        let claim = self.take(Claim::Endpoint(id)).await;
        let endpoint = self.settled(id).await?;
        if !matches!(endpoint.state, EndpointState::Reserved) {
            return Err(Error::forbidden(format!("endpoint {} is attached to a sandbox already", endpoint.name)));
        }
        let network = self.state().network_of(&endpoint)?;
        let driver = self.surroundings.registry.driver(&network.driver)?;
        let endpoint = Endpoint::clone(&endpoint);
        self.attach(Reservation { endpoint, network, driver, _claims: vec![claim] }, sandbox).await
    }

    /// What `connect` would apply; nothing is kept.
    pub(super) async fn plan_connect(self: &Arc<Self>, sandbox: SandboxId, request: EndpointRequest) -> Result<Plan> {
        let name = self.known_sandbox(sandbox)?.name.clone();
        let place = self.reserve(request, Lifetime::Attachment, Some(name.as_str())).await?;
        let planned = async {
            let _sandbox = self.take(Claim::Sandbox(sandbox)).await;
            let sandbox = self.ready_sandbox(sandbox)?;
            let ports =
                self.promise_ports(place.driver.as_ref(), &place.network, &place.endpoint, &place.endpoint.wanted)?;
            let attachment = self.ask(&place, &sandbox, ports).await;
            self.state().ports.release_all(place.endpoint.id);
            let attachment = attachment?;
            Ok(together(&self.sandbox_with(&sandbox, &place.network, &place.endpoint, &attachment), &attachment.plans))
        };
        let planned = planned.await;
        self.give_up(&place.network, &place.endpoint).await?;
        planned
    }

    /// The one way in. Whatever fails is undone by the one way out.
    async fn attach(self: &Arc<Self>, mut place: Reservation, sandbox: SandboxId) -> Result<Endpoint> {
        let claim = self.take(Claim::Sandbox(sandbox)).await;
        let mut tries = if has_ephemeral(&place.endpoint.wanted) { TRIES } else { 1 };
        let outcome = loop {
            tries -= 1;
            match self.attach_steps(&mut place, sandbox).await {
                Err(cause) if tries > 0 && is_port_taken(&cause) => {
                    tracing::debug!(%cause, "trying other ports");
                    if let Err(error) = self.back_out(&place).await {
                        break Err(error);
                    }
                }
                outcome => break outcome,
            }
        };
        drop(claim);
        let (name, network) = (&place.endpoint.name, &place.network.name);
        if let Err(cause) = outcome {
            self.abandon(&place)
                .await
                .unwrap_or_else(|error| tracing::error!(%error, "some of a failed attach is still owed"));
            return Err(cause).doing(|| format!("attaching {name} to {network}"));
        }
        self.tell(
            Subject::Endpoint,
            Action::Connect,
            place.endpoint.id,
            name,
            [("network", network.to_string()), ("sandbox", sandbox.to_string())],
        );
        Ok(place.endpoint)
    }

    async fn attach_steps(self: &Arc<Self>, place: &mut Reservation, sandbox: SandboxId) -> Result<()> {
        let sandbox = self.ready_sandbox(sandbox)?;
        check_place(place, &sandbox)?;
        if place.driver.capability().external {
            place.endpoint.state = EndpointState::Joining { sandbox: sandbox.id };
            self.commit(vec![Change::Put(Record::Endpoint(Box::new(place.endpoint.clone())))]).await?;
        }
        let ports =
            self.promise_ports(place.driver.as_ref(), &place.network, &place.endpoint, &place.endpoint.wanted)?;
        let attachment = self.ask(place, &sandbox, ports).await?;
        let before = sandbox.state.footprint();
        let after = self.sandbox_with(&sandbox, &place.network, &place.endpoint, &attachment);
        let whole = together(&after, &attachment.plans);
        let _changing = self.changing.read().await;
        place.endpoint.state = EndpointState::Attaching(attachment.clone());
        self.commit_both(&place.endpoint, &sandbox, SandboxState::Changing { from: before.clone(), to: after.clone() })
            .await?;
        self.surroundings.kernel.replace(&before, &whole).await?;
        place.endpoint.state = EndpointState::Attached(attachment);
        self.commit_both(&place.endpoint, &sandbox, SandboxState::Ready { plan: after }).await
    }

    /// The driver's answer for a place in a sandbox.
    async fn ask(
        self: &Arc<Self>,
        place: &Reservation,
        sandbox: &Sandbox,
        ports: Vec<PortBinding>,
    ) -> Result<Attachment> {
        let Reservation { endpoint, network, driver, .. } = place;
        let (interface, table) = self.choose_slot(driver.as_ref(), network, endpoint, sandbox).await?;
        let slot = Slot { namespace: sandbox.netns.namespace(), interface };
        let joined = driver.join(network, endpoint, &slot).await?;
        let published = match ports.is_empty() {
            true => Plan::new(),
            false => driver.publish(network, endpoint, &ports).await?,
        };
        Ok(Attachment {
            sandbox: sandbox.id,
            interface: joined.interface,
            table,
            gateway_v4: joined.gateway_v4,
            gateway_v6: joined.gateway_v6,
            ports,
            plans: Plans { link: joined.plan, ports: published },
        })
    }

    /// A link name and a routing table that nothing else in the sandbox has. A name that an endpoint on its way out
    /// still has is waited for.
    async fn choose_slot(
        self: &Arc<Self>,
        driver: &dyn Driver,
        network: &Network,
        endpoint: &Endpoint,
        sandbox: &Sandbox,
    ) -> Result<(IfName, u32)> {
        let chosen = self.free_slot(driver, network, endpoint, sandbox)?;
        let is_it = |other: &&Arc<Endpoint>| other.state.interface() == Some(&chosen.0);
        let owing: Vec<EndpointId> = self.state().endpoints_in(sandbox.id).filter(is_it).map(|it| it.id).collect();
        self.hurry(owing).await;
        Ok(chosen)
    }

    /// A link name and a routing table that no endpoint in force has.
    fn free_slot(
        &self,
        driver: &dyn Driver,
        network: &Network,
        endpoint: &Endpoint,
        sandbox: &Sandbox,
    ) -> Result<(IfName, u32)> {
        let state = self.state();
        let in_force = |it: &&Arc<Endpoint>| it.id != endpoint.id && it.state.attachment().is_some();
        let others: Vec<&Arc<Endpoint>> = state.endpoints_in(sandbox.id).filter(in_force).collect();
        let has_name = |name: &IfName| others.iter().any(|it| it.state.interface() == Some(name));
        let has_table = |table: u32| others.iter().any(|it| it.state.attachment().is_some_and(|it| it.table == table));
        let table = (FIRST_TABLE..).find(|table| !has_table(*table)).expect("there are more tables than endpoints");
        let wish = match &endpoint.interface {
            Some(name) => InterfaceName::Exactly(name.clone()),
            None => driver.interface_name(network, endpoint),
        };
        match wish {
            InterfaceName::Exactly(name) if has_name(&name) => {
                Err(Error::conflict(format!("sandbox {} has a link {name} already", sandbox.name)))
            }
            InterfaceName::Exactly(name) => Ok((name, table)),
            InterfaceName::Numbered(prefix) => {
                let mut names = (0..=others.len()).map(|number| IfName::try_from(format!("{prefix}{number}")));
                let free = names.find(|name| name.as_ref().map_or(true, |name| !has_name(name)));
                Ok((free.expect("one name more than there are links is free")?, table))
            }
        }
    }

    /// The sandbox's plan once this endpoint is in it.
    pub(super) fn sandbox_with(
        &self,
        sandbox: &Sandbox,
        network: &Network,
        endpoint: &Endpoint,
        attachment: &Attachment,
    ) -> Plan {
        let state = self.state();
        let mut members = state.members(sandbox.id, Some(endpoint.id));
        members.push(Member { network, endpoint, attachment });
        sandbox_plan(&sandbox.netns, &members)
    }

    /// The sandbox's plan once this endpoint is out of it.
    pub(super) fn sandbox_without(&self, sandbox: &Sandbox, endpoint: EndpointId) -> Plan {
        sandbox_plan(&sandbox.netns, &self.state().members(sandbox.id, Some(endpoint)))
    }

    /// Promises ports to an endpoint, or says who has them. Where a request names no address, the network may.
    pub(super) fn promise_ports(
        &self,
        driver: &dyn Driver,
        network: &Network,
        endpoint: &Endpoint,
        wanted: &[PortRequest],
    ) -> Result<Vec<PortBinding>> {
        let default = driver.default_address(network);
        let placed = |port: &PortRequest| PortRequest { address: port.address.or(default), ..port.clone() };
        let wanted: Vec<PortRequest> = wanted.iter().map(placed).collect();
        let mut state = self.state();
        let clash = match state.ports.reserve(endpoint.id, &wanted, self.config.ephemeral) {
            Ok(bindings) => return Ok(bindings),
            Err(clash) => clash,
        };
        let told = |holder: EndpointId| match state.endpoints.get(&holder) {
            _ if holder == endpoint.id => "this endpoint itself".to_owned(),
            Some(holder) => match state.network_of(holder) {
                Ok(network) => format!("endpoint {} on network {}", holder.name, network.name),
                Err(_) => format!("endpoint {}", holder.name),
            },
            None => "an endpoint that is being attached".to_owned(),
        };
        Err(match clash {
            Clash::Held { wanted, holder } => {
                Error::conflict(format!("publishing {wanted}: the port is {}'s already", told(holder)))
            }
            Clash::NoneFree { wanted, holder } => {
                let holder = told(holder);
                Error::exhausted(format!(
                    "publishing {wanted}: every port of the range is taken, the first by {holder}"
                ))
            }
        })
    }

    pub(super) fn ready_sandbox(&self, id: SandboxId) -> Result<Arc<Sandbox>> {
        let sandbox = self.known_sandbox(id)?;
        match sandbox.state {
            // Between two plans with nobody at work on it: the end of a change could not be stored.
            SandboxState::Ready { .. } | SandboxState::Changing { .. } => Ok(sandbox),
            _ => Err(Error::conflict(format!("sandbox {} is being removed", sandbox.name))),
        }
    }

    /// Stores an endpoint and its sandbox in one commit.
    pub(super) async fn commit_both(&self, endpoint: &Endpoint, sandbox: &Sandbox, state: SandboxState) -> Result<()> {
        let sandbox = Sandbox { state, ..sandbox.clone() };
        self.commit(vec![
            Change::Put(Record::Endpoint(Box::new(endpoint.clone()))),
            Change::Put(Record::Sandbox(sandbox)),
        ])
        .await
    }
}

fn has_ephemeral(wanted: &[PortRequest]) -> bool {
    wanted.iter().any(|port| match port.host {
        HostPorts::Ephemeral => true,
        HostPorts::Within(host) => host.count() != port.container.count(),
    })
}

fn check_place(place: &Reservation, sandbox: &Sandbox) -> Result<()> {
    let capability = place.driver.capability();
    let is_host = sandbox.netns.namespace() == Namespace::Host;
    let (network, driver) = (&place.network.name, &place.network.driver);
    if capability.host_namespace && !is_host {
        return Err(Error::forbidden(format!(
            "network {network} is the host's own: only a sandbox in the host's namespace can join it"
        )));
    }
    if !capability.host_namespace && is_host {
        return Err(Error::forbidden(format!(
            "sandbox {} is in the host's namespace, which joins no other network than the host's",
            sandbox.name
        )));
    }
    if capability.ports == Ports::NotApplicable && !place.endpoint.wanted.is_empty() {
        return Err(Error::invalid(format!("networks of driver {driver} publish no ports")));
    }
    Ok(())
}
