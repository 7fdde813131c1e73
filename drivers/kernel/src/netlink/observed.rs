//! What the kernel says is there: links, addresses, routes and rules, with the few fields that we look at.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::NlasIterator;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridge, InfoBridgePort, InfoData, InfoPortData, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use trestle_core::mac::MacAddress;

use super::Answer;
use crate::mark::{Instance, PROTOCOL};

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// Empty for hardware.
    pub(crate) kind: String,
    pub(crate) group: u32,
    pub(crate) mtu: u32,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) up: bool,
    pub(crate) loopback: bool,
    /// The bridge that it is a port of.
    pub(crate) master: Option<u32>,
    /// For one end of a pair: the other's index, in the other's namespace.
    pub(crate) partner: Option<u32>,
    pub(crate) hairpin: Option<bool>,
    pub(crate) filter_bridged: Option<bool>,
    /// Whether it gives itself a link-local IPv6 address.
    pub(crate) generates_addresses: Option<bool>,
}

impl Link {
    /// Whether it bears our mark, in use or cut off.
    pub(crate) fn is_ours(&self, instance: Instance) -> bool {
        self.is_live(instance) || self.is_doomed(instance)
    }

    pub(crate) fn is_live(&self, instance: Instance) -> bool {
        self.group == instance.live_group()
    }

    pub(crate) fn is_doomed(&self, instance: Instance) -> bool {
        self.group == instance.doomed_group()
    }

    pub(crate) fn of_message(message: &RouteNetlinkMessage) -> Option<Self> {
        match message {
            RouteNetlinkMessage::NewLink(link) => Some(Self::of(link)),
            _ => None,
        }
    }

    fn of(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            up: message.header.flags.contains(LinkFlags::Up),
            loopback: message.header.flags.contains(LinkFlags::Loopback),
            ..Self::default()
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Group(group) => link.group = *group,
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(octets) => {
                    link.mac = <[u8; 6]>::try_from(octets.as_slice()).ok().and_then(|it| it.try_into().ok());
                }
                LinkAttribute::Controller(index) => link.master = Some(*index),
                LinkAttribute::Link(index) => link.partner = Some(*index),
                LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|info| link.learn(info)),
                LinkAttribute::AfSpecUnspec(families) => link.learn_families(families),
                _ => {}
            }
        }
        link
    }

    fn learn(&mut self, info: &LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = kind.to_string(),
            LinkInfo::Data(InfoData::Bridge(bridge)) => {
                self.filter_bridged =
                    bridge.iter().find_map(|it| if let InfoBridge::NfCallIpTables(on) = it { Some(*on) } else { None });
            }
            LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                self.hairpin =
                    port.iter().find_map(|it| if let InfoBridgePort::HairpinMode(on) = it { Some(*on) } else { None });
            }
            _ => {}
        }
    }

    fn learn_families(&mut self, families: &[AfSpecUnspec]) {
        let inet6 = families.iter().find_map(|it| if let AfSpecUnspec::Inet6(it) = it { Some(it) } else { None });
        self.generates_addresses = inet6.into_iter().flatten().find_map(|it| match it {
            AfSpecInet6::AddrGenMode(mode) => Some(*mode != In6AddrGenMode::None),
            _ => None,
        });
    }
}

/// The link of an answered [`get_link`](super::message::get_link); `None` if there is no such link.
pub(crate) fn link(answer: &Answer) -> Option<Link> {
    answer.as_ref().ok()?.iter().find_map(Link::of_message)
}

/// An address on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenAddress {
    pub(crate) link: u32,
    pub(crate) address: IpNet,
    /// Whether it bears our number.
    pub(crate) ours: bool,
}

impl SeenAddress {
    pub(crate) fn of(message: &RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewAddress(message) = message else { return None };
        let address = IpNet::new(local(message)?, message.header.prefix_len).ok()?;
        let ours = message
            .attributes
            .iter()
            .any(|it| matches!(it, AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL))));
        Some(Self { link: message.header.index, address, ours })
    }
}

/// The link's own address: for IPv4 `IFA_LOCAL`, while `IFA_ADDRESS` may be the other end's.
fn local(message: &AddressMessage) -> Option<IpAddr> {
    let own = message.attributes.iter().find_map(|it| match it {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    own.or_else(|| {
        message.attributes.iter().find_map(|it| match it {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

/// A unicast route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenRoute {
    pub(crate) table: u32,
    pub(crate) destination: IpNet,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) link: Option<u32>,
    pub(crate) protocol: u8,
}

impl SeenRoute {
    pub(crate) fn of(message: &RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewRoute(message) = message else { return None };
        if message.header.kind != RouteType::Unicast {
            return None;
        }
        let mut route = Self {
            table: u32::from(message.header.table),
            destination: any(message)?,
            gateway: None,
            link: None,
            protocol: message.header.protocol.into(),
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Table(table) => route.table = *table,
                RouteAttribute::Destination(address) => {
                    route.destination = IpNet::new(ip(address)?, message.header.destination_prefix_length).ok()?;
                }
                RouteAttribute::Gateway(address) => route.gateway = ip(address),
                RouteAttribute::Via(RouteVia::Inet6(address)) => route.gateway = Some((*address).into()),
                RouteAttribute::Oif(index) => route.link = Some(*index),
                _ => {}
            }
        }
        Some(route)
    }
}

/// Everywhere, in the message's family: a default route has no destination.
fn any(message: &RouteMessage) -> Option<IpNet> {
    match u8::from(message.header.address_family).into() {
        libc::AF_INET => IpNet::new(IpAddr::from([0; 4]), 0).ok(),
        libc::AF_INET6 => IpNet::new(IpAddr::from([0; 16]), 0).ok(),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// A rule that sends packets from one address to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenRule {
    pub(crate) from: IpAddr,
    pub(crate) table: u32,
    pub(crate) priority: u32,
    pub(crate) protocol: u8,
}

impl SeenRule {
    pub(crate) fn of(message: &RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewRule(message) = message else { return None };
        let from = source(message)?;
        let mut rule = Self { from, table: u32::from(message.header.table), priority: 0, protocol: 0 };
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Table(table) => rule.table = *table,
                RuleAttribute::Priority(priority) => rule.priority = *priority,
                RuleAttribute::Protocol(protocol) => rule.protocol = (*protocol).into(),
                _ => {}
            }
        }
        Some(rule)
    }
}

fn source(message: &RuleMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|it| match it {
        RuleAttribute::Source(address) => Some(*address),
        _ => None,
    })
}

/// `ifinfomsg` (linux/rtnetlink.h) and the attributes behind it (linux/if_link.h).
const LINK_HEADER: usize = 16;
const NAME: u16 = 3;
const MTU: u16 = 4;
const MASTER: u16 = 10;
const GROUP: u16 = 27;

impl Link {
    /// The few fields that tell whether somebody meddled, without reading all the rest: every change of every link
    /// comes by. `None` if it is no news of a link itself (a bridge tells of its ports in the same way).
    pub(crate) fn glimpse(payload: &[u8]) -> Option<Self> {
        let (header, attributes) = payload.split_at_checked(LINK_HEADER)?;
        if header[0] != libc::AF_UNSPEC as u8 {
            return None;
        }
        let word = |at: usize| header[at..at + 4].try_into().map(u32::from_ne_bytes).unwrap_or_default();
        let mut link = Self { index: word(4), up: word(8) & libc::IFF_UP as u32 != 0, ..Self::default() };
        for attribute in NlasIterator::new(attributes).flatten() {
            let number = attribute.value().first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes));
            match attribute.kind() {
                NAME => link.name = String::from_utf8_lossy(attribute.value()).trim_end_matches('\0').to_owned(),
                MTU => link.mtu = number?,
                MASTER => link.master = number,
                GROUP => link.group = number?,
                _ => {}
            }
        }
        Some(link)
    }
}
