//! A sandbox's own plan, as a pure function of the endpoints in it: namespace, loopback, who goes out which way, and
//! where it asks for names.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::endpoint::{Attachment, Endpoint, Plans};
use crate::name::IfName;
use crate::network::Network;
use crate::plan::Plan;
use crate::port::{PortBinding, Protocol};
use crate::resource::{
    Loopback, MAIN_TABLE, MasqueradedUdp, NameServer, Namespace, Netns, Resource, Route, SourceRule,
};
use crate::sandbox::{Sandbox, SandboxNetns};

/// The first routing table for endpoints that do not own the default route; 84 is our mark.
pub(super) const FIRST_TABLE: u32 = 84_000;

/// Before the main table's rule (32766), after the local one's (0).
const RULE_PRIORITY: u32 = 8_400;

/// An endpoint in a sandbox.
pub(super) struct Member<'a> {
    pub(super) network: &'a Network,
    pub(super) endpoint: &'a Endpoint,
    pub(super) attachment: &'a Attachment,
}

/// What a sandbox with these endpoints needs beyond what the endpoints bring.
///
/// IPv4 and IPv6 each have their default route by the endpoint that comes first in [`Member::rank`] and has a gateway
/// of the family. Every other endpoint with a gateway has a routing table of its own, used by packets from its
/// address, so that answers leave by the way the questions came.
pub(super) fn sandbox_plan(sandbox: &Sandbox, members: &[Member<'_>]) -> Plan {
    let netns = &sandbox.netns;
    let mut ranked: Vec<&Member<'_>> = members.iter().collect();
    ranked.sort_by_key(|member| member.rank());
    let mut plan = ground(netns);
    ways_out(netns, ranked.iter().filter_map(|member| member.way_out_v4()), "0.0.0.0/0", &mut plan);
    ways_out(netns, ranked.iter().filter_map(|member| member.way_out_v6()), "::/0", &mut plan);
    if let Some(server) = name_server(sandbox, members) {
        plan.push(Resource::NameServer(server));
    }
    plan
}

/// Where a sandbox asks for names, if it wants any and is on a network where there are some. IPv6 comes with the first
/// IPv6 address and stays away before, for a sandbox may have it switched off.
fn name_server(sandbox: &Sandbox, members: &[Member<'_>]) -> Option<NameServer> {
    let namespace = sandbox.netns.namespace();
    if sandbox.naming.is_none() || namespace == Namespace::Host {
        return None;
    }
    let mut leases = members
        .iter()
        .filter(|member| member.network.has_names())
        .filter_map(|it| it.endpoint.lease.as_ref())
        .peekable();
    leases.peek()?;
    Some(NameServer { namespace, sandbox: sandbox.id, ipv6: leases.any(|lease| lease.v6.is_some()) })
}

/// A sandbox's plan and an endpoint's as one, in the order in which they are made: namespace, links, routes, doors.
pub(super) fn together(sandbox: &Plan, plans: &Plans) -> Plan {
    let is_ground = |resource: &&Resource| matches!(resource, Resource::Netns(_) | Resource::Loopback(_));
    let ground: Plan = sandbox.resources().iter().filter(is_ground).cloned().collect();
    let ways: Plan = sandbox.resources().iter().filter(|resource| !is_ground(resource)).cloned().collect();
    ground.then(&plans.link).then(&ways).then(&plans.ports)
}

/// The namespace itself. A given one is its owner's to set up, but a loopback that is down helps nobody.
fn ground(netns: &SandboxNetns) -> Plan {
    match netns {
        SandboxNetns::Made { path } => Plan::from(vec![
            Resource::Netns(Netns { path: path.clone() }),
            Resource::Loopback(Loopback { namespace: netns.namespace() }),
        ]),
        SandboxNetns::Given { .. } => Plan::from(vec![Resource::Loopback(Loopback { namespace: netns.namespace() })]),
        SandboxNetns::Host => Plan::new(),
    }
}

/// How packets of one endpoint leave, in one family.
struct WayOut<'a> {
    link: &'a IfName,
    address: IpNet,
    /// `None` where everything is on the link itself.
    gateway: Option<IpAddr>,
    table: u32,
    has_udp_ports: bool,
}

impl Member<'_> {
    /// Smaller goes first: larger priority; not internal; gateways of both families; the primary network; by name.
    fn rank(&self) -> impl Ord + use<'_> {
        let ways_out = usize::from(self.attachment.leads_out_v4()) + usize::from(self.attachment.leads_out_v6());
        (
            Reverse(self.endpoint.priority),
            self.network.internal,
            Reverse(ways_out),
            Reverse(self.endpoint.primary),
            &self.network.name,
            self.endpoint.id,
        )
    }

    fn way_out_v4(&self) -> Option<WayOut<'_>> {
        let address: Ipv4Net = self.endpoint.lease.as_ref()?.v4?;
        let gateway = self.attachment.gateway_v4.map(IpAddr::from);
        self.attachment.leads_out_v4().then(|| self.way_out(address.into(), gateway))?
    }

    fn way_out_v6(&self) -> Option<WayOut<'_>> {
        let address: Ipv6Net = self.endpoint.lease.as_ref()?.v6?;
        let gateway = self.attachment.gateway_v6.map(IpAddr::from);
        self.attachment.leads_out_v6().then(|| self.way_out(address.into(), gateway))?
    }

    fn way_out(&self, address: IpNet, gateway: Option<IpAddr>) -> Option<WayOut<'_>> {
        Some(WayOut {
            link: self.attachment.interface.as_ref()?,
            address,
            gateway,
            table: self.attachment.table,
            has_udp_ports: self.attachment.ports.iter().any(is_translated_udp),
        })
    }
}

/// What is opened at the container's own address is not translated, and so can't be masqueraded.
fn is_translated_udp(port: &PortBinding) -> bool {
    port.protocol == Protocol::Udp && port.host.is_some()
}

/// The first way is everybody's; each other one is that of its own address.
fn ways_out<'a>(netns: &SandboxNetns, ways: impl Iterator<Item = WayOut<'a>>, everywhere: &str, plan: &mut Plan) {
    let everywhere: IpNet = everywhere.parse().expect("a default route's destination is written right");
    let route = |way: &WayOut<'_>, table, destination, gateway| {
        let (namespace, link) = (netns.namespace(), way.link.clone());
        Resource::Route(Route { namespace, table, destination, gateway, link })
    };
    for (place, way) in ways.enumerate() {
        if place == 0 {
            plan.push(route(&way, MAIN_TABLE, everywhere, way.gateway));
            continue;
        }
        plan.push(route(&way, way.table, way.address.trunc(), None));
        plan.push(route(&way, way.table, everywhere, way.gateway));
        plan.push(Resource::SourceRule(SourceRule {
            namespace: netns.namespace(),
            from: way.address.addr(),
            table: way.table,
            priority: RULE_PRIORITY,
        }));
        if way.has_udp_ports {
            plan.push(Resource::MasqueradedUdp(MasqueradedUdp { address: way.address.addr() }));
        }
    }
}
