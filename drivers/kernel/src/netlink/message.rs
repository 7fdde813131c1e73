//! The messages that make and remove resources. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressProtocol};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{
    AddressMessageBuilder, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};
use trestle_core::mac::MacAddress;
use trestle_core::resource::{Address, Bridge, Moved, Route, SourceRule, Veth};

use super::Request;
use crate::mark::{Instance, PROTOCOL};

/// The table of what is here (`RT_TABLE_LOCAL`, linux/rtnetlink.h).
const LOCAL_TABLE: u32 = 255;

/// How a link is found: the name costs the kernel a look-up, the index may have gone to another link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    Name(&'a str),
    Index(u32),
}

fn link(which: Which<'_>) -> LinkMessageBuilder<LinkUnspec> {
    match which {
        Which::Name(name) => LinkUnspec::new_with_name(name),
        Which::Index(index) => LinkUnspec::new_with_index(index),
    }
}

fn make(link: LinkMessage) -> Request {
    Request::new(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
}

/// The kernel answers with the link that it made (since 6.2).
fn make_and_show(link: LinkMessage) -> Request {
    Request::new(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO)
}

/// Changes a link that is there. `RTM_NEWLINK` without flags, because `RTM_SETLINK` ignores a port's data.
fn change(link: LinkMessage) -> Request {
    Request::new(RouteNetlinkMessage::NewLink(link), 0)
}

/// What a link is like now.
pub(crate) fn get_link(which: Which<'_>) -> Request {
    let mask = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
    let message = link(which).append_extra_attribute(mask).build();
    Request::new(RouteNetlinkMessage::GetLink(message), 0)
}

/// What every link is like now.
pub(crate) fn all_links() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

pub(crate) fn link_up(which: Which<'_>) -> Request {
    change(link(which).up().build())
}

pub(crate) fn link_down(which: Which<'_>) -> Request {
    change(link(which).down().build())
}

/// No frame passes it any more, and [`delete_group`] will delete it. Down, and not only a disabled bridge port, because
/// the bridge enables a port again when the sandbox sets its end down and up.
pub(crate) fn cut_off(index: u32, instance: Instance) -> Request {
    change(link(Which::Index(index)).link_group(instance.doomed_group()).down().build())
}

/// Into another namespace, with another name, marked as ours. The kernel sets it down on the way.
pub(crate) fn move_link(index: u32, namespace: RawFd, moved: &Moved, instance: Instance) -> Request {
    let builder =
        link(Which::Index(index)).setns_by_fd(namespace).name(moved.name.as_str()).link_group(instance.live_group());
    let builder = match moved.mac {
        Some(mac) => builder.address(mac.octets().to_vec()),
        None => builder,
    };
    change(builder.build())
}

/// Into another namespace, with another name, and nobody's mark (group 0 is every link's that has none).
pub(crate) fn put_back(index: u32, namespace: RawFd, name: &str) -> Request {
    change(link(Which::Index(index)).setns_by_fd(namespace).name(name).link_group(0).down().build())
}

pub(crate) fn set_mac(index: u32, mac: MacAddress) -> Request {
    change(link(Which::Index(index)).address(mac.octets().to_vec()).build())
}

pub(crate) fn delete_link(index: u32) -> Request {
    Request::new(RouteNetlinkMessage::DelLink(link(Which::Index(index)).build()), 0)
}

/// Deletes every link of a group at the price of one.
pub(crate) fn delete_group(group: u32) -> Request {
    let links = LinkMessageBuilder::<LinkUnspec>::new().link_group(group).build();
    Request::new(RouteNetlinkMessage::DelLink(links), 0)
}

/// Whether the link gives itself a link-local address. A message of its own: the kernel refuses it where a link is made.
pub(crate) fn address_generation(which: Which<'_>, on: bool) -> Request {
    change(link(which).append_extra_attribute(generation(on)).build())
}

fn generation(on: bool) -> LinkAttribute {
    let mode = if on { In6AddrGenMode::Eui64 } else { In6AddrGenMode::None };
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(mode)])])
}

/// A bridge, not up yet.
pub(crate) fn make_bridge(bridge: &Bridge, instance: Instance) -> Request {
    let builder = filtering(LinkBridge::new(bridge.name.as_str()), bridge.filter_bridged)
        .address(bridge.mac.octets().to_vec())
        .mtu(bridge.mtu)
        .link_group(instance.live_group());
    make(builder.build())
}

/// Sets what a bridge has besides its existence. The MTU here too: only then the kernel stops following the ports'.
pub(crate) fn set_bridge(bridge: &Bridge, alias: &str) -> Request {
    change(link(Which::Name(bridge.name.as_str())).mtu(bridge.mtu).alias(alias).build())
}

/// Sets right what only [`make_bridge`] sets otherwise.
pub(crate) fn mend_bridge(bridge: &Bridge) -> Request {
    let builder = filtering(LinkBridge::new(bridge.name.as_str()), bridge.filter_bridged);
    change(builder.address(bridge.mac.octets().to_vec()).build())
}

/// Both are told only where wanted: a kernel without br_netfilter does not know them.
fn filtering(builder: LinkMessageBuilder<LinkBridge>, on: bool) -> LinkMessageBuilder<LinkBridge> {
    match on {
        true => builder
            .append_info_data(InfoBridge::NfCallIpTables(true))
            .append_info_data(InfoBridge::NfCallIp6Tables(true)),
        false => builder,
    }
}

/// A pair in one message: the host's end up on its bridge, the peer born in its namespace. The peer can't be born up:
/// the kernel would open it before it has a partner, and refuse (ENOTCONN). One queue an end: the default of two
/// costs a wait for all processors.
pub(crate) fn make_veth(veth: &Veth, bridge: u32, namespace: Option<RawFd>, instance: Instance) -> Request {
    let peer = marked(LinkMessageBuilder::<LinkUnspec>::new().name(veth.peer.name.as_str()), veth, instance)
        .address(veth.peer.mac.octets().to_vec());
    let peer = match namespace {
        Some(namespace) => peer.setns_by_fd(namespace),
        None => peer,
    };
    let host = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(veth.name.as_str())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())))
        .controller(bridge)
        .up();
    make_and_show(marked(host, veth, instance).build())
}

fn marked<T>(builder: LinkMessageBuilder<T>, veth: &Veth, instance: Instance) -> LinkMessageBuilder<T> {
    builder
        .mtu(veth.mtu)
        .link_group(instance.live_group())
        .append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}

/// Sets right a host's end that is there already.
pub(crate) fn mend_veth(veth: &Veth, bridge: u32) -> Request {
    change(link(Which::Name(veth.name.as_str())).mtu(veth.mtu).controller(bridge).up().build())
}

/// Sets right a sandbox's end that is there already.
pub(crate) fn mend_peer(veth: &Veth) -> Request {
    let message = link(Which::Name(veth.peer.name.as_str())).mtu(veth.mtu).address(veth.peer.mac.octets().to_vec());
    change(message.build())
}

/// The flags of a bridge port.
pub(crate) fn set_port(veth: &Veth) -> Request {
    change(port(veth).build())
}

/// The flags of a bridge port, which gives itself no link-local address. Refused whole where there is no IPv6.
pub(crate) fn set_silent_port(veth: &Veth) -> Request {
    change(port(veth).append_extra_attribute(generation(false)).build())
}

fn port(veth: &Veth) -> LinkMessageBuilder<LinkBridgePort> {
    LinkMessageBuilder::<LinkBridgePort>::default()
        .name(veth.name.as_str())
        .set_port_kind(netlink_packet_route::link::InfoPortKind::Bridge)
        .append_info_data(InfoBridgePort::HairpinMode(veth.hairpin))
}

fn address(address: IpNet, index: u32) -> AddressMessage {
    let mut message = match address {
        IpNet::V4(it) => {
            AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(it.addr(), it.prefix_len()).build()
        }
        IpNet::V6(it) => {
            AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(it.addr(), it.prefix_len()).build()
        }
    };
    if address.addr().is_ipv6() {
        message.header.flags |= AddressHeaderFlags::Nodad;
    }
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)));
    message
}

pub(crate) fn add_address(wanted: &Address, index: u32) -> Request {
    add_plain_address(wanted.address, index)
}

pub(crate) fn add_plain_address(wanted: IpNet, index: u32) -> Request {
    Request::new(RouteNetlinkMessage::NewAddress(address(wanted, index)), NLM_F_CREATE | NLM_F_EXCL)
}

/// Packets to the address are for this namespace. The kernel says so too, but for IPv6 from a work queue of its own, by
/// and by; until then the first packets would be lost. Its route goes before ours, which goes with the link.
pub(crate) fn own_address(wanted: &Address, link: u32) -> Option<Request> {
    match wanted.address.addr() {
        IpAddr::V6(address) => Some(own_route(address, link)),
        IpAddr::V4(_) => None,
    }
}

pub(crate) fn own_route(address: Ipv6Addr, link: u32) -> Request {
    let mut message = RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(address, 128)
        .kind(RouteType::Local)
        .table_id(LOCAL_TABLE)
        .protocol(RouteProtocol::Kernel)
        .build();
    message.attributes.push(RouteAttribute::Oif(link));
    Request::new(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE)
}

pub(crate) fn delete_address(gone: &Address, index: u32) -> Request {
    delete_plain_address(gone.address, index)
}

pub(crate) fn delete_plain_address(gone: IpNet, index: u32) -> Request {
    Request::new(RouteNetlinkMessage::DelAddress(address(gone, index)), 0)
}

/// Every address of a namespace.
pub(crate) fn all_addresses() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

fn route(route: &Route, link: Option<u32>) -> RouteMessage {
    let destination = route.destination.trunc();
    let mut message = match (destination, route.gateway) {
        (IpNet::V4(to), gateway) => {
            let builder = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to.addr(), to.prefix_len());
            match gateway {
                Some(IpAddr::V4(gateway)) => builder.gateway(gateway),
                Some(IpAddr::V6(gateway)) => builder.via(gateway),
                None => builder.scope(RouteScope::Link),
            }
            .table_id(route.table)
            .protocol(RouteProtocol::Other(PROTOCOL))
            .build()
        }
        (IpNet::V6(to), gateway) => {
            let builder = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to.addr(), to.prefix_len());
            match gateway {
                Some(IpAddr::V6(gateway)) => builder.gateway(gateway),
                // The kernel refuses it, and says why.
                Some(IpAddr::V4(gateway)) => builder.gateway(gateway.to_ipv6_mapped()),
                None => builder,
            }
            .table_id(route.table)
            .protocol(RouteProtocol::Other(PROTOCOL))
            .build()
        }
    };
    message.attributes.extend(link.map(RouteAttribute::Oif));
    message
}

pub(crate) fn add_route(wanted: &Route, link: u32) -> Request {
    Request::new(RouteNetlinkMessage::NewRoute(route(wanted, Some(link))), NLM_F_CREATE | NLM_F_EXCL)
}

/// In place: there is no moment without a route.
pub(crate) fn replace_route(wanted: &Route, link: u32) -> Request {
    Request::new(RouteNetlinkMessage::NewRoute(route(wanted, Some(link))), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Deletes the route if it bears our number; whatever else leads there stays.
pub(crate) fn delete_route(gone: &Route) -> Request {
    Request::new(RouteNetlinkMessage::DelRoute(route(gone, None)), 0)
}

/// Every route of a family.
pub(crate) fn all_routes(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    RouteNetlinkMessage::GetRoute(message)
}

fn rule(rule: &SourceRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    (message.header.family, message.header.src_len) = match rule.from {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Source(rule.from),
        RuleAttribute::Table(rule.table),
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
    ];
    message
}

pub(crate) fn add_rule(wanted: &SourceRule) -> Request {
    Request::new(RouteNetlinkMessage::NewRule(rule(wanted)), NLM_F_CREATE | NLM_F_EXCL)
}

pub(crate) fn delete_rule(gone: &SourceRule) -> Request {
    Request::new(RouteNetlinkMessage::DelRule(rule(gone)), 0)
}

/// Every policy rule of a family.
pub(crate) fn all_rules(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = RuleMessage::default();
    message.header.family = family;
    RouteNetlinkMessage::GetRule(message)
}

/// Corrects who has an address where a link's neighbours are known to know it; stale, so that the kernel asks again
/// when it is used.
pub(crate) fn correct_neighbour(link: u32, address: IpAddr, mac: MacAddress) -> Request {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = link;
    message.header.state = NeighbourState::Stale;
    let (family, destination) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
    };
    message.header.family = family;
    message.attributes =
        vec![NeighbourAttribute::Destination(destination), NeighbourAttribute::LinkLayerAddress(mac.octets().to_vec())];
    Request::new(RouteNetlinkMessage::NewNeighbour(message), NLM_F_REPLACE)
}
