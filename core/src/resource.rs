//! What may exist in the kernel because of us, as plain data: one variant a kind.
//!
//! A resource says *what*, never *how*: the kernel layer knows netlink and nf_tables, and a firewall back end is free
//! to render an intent such as [`PublishedPort`] as it likes. Each resource has an [`Identity`]; two resources with
//! the same identity and other values are the same thing before and after a change, and are changed in place.

mod told;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::id::SandboxId;
use crate::mac::MacAddress;
use crate::name::IfName;
use crate::port::{PortRange, Protocol};
use crate::run::InRun;

/// The network namespace in which a resource lives.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// The controller's own: the host's, as far as we are concerned.
    Host,
    /// The one that we made behind this file, such as `/run/trestle/netns/0123456789ab`.
    At(PathBuf),
    /// One that somebody gave us. Its path is theirs, and may come to lead to another namespace: that is not this one.
    Given {
        /// The file that it was found behind, such as `/proc/PID/ns/net`.
        path: PathBuf,
        /// What tells it from every other namespace of this boot (`SO_NETNS_COOKIE`).
        cookie: u64,
    },
}

impl Namespace {
    /// The file that leads to it; none to the host's.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Host => None,
            Self::At(path) | Self::Given { path, .. } => Some(path),
        }
    }
}

/// One thing in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Resource {
    /// A network namespace that we make and name.
    Netns(Netns),
    /// The loopback link of a namespace, up.
    Loopback(Loopback),
    /// A setting under `/proc/sys`.
    Sysctl(Sysctl),
    /// A bridge.
    Bridge(Bridge),
    /// A pair of virtual Ethernet links: one end a bridge port, the other in a sandbox.
    Veth(Veth),
    /// A link that somebody else made in the host's namespace, moved into a sandbox.
    Moved(Moved),
    /// An address on a link.
    Address(Address),
    /// A route.
    Route(Route),
    /// A policy rule: packets from an address use a table of their own.
    SourceRule(SourceRule),
    /// The rules that every network shares: chains, empty maps, the guard of the loopback addresses.
    FirewallBase,
    /// How one network's traffic may flow.
    FirewallNetwork(FirewallNetwork),
    /// Packets to ports of the host go to a container.
    PublishedPort(PublishedPort),
    /// Ports of a container may be reached at its own address.
    OpenedPort(OpenedPort),
    /// A container that may reach itself through its own published ports: such packets are masqueraded.
    Hairpin(Hairpin),
    /// Published UDP that reaches a container over an endpoint which does not own the default route: masqueraded
    /// towards it, because a wildcard UDP socket picks its source by the default route.
    MasqueradedUdp(MasqueradedUdp),
    /// Where a sandbox asks for names.
    NameServer(NameServer),
}

/// See [`Resource::Netns`]. Ours to make and to remove; a namespace that somebody gave us is in no plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netns {
    /// The file it is bound to.
    pub path: PathBuf,
}

/// See [`Resource::Loopback`]. Removing it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loopback {
    /// Whose.
    pub namespace: Namespace,
}

/// See [`Resource::Sysctl`]. Settings can't bear a mark, so nobody sweeps them; the value before ours is kept here.
/// Removing one changes nothing unless [`Sysctl::put_back`] says so: others may have come to rely on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Whose: everything under `net` belongs to a namespace.
    pub namespace: Namespace,
    /// The path below `/proc/sys`, such as `net/ipv4/ip_forward`.
    pub key: String,
    /// What we want it to say.
    pub value: String,
    /// What it said before us, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<String>,
    /// Whether removing it makes it say what it said before us.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub put_back: bool,
}

/// See [`Resource::Bridge`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Its name.
    pub name: IfName,
    /// Who made it.
    pub owner: Owner,
    /// Its MAC address; fixed, because the kernel would otherwise follow the lowest one of its ports.
    pub mac: MacAddress,
    /// Bytes a packet may have.
    pub mtu: u32,
    /// Whether bridged packets pass the firewall (`IFLA_BR_NF_CALL_IPTABLES`, `…IP6TABLES`).
    pub filter_bridged: bool,
    /// Whether it has IPv6 at all, a link-local address included.
    pub ipv6: bool,
}

/// Who made a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// We: it bears our mark, and we remove it.
    Us,
    /// Somebody else: it is used as it stands, never configured, never removed.
    User,
}

/// See [`Resource::Veth`]. The peer is born inside its namespace, with its final name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veth {
    /// The name of the end in the host.
    pub name: IfName,
    /// The bridge that it is a port of.
    pub bridge: IfName,
    /// Bytes a packet may have, on both ends.
    pub mtu: u32,
    /// Whether the bridge port may send a frame back where it came from (needed where bridged packets pass the
    /// firewall and a container reaches itself through its own published port).
    pub hairpin: bool,
    /// The other end.
    pub peer: Peer,
}

/// The sandbox's end of a [`Veth`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Where it is born.
    pub namespace: Namespace,
    /// Its name there.
    pub name: IfName,
    /// Its MAC address.
    pub mac: MacAddress,
    /// Whether it has IPv6 at all, a link-local address included.
    pub ipv6: bool,
}

/// See [`Resource::Moved`]. While it is in the sandbox it bears our mark. Removing it puts it back under the name that it
/// had, and without its mark, for who made it to delete. What is not there, is ours, is the host's own or its way out, is
/// never moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Its name in the host's namespace.
    pub source: IfName,
    /// Where it is moved.
    pub namespace: Namespace,
    /// Its name there.
    pub name: IfName,
    /// The MAC address that it shall have; `None` leaves it what it has.
    pub mac: Option<MacAddress>,
}

/// See [`Resource::Address`]. Usable at once (no duplicate address detection), and announced to the neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Where the link is.
    pub namespace: Namespace,
    /// The link.
    pub link: IfName,
    /// The address and the length of its subnet's prefix.
    pub address: IpNet,
    /// How the neighbours are told.
    #[serde(default, skip_serializing_if = "Announcements::are_usual")]
    pub announcements: Announcements,
}

/// How often an address that is new is announced. Nobody waits for any of them; what is left of them when the address
/// goes is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcements {
    /// How many; the first goes out at once. With none, neighbours find out by themselves.
    pub count: u8,
    /// How many milliseconds lie between two of them.
    pub milliseconds_apart: u16,
}

impl Announcements {
    /// Whether they are as they are where nobody asks for anything else.
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Announcements {
    /// As Docker: three, a second apart.
    fn default() -> Self {
        Self { count: 3, milliseconds_apart: 1000 }
    }
}

/// See [`Resource::Route`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Whose routing table.
    pub namespace: Namespace,
    /// Which routing table: 254 is the main one (linux/rtnetlink.h).
    pub table: u32,
    /// Where to; a prefix length of 0 is the default route.
    pub destination: IpNet,
    /// The next hop; `None` where the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    /// By which link.
    pub link: IfName,
}

/// The main routing table (`RT_TABLE_MAIN`, linux/rtnetlink.h).
pub const MAIN_TABLE: u32 = 254;

/// See [`Resource::SourceRule`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRule {
    /// Whose rules.
    pub namespace: Namespace,
    /// The address that packets come from.
    pub from: IpAddr,
    /// The table that they use.
    pub table: u32,
    /// The order among rules; the main table's is 32766, lower goes first.
    pub priority: u32,
}

/// See [`Resource::FirewallNetwork`]. Two networks never talk to each other but through published ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallNetwork {
    /// The network's link.
    pub bridge: IfName,
    /// What containers of the network may say to each other.
    pub inside: Inside,
    /// Whether packets may leave the network at all, and enter it.
    pub internal: bool,
    /// How IPv4 packets get in; counts less than [`FirewallNetwork::internal`].
    #[serde(default, skip_serializing_if = "GatewayMode::is_usual")]
    pub gateway_v4: GatewayMode,
    /// How IPv6 packets get in; counts less than [`FirewallNetwork::internal`].
    #[serde(default, skip_serializing_if = "GatewayMode::is_usual")]
    pub gateway_v6: GatewayMode,
    /// Links by which [opened ports](OpenedPort) are reached although the gateway mode is [`GatewayMode::Nat`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<IfName>,
    /// Whether IPv4 packets that leave bear the host's address.
    pub masquerade_v4: bool,
    /// Whether IPv6 packets that leave bear the host's address.
    pub masquerade_v6: bool,
    /// Which address they bear, where IPv4 is masqueraded; `None` is that of the link by which they leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_v4: Option<Ipv4Addr>,
    /// Which address they bear, where IPv6 is masqueraded; `None` is that of the link by which they leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_v6: Option<Ipv6Addr>,
    /// Whether the bridge's own traffic passes the firewall; where not, port traffic between two of its containers
    /// is masqueraded, for its answer would otherwise go past the translation.
    pub filter_bridged: bool,
}

/// How packets of one family get into a network from elsewhere. Answers, and what belongs to a connection, always do;
/// from its own host everything does, but for [`GatewayMode::Isolated`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayMode {
    /// By [published ports](PublishedPort) only; and by the trusted links to [opened ports](OpenedPort) too.
    #[default]
    Nat,
    /// By published ports from other networks of ours; from all other links, to every port of every container.
    NatUnprotected,
    /// To opened ports, and ICMP, from everywhere. Nothing is translated.
    Routed,
    /// Not at all, and neither to nor from the host: only internal networks have it.
    Isolated,
}

impl GatewayMode {
    /// Whether it is the one of networks that ask for none.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What containers of one network may say to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inside {
    /// Everything.
    Open,
    /// Only what goes through a published port, or to an opened one where the gateway mode is [`GatewayMode::Routed`].
    PublishedOnly,
}

/// See [`Resource::PublishedPort`]. Where the host has sockets for the protocol, the ports are also held by one, so
/// that no other program takes them; what reaches that socket, because a table can't translate it (`::1`, or IPv6 to
/// a container without), is relayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The protocol.
    pub protocol: Protocol,
    /// The address of the host; `None` is every address of both families, `0.0.0.0` and `::` every one of theirs.
    pub address: Option<IpAddr>,
    /// The host's ports.
    pub host: PortRange,
    /// The container's ports, one for one.
    pub container: PortRange,
    /// The container's IPv4 address, if it has one.
    pub to_v4: Option<Ipv4Addr>,
    /// The container's IPv6 address, if it has one.
    pub to_v6: Option<Ipv6Addr>,
}

/// See [`Resource::OpenedPort`]. From where, the [`GatewayMode`] of the container's network says. Nothing is translated,
/// and no port of the host is held for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedPort {
    /// The protocol.
    pub protocol: Protocol,
    /// The container's address.
    pub address: IpAddr,
    /// The container's ports. Those of one address never overlap.
    pub ports: PortRange,
}

/// See [`Resource::Hairpin`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hairpin {
    /// The container's address.
    pub address: IpAddr,
}

/// See [`Resource::MasqueradedUdp`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasqueradedUdp {
    /// The container's address.
    pub address: IpAddr,
}

/// See [`Resource::NameServer`]. Sockets inside the namespace on ports of their own, and a redirect of port 53 of
/// [`NAME_SERVER_V4`] and [`NAME_SERVER_V6`] to them, so that a container's own server still has its port 53. Whoever
/// answers there is the [`NameService`](crate::name_service::NameService)'s business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameServer {
    /// Where.
    pub namespace: Namespace,
    /// Who asks.
    pub sandbox: SandboxId,
    /// Whether there is IPv6.
    pub ipv6: bool,
}

/// Where sandboxes ask for names: as Docker's.
pub const NAME_SERVER_V4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The same for IPv6, which has but one loopback address: an address of our own (RFC 4193) on the loopback link.
pub const NAME_SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd74, 0x7265, 0x7374, 0x6c65, 0, 0, 0, 0x53);

/// What makes a resource itself, whatever its values. Equal identities can't exist twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant has the name and the identifying fields of its resource")]
pub enum Identity<'a> {
    Netns(&'a PathBuf),
    Loopback(&'a Namespace),
    Sysctl(&'a Namespace, &'a str),
    Link(&'a IfName),
    Moved(&'a Namespace, &'a IfName),
    Address(&'a Namespace, &'a IfName, IpNet),
    Route(&'a Namespace, u32, IpNet),
    SourceRule(&'a Namespace, IpAddr, u32),
    FirewallBase,
    FirewallNetwork(&'a IfName),
    PublishedPort(Protocol, Option<IpAddr>, PortRange),
    OpenedPort(Protocol, IpAddr, PortRange),
    Hairpin(IpAddr),
    MasqueradedUdp(IpAddr),
    NameServer(&'a Namespace),
}

impl Resource {
    /// Whether it is of the firewall: a door that opens and shuts, not what stands behind it.
    pub fn is_firewall(&self) -> bool {
        matches!(
            self,
            Self::FirewallBase
                | Self::FirewallNetwork(_)
                | Self::PublishedPort(_)
                | Self::OpenedPort(_)
                | Self::Hairpin(_)
                | Self::MasqueradedUdp(_)
        )
    }

    /// The sandbox's namespace that it lies in, or reaches into; none if it lies in the host's alone.
    pub fn sandbox(&self) -> Option<&Namespace> {
        let namespace = match self {
            Self::Loopback(it) => &it.namespace,
            Self::Sysctl(it) => &it.namespace,
            Self::Veth(it) => &it.peer.namespace,
            Self::Moved(it) => &it.namespace,
            Self::Address(it) => &it.namespace,
            Self::Route(it) => &it.namespace,
            Self::SourceRule(it) => &it.namespace,
            Self::NameServer(it) => &it.namespace,
            _ => return None,
        };
        (*namespace != Namespace::Host).then_some(namespace)
    }

    /// The same, with another name for a link in a sandbox: of the link itself, or of the one that it is by.
    #[must_use]
    pub fn with_link_named(&self, namespace: &Namespace, before: &IfName, after: &IfName) -> Self {
        let is_it = |at: &Namespace, link: &IfName| at == namespace && link == before;
        match self {
            Self::Moved(it) if is_it(&it.namespace, &it.name) => {
                Self::Moved(Moved { name: after.clone(), ..it.clone() })
            }
            Self::Address(it) if is_it(&it.namespace, &it.link) => {
                Self::Address(Address { link: after.clone(), ..it.clone() })
            }
            Self::Route(it) if is_it(&it.namespace, &it.link) => {
                Self::Route(Route { link: after.clone(), ..it.clone() })
            }
            other => other.clone(),
        }
    }

    /// Whether it is an address on this link of a sandbox, or a route by it.
    pub fn is_by(&self, namespace: &Namespace, link: &IfName) -> bool {
        match self {
            Self::Address(it) => it.namespace == *namespace && it.link == *link,
            Self::Route(it) => it.namespace == *namespace && it.link == *link,
            _ => false,
        }
    }

    /// Whether several networks may want the very same one; it lives until the last of them lets go.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::FirewallBase | Self::Sysctl(_))
    }

    /// What makes it itself.
    pub fn identity(&self) -> Identity<'_> {
        match self {
            Self::Netns(it) => Identity::Netns(&it.path),
            Self::Loopback(it) => Identity::Loopback(&it.namespace),
            Self::Sysctl(it) => Identity::Sysctl(&it.namespace, &it.key),
            Self::Bridge(it) => Identity::Link(&it.name),
            Self::Veth(it) => Identity::Link(&it.name),
            Self::Moved(it) => Identity::Moved(&it.namespace, &it.name),
            Self::Address(it) => Identity::Address(&it.namespace, &it.link, it.address),
            Self::Route(it) => Identity::Route(&it.namespace, it.table, it.destination.trunc()),
            Self::SourceRule(it) => Identity::SourceRule(&it.namespace, it.from, it.table),
            Self::FirewallBase => Identity::FirewallBase,
            Self::FirewallNetwork(it) => Identity::FirewallNetwork(&it.bridge),
            Self::PublishedPort(it) => Identity::PublishedPort(it.protocol, it.address, it.host),
            Self::OpenedPort(it) => Identity::OpenedPort(it.protocol, it.address, it.ports),
            Self::Hairpin(it) => Identity::Hairpin(it.address),
            Self::MasqueradedUdp(it) => Identity::MasqueradedUdp(it.address),
            Self::NameServer(it) => Identity::NameServer(&it.namespace),
        }
    }
}

impl InRun for Resource {
    fn further(&self, ports: u16) -> Option<Self> {
        match self {
            Self::PublishedPort(it) => Some(Self::PublishedPort(PublishedPort {
                host: it.host.further(ports)?,
                container: it.container.further(ports)?,
                ..it.clone()
            })),
            Self::OpenedPort(it) => {
                Some(Self::OpenedPort(OpenedPort { ports: it.ports.further(ports)?, ..it.clone() }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_that_were_stored_before_gateway_modes_mean_what_they_meant_and_are_written_as_they_were() {
        for stored in [
            r#"{"kind":"firewall_network","bridge":"br0","inside":"open","internal":false,"masquerade_v4":true,"masquerade_v6":false,"filter_bridged":true}"#,
            r#"{"kind":"address","namespace":"host","link":"br0","address":"10.1.0.1/24"}"#,
        ] {
            let resource: Resource = serde_json::from_str(stored).unwrap();
            match &resource {
                Resource::FirewallNetwork(it) => {
                    assert_eq!([it.gateway_v4, it.gateway_v6], [GatewayMode::Nat; 2]);
                    assert_eq!((&it.trusted[..], it.source_v4, it.source_v6), (&[][..], None, None));
                }
                Resource::Address(it) => assert_eq!(it.announcements, Announcements::default()),
                other => panic!("{other:?}"),
            }
            assert_eq!(serde_json::to_string(&resource).unwrap(), stored);
        }
    }
}
