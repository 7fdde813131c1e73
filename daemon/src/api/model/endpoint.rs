//! Endpoints, and the ports they publish.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use trestle_core::controller::request::EndpointRequest;
use trestle_core::dns::{EndpointNames, Link};
use trestle_core::endpoint::{self, EndpointState, Lease, Lifetime};
use trestle_core::network::Network;
use trestle_core::port::{ExposedPort, PortBinding, PortRange, PortRequest, Protocol};
use trestle_core::resource::Resource;
use trestle_core::sandbox::Sandbox;
use trestle_core::{Doing, Error, Plan, Result};

use super::naming::{each, names};
use super::{Named, json, read, read_with, shown};

/// An endpoint to create, or to create and attach.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEndpoint {
    /// The network: id, name, or beginning of an id.
    pub network: String,
    /// Unique on the network; if not given, the sandbox's name, or one made from the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its IPv4 address; any free one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// Its IPv6 address; any free one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// Its MAC address; a random one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Ports its programs are said to listen on: `80`, `8000-8010/udp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<String>,
    /// Ports to publish while it is attached: `[ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// The driver's options for it.
    #[serde(default, deserialize_with = "json::unique", skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Larger wins the sandbox's default route.
    #[serde(default)]
    pub priority: i64,
    /// Whether the network is the container's main one; wins the default route among equals.
    #[serde(default)]
    pub primary: bool,
    /// The name for its link in the sandbox; the next free `eth` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What everybody on the network calls it, beside its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What its sandbox calls others on the network: `NAME:ALIAS`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
}

impl NewEndpoint {
    /// What is asked of the controller.
    ///
    /// # Errors
    /// `Invalid`, with the field's name.
    pub fn read(self) -> Result<EndpointRequest> {
        Ok(EndpointRequest {
            network: reference("network", self.network)?,
            name: read_with("name", self.name, |text| text.try_into())?,
            v4: self.ipv4.map(|text| read("ipv4", &text, "an IPv4 address")).transpose()?,
            v6: self.ipv6.map(|text| read("ipv6", &text, "an IPv6 address")).transpose()?,
            mac: read_with("mac", self.mac, |text| text.parse())?,
            exposed: exposed_ports("exposed", &self.exposed)?,
            ports: port_requests("ports", &self.ports)?,
            options: self.options,
            priority: self.priority,
            primary: self.primary,
            interface: read_with("interface", self.interface, |text| text.try_into())?,
            names: endpoint_names(&self.aliases, &self.links)?,
        })
    }
}

fn endpoint_names(aliases: &[String], links: &[String]) -> Result<EndpointNames> {
    Ok(EndpointNames { aliases: names("aliases", aliases)?, links: each("links", links, str::parse::<Link>)? })
}

/// What an endpoint is called from now on, in place of before.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// What everybody on the network calls it, beside its name.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What its sandbox calls others on the network: `NAME:ALIAS`.
    #[serde(default)]
    pub links: Vec<String>,
}

impl Calls {
    /// The names.
    ///
    /// # Errors
    /// `Invalid`, with the field's name.
    pub fn read(self) -> Result<EndpointNames> {
        endpoint_names(&self.aliases, &self.links)
    }
}

/// Ports to publish, or to take back.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PortList {
    /// To publish: `[ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]`. To take back the same, or as much of
    /// it as tells: `80`, `8000-8010/udp`.
    pub ports: Vec<String>,
}

impl PortList {
    /// What shall be published, or taken back.
    pub fn read_requests(&self) -> Result<Vec<PortRequest>> {
        self.some()?;
        port_requests("ports", &self.ports)
    }

    fn some(&self) -> Result<()> {
        match self.ports.is_empty() {
            true => Err(Error::invalid("ports: at least one is needed")),
            false => Ok(()),
        }
    }
}

/// The sandbox that an endpoint is to join.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinSandbox {
    /// Id, name, or beginning of an id.
    pub sandbox: String,
}

impl JoinSandbox {
    /// The sandbox's name, which is not empty.
    pub fn read(self) -> Result<String> {
        reference("sandbox", self.sandbox)
    }
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Published {
    /// Every port of the endpoint: `0.0.0.0:8080:80/tcp`.
    pub ports: Vec<String>,
}

impl From<Vec<PortBinding>> for Published {
    fn from(bindings: Vec<PortBinding>) -> Self {
        Self { ports: bindings.iter().map(PortBinding::to_string).collect() }
    }
}

/// A port that is published, or a range of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedPort {
    /// With every question answered: `0.0.0.0:8080:80/tcp`. Without a port of the host, `80/tcp`, where the network is
    /// routed.
    pub port: String,
    /// The container's own addresses at which the port is open too: to everybody where the network is routed, else to
    /// its trusted links.
    pub opened: Vec<String>,
    /// Whether a socket holds it, so that no other program of the host takes it. If not, it is only mapped.
    pub held: bool,
    /// Whether the container sees its network's gateway as the sender. So it is with UDP where another endpoint has the
    /// default route.
    pub masqueraded: bool,
}

impl PublishedPort {
    fn new(port: &PortBinding, opened: &Opened, masqueraded: &[IpAddr], can_hold: fn(Protocol) -> bool) -> Self {
        // A port of one family leads to the container's address of that family.
        let leads_to = |to: &&IpAddr| port.address.is_none_or(|at| at.is_ipv4() == to.is_ipv4());
        Self {
            port: port.to_string(),
            opened: opened.at(port).filter(leads_to).map(IpAddr::to_string).collect(),
            held: port.host.is_some() && can_hold(port.protocol),
            masqueraded: is_translated_udp(port) && masqueraded.iter().any(|to| leads_to(&to)),
        }
    }
}

fn is_translated_udp(port: &PortBinding) -> bool {
    port.protocol == Protocol::Udp && port.host.is_some()
}

/// What an endpoint's plan opens at the container's own addresses. No two ranges of an address overlap.
struct Opened(BTreeMap<(Protocol, IpAddr), Vec<PortRange>>);

impl Opened {
    fn by(plan: &Plan) -> Self {
        let mut opened: BTreeMap<_, Vec<PortRange>> = BTreeMap::new();
        for resource in plan.resources() {
            if let Resource::OpenedPort(it) = resource {
                opened.entry((it.protocol, it.address)).or_default().push(it.ports);
            }
        }
        opened.values_mut().for_each(|ports| ports.sort_unstable());
        Self(opened)
    }

    /// Where a port is open.
    fn at(&self, port: &PortBinding) -> impl Iterator<Item = &IpAddr> {
        let (protocol, wanted) = (port.protocol, port.container);
        let opens = move |ports: &[PortRange]| {
            let after = ports.partition_point(|it| it.first() <= wanted.first());
            after.checked_sub(1).is_some_and(|at| ports[at].contains(&wanted))
        };
        let of_protocol = self.0.iter().filter(move |((of, _), _)| *of == protocol);
        of_protocol.filter(move |(_, ports)| opens(ports)).map(|((_, address), _)| address)
    }
}

/// Those of the endpoint's addresses towards which its sandbox's plan masquerades UDP, if it publishes any.
fn masqueraded(endpoint: &endpoint::Endpoint, sandbox: Option<&Sandbox>, bindings: &[PortBinding]) -> Vec<IpAddr> {
    if !bindings.iter().any(is_translated_udp) {
        return Vec::new();
    }
    let own: Vec<IpAddr> = endpoint.lease.iter().flat_map(Lease::addresses).collect();
    let plan = sandbox.map(|sandbox| sandbox.state.footprint()).unwrap_or_default();
    let masqueraded = plan.resources().iter().filter_map(|resource| match resource {
        Resource::MasqueradedUdp(it) => Some(it.address),
        _ => None,
    });
    masqueraded.filter(|address| own.contains(address)).collect()
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// 64 hexadecimal digits, for ever.
    pub id: String,
    /// Unique on its network.
    pub name: String,
    /// `reserved`, `joining`, `attaching`, `attached`, `changing` or `detaching`.
    pub state: String,
    /// The network that it is a place on.
    pub network: Named,
    /// The sandbox that it is in, on its way to or from.
    pub sandbox: Option<Named>,
    /// What it lives as long as: `explicit` until it is deleted, `attachment` until it is disconnected.
    pub lifetime: String,
    /// Its IPv4 address with the length of the subnet's prefix.
    pub ipv4: Option<String>,
    /// Its IPv6 address with the length of the subnet's prefix.
    pub ipv6: Option<String>,
    /// Its MAC address.
    pub mac: String,
    /// The way out for IPv4, if it has one.
    pub gateway_v4: Option<String>,
    /// The way out for IPv6, if it has one.
    pub gateway_v6: Option<String>,
    /// The link's name in the sandbox: the one it has, else the one asked for.
    pub interface: Option<String>,
    /// Ports its programs are said to listen on.
    pub exposed: Vec<String>,
    /// Ports that shall be published while it is attached.
    pub ports: Vec<String>,
    /// Ports that are published.
    pub published: Vec<PublishedPort>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Larger wins the sandbox's default route.
    pub priority: i64,
    /// Whether its network is the container's main one.
    pub primary: bool,
    /// What everybody on the network calls it, beside its name.
    pub aliases: Vec<String>,
    /// What its sandbox calls others on the network.
    pub links: Vec<String>,
    /// What of a detached one is not done yet.
    pub owed: Vec<String>,
}

impl Endpoint {
    /// As the controller knows it, with the names of what it belongs to, as far as these are still there.
    /// `can_hold` tells of which protocols ports are held.
    pub fn new(
        endpoint: &endpoint::Endpoint,
        network: Option<&Network>,
        sandbox: Option<&Sandbox>,
        can_hold: fn(Protocol) -> bool,
    ) -> Self {
        let attachment = endpoint.state.attachment();
        let opened = attachment.map_or_else(|| Opened(BTreeMap::new()), |it| Opened::by(&it.plans.ports));
        let bindings = attachment.map(|it| it.ports.as_slice()).unwrap_or_default();
        let masqueraded = masqueraded(endpoint, sandbox, bindings);
        let lease = endpoint.lease.clone().unwrap_or_default();
        let name = |network: &Network| network.name.to_string();
        let owed = match &endpoint.state {
            EndpointState::Detaching { owed, .. } => owed.as_slice(),
            _ => &[],
        };
        let lifetime = match endpoint.lifetime {
            Lifetime::Explicit => "explicit",
            Lifetime::Attachment => "attachment",
        };
        let interface = endpoint.state.interface().or(endpoint.interface.as_ref());
        Self {
            id: endpoint.id.to_string(),
            name: endpoint.name.to_string(),
            state: endpoint.state.name().into(),
            network: Named { id: endpoint.network.to_string(), name: network.map(name).unwrap_or_default() },
            sandbox: endpoint.state.sandbox().map(|id| Named {
                id: id.to_string(),
                name: sandbox.map(|sandbox| sandbox.name.to_string()).unwrap_or_default(),
            }),
            lifetime: lifetime.into(),
            ipv4: lease.v4.map(|address| address.to_string()),
            ipv6: lease.v6.map(|address| address.to_string()),
            mac: endpoint.mac.to_string(),
            gateway_v4: attachment.and_then(|it| it.gateway_v4).map(|address| address.to_string()),
            gateway_v6: attachment.and_then(|it| it.gateway_v6).map(|address| address.to_string()),
            interface: interface.map(|name| name.to_string()),
            exposed: endpoint.exposed.iter().map(ExposedPort::to_string).collect(),
            ports: endpoint.wanted.iter().map(PortRequest::to_string).collect(),
            published: bindings.iter().map(|port| PublishedPort::new(port, &opened, &masqueraded, can_hold)).collect(),
            options: endpoint.options.clone(),
            priority: endpoint.priority,
            primary: endpoint.primary,
            aliases: endpoint.names.aliases.iter().map(ToString::to_string).collect(),
            links: endpoint.names.links.iter().map(ToString::to_string).collect(),
            owed: owed.iter().map(owed_name).map(str::to_owned).collect(),
        }
    }
}

fn owed_name(owed: &endpoint::Owed) -> &'static str {
    match owed {
        endpoint::Owed::Cut => "cut",
        endpoint::Owed::Leave => "leave",
        endpoint::Owed::Reap => "reap",
        endpoint::Owed::Forget => "forget",
    }
}

/// The name of an object that must be there: anything but nothing.
pub(super) fn reference(field: &str, text: String) -> Result<String> {
    match text.is_empty() {
        true => Err(Error::invalid(format!("{field}: it is empty; a name or an id is needed"))),
        false => Ok(text),
    }
}

fn port_requests(field: &str, texts: &[String]) -> Result<Vec<PortRequest>> {
    let texts = texts.iter().enumerate();
    texts
        .map(|(index, text)| text.parse::<PortRequest>().doing(|| format!("{field}[{index}]: {:?}", shown(text))))
        .collect()
}

fn exposed_ports(field: &str, texts: &[String]) -> Result<Vec<ExposedPort>> {
    let texts = texts.iter().enumerate();
    texts.map(|(index, text)| exposed_port(text).doing(|| format!("{field}[{index}]: {:?}", shown(text)))).collect()
}

/// Reads `80`, `80/tcp`, `8000-8010/udp`.
pub fn exposed_port(text: &str) -> Result<ExposedPort> {
    let (ports, protocol) = match text.rsplit_once('/') {
        Some((ports, protocol)) => (ports, protocol.parse()?),
        None => (text, Protocol::Tcp),
    };
    Ok(ExposedPort { ports: ports.parse::<PortRange>()?, protocol })
}
