//! Attaching an endpoint to a sandbox: ask the driver, store its plans, make them so.

use std::sync::Arc;

use super::Inner;
use super::claims::{Claim, Held};
use super::endpoints::Reservation;
use super::ports::{Clash, Refused, check_among_themselves};
use super::request::EndpointRequest;
use super::sandbox_plan::{FIRST_TABLE, Member, sandbox_plan, together};
use crate::driver::{Driver, InterfaceName, Joined, Ports, Slot};
use crate::endpoint::{Attachment, Endpoint, EndpointState, Lifetime, Plans};
use crate::error::{Error, Result};
use crate::event::{Action, Subject};
use crate::failpoint;
use crate::id::{EndpointId, SandboxId};
use crate::kernel::is_port_taken;
use crate::name::IfName;
use crate::network::Network;
use crate::plan::Plan;
use crate::port::{PortBinding, PortRequest};
use crate::resource::Namespace;
use crate::sandbox::{Sandbox, SandboxState};
use crate::store::{Change, Record};

/// How many ports are tried at most when the host turns out to have given them to other programs.
const MOST_REFUSED: usize = 256;

/// The sandbox that an endpoint enters.
pub(super) enum Door<'a> {
    /// It is there, and ready.
    Standing,
    /// It is being made: stored with its first endpoint, ready with its last.
    HalfMade {
        /// What it is before anything of it is stored.
        sandbox: &'a Sandbox,
        /// Whether it is whole then.
        last: bool,
    },
}

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
        self.attach(Reservation { endpoint, network, driver, claims: vec![claim] }, sandbox).await
    }

    /// What `connect` would apply; nothing is kept.
    pub(super) async fn plan_connect(self: &Arc<Self>, sandbox: SandboxId, request: EndpointRequest) -> Result<Plan> {
        let name = self.known_sandbox(sandbox)?.name.clone();
        let network = self.state().find_network(&request.network)?;
        if self.surroundings.registry.driver(&network.driver)?.capability().external {
            return Err(Error::unsupported(format!(
                "driver {} acts when it is asked, so it can't tell a plan beforehand",
                network.driver
            )));
        }
        let place = self.reserve(request, Lifetime::Attachment, Some(name.as_str())).await?;
        let planned = async {
            let _sandbox = self.take(Claim::Sandbox(sandbox)).await;
            let (sandbox, none) = (self.ready_sandbox(sandbox)?, Refused::new());
            let turn = self.state().ports.turn();
            let ports = self.promise_ports(
                place.driver.as_ref(),
                &place.network,
                &place.endpoint,
                &place.endpoint.wanted,
                &none,
            )?;
            let attachment = self.ask(&place, &sandbox, ports).await;
            self.state().ports.cancel(place.endpoint.id, turn);
            let attachment = attachment?;
            Ok(together(&self.sandbox_with(&sandbox, &place.network, &place.endpoint, &attachment), &attachment.plans))
        };
        let planned = planned.await;
        self.give_up(&place.network, &place.endpoint).await;
        planned
    }

    /// Attaches a place that is promised or reserved to a sandbox that stands.
    pub(super) async fn attach(self: &Arc<Self>, mut place: Reservation, sandbox: SandboxId) -> Result<Endpoint> {
        let outcome = self.enter(&mut place, sandbox, Door::Standing).await;
        if let Err(cause) = outcome {
            if let Err(error) = self.abandon(&place).await {
                tracing::error!(%error, "some of a failed attach is still owed");
            }
            return Err(cause.doing(attaching(&place)));
        }
        self.tell_connected(&place, sandbox);
        Ok(place.endpoint)
    }

    /// The one way in, for who has the sandbox in hand unless it stands. Where the host gave a port to another program,
    /// another one is tried. Whatever fails is still to be undone, by the one way out.
    pub(super) async fn enter(
        self: &Arc<Self>,
        place: &mut Reservation,
        sandbox: SandboxId,
        door: Door<'_>,
    ) -> Result<()> {
        if place.driver.capability().external {
            return self.enter_from_outside(place, sandbox, &door).await;
        }
        let _sandbox = self.claim_behind(&door, sandbox).await;
        let mut refused = Refused::new();
        loop {
            match self.attach_steps(place, sandbox, &door, &refused).await {
                Err(cause) if self.may_try_other_ports(&place.endpoint, &cause, &mut refused) => {
                    tracing::debug!(%cause, "trying other ports");
                    if let Err(error) = self.back_out(place).await {
                        tracing::error!(%error, "some of a failed try is still there");
                        return Err(cause);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    pub(super) fn tell_connected(&self, place: &Reservation, sandbox: SandboxId) {
        let attributes = [("network", place.network.name.to_string()), ("sandbox", sandbox.to_string())];
        self.tell(Subject::Endpoint, Action::Connect, place.endpoint.id, &place.endpoint.name, attributes);
    }

    async fn attach_steps(
        self: &Arc<Self>,
        place: &mut Reservation,
        sandbox: SandboxId,
        door: &Door<'_>,
        refused: &Refused,
    ) -> Result<()> {
        let sandbox = self.sandbox_behind(door, sandbox)?;
        check_place(place, &sandbox)?;
        let ports = self.promise_ports(
            place.driver.as_ref(),
            &place.network,
            &place.endpoint,
            &place.endpoint.wanted,
            refused,
        )?;
        let attachment = self.ask(place, &sandbox, ports).await?;
        self.settle_in(place, attachment, &sandbox, door).await
    }

    /// The sandbox, in hand; one that is being made is in its maker's.
    pub(super) async fn claim_behind(self: &Arc<Self>, door: &Door<'_>, sandbox: SandboxId) -> Option<Held> {
        match door {
            Door::Standing => Some(self.take(Claim::Sandbox(sandbox)).await),
            Door::HalfMade { .. } => None,
        }
    }

    /// The sandbox as it is now.
    pub(super) fn sandbox_behind(&self, door: &Door<'_>, id: SandboxId) -> Result<Arc<Sandbox>> {
        match door {
            Door::Standing => self.ready_sandbox(id),
            Door::HalfMade { sandbox: new, .. } => {
                let half = self.known_sandbox(id).ok();
                let half = half.filter(|half| matches!(half.state, SandboxState::Creating { .. }));
                Ok(half.unwrap_or_else(|| Arc::new(Sandbox::clone(new))))
            }
        }
    }

    /// Stores what a place comes to, makes it so, and stores that it is.
    pub(super) async fn settle_in(
        &self,
        place: &mut Reservation,
        attachment: Attachment,
        sandbox: &Sandbox,
        door: &Door<'_>,
    ) -> Result<()> {
        let before = sandbox.state.footprint();
        let after = self.sandbox_with(sandbox, &place.network, &place.endpoint, &attachment);
        let whole = together(&after, &attachment.plans);
        let _changing = self.changing.read().await;
        place.endpoint.state = EndpointState::Attaching(attachment.clone());
        self.commit_both(&place.endpoint, sandbox, sandbox.state.between(&before, &after)).await?;
        self.surroundings.kernel.replace(&before, &whole).await?;
        place.endpoint.state = EndpointState::Attached(attachment);
        let state = match door {
            Door::HalfMade { last: false, .. } => SandboxState::Creating { plan: after },
            _ => SandboxState::Ready { plan: after },
        };
        self.commit_both(&place.endpoint, sandbox, state).await
    }

    /// The driver's answer for a place in a sandbox.
    async fn ask(
        self: &Arc<Self>,
        place: &Reservation,
        sandbox: &Sandbox,
        ports: Vec<PortBinding>,
    ) -> Result<Attachment> {
        let Reservation { endpoint, network, driver, .. } = place;
        let wish = wish(driver.as_ref(), network, endpoint);
        let (interface, table) = self.choose_slot(wish, endpoint, sandbox).await?;
        let slot = Slot { namespace: sandbox.netns.namespace(), interface };
        let joined = driver.join(network, endpoint, &slot).await?;
        failpoint!("controller.driver-joined");
        let published = match ports.is_empty() {
            true => Plan::new(),
            false => driver.publish(network, endpoint, &ports).await?,
        };
        Ok(attachment(sandbox.id, joined, table, ports, published))
    }

    /// A link name and a routing table that nothing else in the sandbox has. A name that an endpoint on its way out
    /// still has is waited for.
    pub(super) async fn choose_slot(
        self: &Arc<Self>,
        wish: InterfaceName,
        endpoint: &Endpoint,
        sandbox: &Sandbox,
    ) -> Result<(IfName, u32)> {
        let chosen = self.free_slot(wish, endpoint, sandbox)?;
        let is_it = |other: &&Arc<Endpoint>| other.state.interface() == Some(&chosen.0) && other.state.has_a_link();
        let owing: Vec<EndpointId> = self.state().endpoints_in(sandbox.id).filter(is_it).map(|it| it.id).collect();
        self.hurry(owing).await;
        Ok(chosen)
    }

    /// A link name and a routing table that no endpoint in force has.
    fn free_slot(&self, wish: InterfaceName, endpoint: &Endpoint, sandbox: &Sandbox) -> Result<(IfName, u32)> {
        let state = self.state();
        let in_force = |it: &&Arc<Endpoint>| it.id != endpoint.id && it.state.attachment().is_some();
        let others: Vec<&Arc<Endpoint>> = state.endpoints_in(sandbox.id).filter(in_force).collect();
        let has_name = |name: &IfName| others.iter().any(|it| it.state.interface() == Some(name));
        let has_table = |table: u32| others.iter().any(|it| it.state.attachment().is_some_and(|it| it.table == table));
        let table = (FIRST_TABLE..).find(|table| !has_table(*table)).expect("there are more tables than endpoints");
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
        sandbox_plan(sandbox, &members)
    }

    /// The sandbox's plan once this endpoint is out of it.
    pub(super) fn sandbox_without(&self, sandbox: &Sandbox, endpoint: EndpointId) -> Plan {
        sandbox_plan(sandbox, &self.state().members(sandbox.id, Some(endpoint)))
    }

    /// Promises ports to an endpoint, or says who has them. Where a request names no address, the network may.
    pub(super) fn promise_ports(
        &self,
        driver: &dyn Driver,
        network: &Network,
        endpoint: &Endpoint,
        wanted: &[PortRequest],
        refused: &Refused,
    ) -> Result<Vec<PortBinding>> {
        let default = driver.default_address(network);
        let placed = |port: &PortRequest| PortRequest { address: port.address.or(default), ..port.clone() };
        let (wanted, opened): (Vec<PortRequest>, Vec<PortRequest>) =
            wanted.iter().map(placed).partition(|port| driver.takes_host_ports(network, port));
        let mut state = self.state();
        let clash = match state.ports.reserve(endpoint.id, &wanted, self.config.ephemeral, refused) {
            Ok(bindings) => return Ok(bindings.into_iter().chain(opened.iter().map(PortRequest::opened)).collect()),
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
                let holder = holder.map_or_else(|| "another program".to_owned(), told);
                Error::exhausted(format!(
                    "publishing {wanted}: every port of the range is taken, the first by {holder}"
                ))
            }
        })
    }

    /// Refuses ports of one endpoint that can't all be had, whatever the rest of the host has.
    pub(super) fn check_together(&self, network: &Network, wanted: &[PortRequest]) -> Result<()> {
        let driver = self.surroundings.registry.driver(&network.driver)?;
        let of_host = wanted.iter().filter(|port| driver.takes_host_ports(network, port)).cloned();
        check_among_themselves(&of_host.collect::<Vec<_>>())
    }

    /// Whether a failure was for a port that another program has, and another port may be had instead. The ones that
    /// were tried are not tried again.
    pub(super) fn may_try_other_ports(&self, endpoint: &Endpoint, cause: &Error, refused: &mut Refused) -> bool {
        if !is_port_taken(cause) || refused.len() >= MOST_REFUSED {
            return false;
        }
        let before = refused.len();
        refused.extend(self.state().ports.chosen(endpoint.id));
        refused.len() > before
    }

    pub(super) fn ready_sandbox(&self, id: SandboxId) -> Result<Arc<Sandbox>> {
        let sandbox = self.known_sandbox(id)?;
        match sandbox.state {
            // Between two plans with nobody at work on it: the end of a change could not be stored.
            SandboxState::Ready { .. } | SandboxState::Changing { .. } => Ok(sandbox),
            SandboxState::Creating { .. } => Err(Error::conflict(format!("sandbox {} is being made", sandbox.name))),
            SandboxState::Spare { .. } => Err(Error::not_found(format!("sandbox {} not found", id.short()))),
            SandboxState::Deleting { .. } => Err(Error::conflict(format!("sandbox {} is being removed", sandbox.name))),
        }
    }

    /// Stores an endpoint and its sandbox in one commit.
    pub(super) async fn commit_both(&self, endpoint: &Endpoint, sandbox: &Sandbox, state: SandboxState) -> Result<()> {
        self.commit(both(endpoint, sandbox, state)).await
    }
}

/// An endpoint, and its sandbox in this state.
pub(super) fn both(endpoint: &Endpoint, sandbox: &Sandbox, state: SandboxState) -> Vec<Change> {
    let sandbox = Sandbox { state, ..sandbox.clone() };
    vec![Change::Put(Record::Endpoint(Box::new(endpoint.clone()))), Change::Put(Record::Sandbox(sandbox))]
}

/// How an endpoint's link shall be called: as the user says, or else as the driver.
pub(super) fn wish(driver: &dyn Driver, network: &Network, endpoint: &Endpoint) -> InterfaceName {
    match &endpoint.interface {
        Some(name) => InterfaceName::Exactly(name.clone()),
        None => driver.interface_name(network, endpoint),
    }
}

/// What a driver's answers come to.
pub(super) fn attachment(
    sandbox: SandboxId,
    joined: Joined,
    table: u32,
    ports: Vec<PortBinding>,
    published: Plan,
) -> Attachment {
    Attachment {
        sandbox,
        interface: joined.interface,
        table,
        gateway_v4: joined.gateway_v4,
        gateway_v6: joined.gateway_v6,
        out_by_link_v4: joined.out_by_link_v4,
        out_by_link_v6: joined.out_by_link_v6,
        declines_gateway: joined.declines_gateway,
        ports,
        plans: Plans { link: joined.plan, ports: published },
    }
}

/// What is being done, for an error's sake.
pub(super) fn attaching(place: &Reservation) -> String {
    format!("attaching {} to {}", place.endpoint.name, place.network.name)
}

pub(super) fn check_place(place: &Reservation, sandbox: &Sandbox) -> Result<()> {
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
    if capability.ports == Ports::ViaBridge && !place.endpoint.wanted.is_empty() {
        return Err(Error::unsupported(format!(
            "driver {driver} of network {network} publishes no ports, and publishing them over the bridge network is not \
             possible yet; connect the sandbox to a bridge network too, and publish them there"
        )));
    }
    if capability.ports == Ports::NotApplicable && !place.endpoint.wanted.is_empty() {
        return Err(Error::invalid(format!("networks of driver {driver} publish no ports")));
    }
    Ok(())
}
