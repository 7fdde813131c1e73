//! What lies on the links of one namespace: addresses, routes, rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use trestle_core::error::Error;
use trestle_core::mac::MacAddress;
use trestle_core::name::IfName;
use trestle_core::resource::{Address, Announcements, Moved, Namespace, Owner, Resource, Route, SourceRule, Veth};
use trestle_core::{Doing, Plan, Result};

use super::Worker;
use super::links::{Born, GONE, NO_IPV6, look};
use super::steps::{Step, set_up, tear_down, try_each};
use crate::mark::{Instance, PROTOCOL};
use crate::netlink::message::{self, Which};
use crate::netlink::observed::{SeenAddress, SeenRoute};
use crate::netlink::{Link, Socket};
use crate::repeat::News;

/// Everything of one namespace that is to be made or changed.
#[derive(Default)]
pub(super) struct Inside<'a> {
    pub(super) loopback: Option<&'a Resource>,
    pub(super) peers: Vec<&'a Veth>,
    pub(super) moved: Vec<&'a Moved>,
    pub(super) addresses: Vec<&'a Address>,
    pub(super) routes: Vec<&'a Route>,
    /// Routes that stand already, with other values.
    pub(super) rerouted: Vec<&'a Route>,
    pub(super) rules: Vec<&'a SourceRule>,
    /// Rules that stand already, as they were and as they shall be.
    pub(super) reordered: Vec<(&'a SourceRule, &'a SourceRule)>,
}

impl<'a> Inside<'a> {
    /// What sets the links up.
    fn openings(&self) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        if let Some(loopback) = self.loopback {
            steps.push(Step::new(message::link_up(Which::Name("lo")), "setting up", loopback));
        }
        for veth in self.peers.iter().copied() {
            let name = Which::Name(veth.peer.name.as_str());
            steps.push(Step::new(message::address_generation(name, veth.peer.ipv6), "setting up", veth).or(NO_IPV6));
            steps.push(Step::new(message::link_up(name), "setting up", veth));
        }
        for moved in self.moved.iter().copied() {
            steps.push(Step::new(message::link_up(Which::Name(moved.name.as_str())), "setting up", moved));
        }
        steps
    }

    fn has_addressing(&self) -> bool {
        let Self { addresses, routes, rerouted, rules, reordered, .. } = self;
        !(addresses.is_empty() && routes.is_empty() && rerouted.is_empty() && rules.is_empty() && reordered.is_empty())
    }
}

/// Everything of one namespace that is to go.
#[derive(Default)]
pub(super) struct Outgoing<'a> {
    pub(super) peers: Vec<&'a Veth>,
    pub(super) addresses: Vec<&'a Address>,
    pub(super) routes: Vec<&'a Route>,
    pub(super) rules: Vec<&'a SourceRule>,
}

/// It is there already.
const THERE: &[i32] = &[libc::EEXIST];

/// It, or what it stood on, is not there any more: a route, an address, a link, a table.
const NOT_THERE: &[i32] =
    &[libc::ESRCH, libc::EADDRNOTAVAIL, libc::ENODEV, libc::ENOENT, libc::ENETUNREACH, libc::EAFNOSUPPORT];

impl Worker {
    /// Sets links up, before settings that need them.
    pub(super) fn open_links(&mut self, namespace: &Namespace, inside: &Inside<'_>) -> Result<()> {
        let steps = inside.openings();
        match steps.is_empty() {
            true => Ok(()),
            false => set_up(self.socket(namespace)?, steps),
        }
    }

    /// Sets the links of a namespace up where they are still `shut`, gives them their addresses, and then the namespace
    /// its routes.
    pub(super) fn furnish(
        &mut self,
        namespace: &Namespace,
        inside: &Inside<'_>,
        born: &Born<'_>,
        shut: bool,
    ) -> Result<()> {
        let openings = if shut { inside.openings() } else { Vec::new() };
        if openings.is_empty() && !inside.has_addressing() {
            return Ok(());
        }
        let instance = self.instance;
        let socket = self.socket(namespace)?;
        let links = whereabouts(socket, namespace, inside, born, instance)?;
        let mut steps: Vec<(Step<'_>, Kind<'_>)> = openings.into_iter().map(|it| (it, Kind::Plain)).collect();
        for address in &inside.addresses {
            let link = there(&links, &address.link, *address)?;
            steps.push((
                Step::new(message::add_address(address, link.index), "adding", *address),
                Kind::Address(address, link),
            ));
            // The host's addresses have time, and theirs would outlive them on a user's bridge.
            let own = message::own_address(address, link.index);
            if let Some(own) = own.filter(|_| *namespace != Namespace::Host) {
                steps.push((Step::new(own, "adding", *address).or(THERE), Kind::Own));
            }
        }
        for route in &inside.routes {
            let link = there(&links, &route.link, *route)?;
            steps.push((Step::new(message::add_route(route, link.index), "adding", *route), Kind::Route(route, link)));
        }
        let (plain, kinds): (Vec<Step<'_>>, Vec<Kind<'_>>) = steps.into_iter().unzip();
        for (failure, kind) in try_each(socket, &plain)?.into_iter().zip(kinds) {
            match (failure, kind) {
                (None, _) | (Some(_), Kind::Own) => {}
                (Some((libc::EEXIST, _)), Kind::Address(address, link)) if !link.ours => {
                    confirm_address(socket, address, link.index)?;
                }
                (Some((libc::EEXIST, _)), Kind::Address(..)) => {}
                (Some((libc::EEXIST, _)), Kind::Route(route, link)) => take_over_route(socket, route, link.index)?,
                (Some((_, error)), _) => return Err(error),
            }
        }
        for route in &inside.rerouted {
            take_over_route(socket, route, there(&links, &route.link, *route)?.index)?;
        }
        let mut steps: Vec<Step<'_>> =
            inside.rules.iter().map(|it| Step::new(message::add_rule(it), "adding", *it).or(THERE)).collect();
        for (before, after) in &inside.reordered {
            steps.push(Step::new(message::add_rule(after), "changing", *after).or(THERE));
            steps.push(Step::new(message::delete_rule(before), "changing", *before).or(NOT_THERE));
        }
        set_up(socket, steps)
    }

    /// Takes away what is to go of a namespace. Where the namespace itself is gone, so is all of it.
    pub(super) fn withdraw(&mut self, namespace: &Namespace, outgoing: &Outgoing<'_>) -> Vec<Error> {
        let instance = self.instance;
        let socket = match self.socket_if_there(namespace) {
            Ok(Some(socket)) => socket,
            Ok(None) => return Vec::new(),
            Err(error) => return vec![error],
        };
        match withdraw_steps(socket, outgoing, |link| link.is_ours(instance)) {
            Ok(steps) => tear_down(socket, steps),
            Err(error) => vec![error],
        }
    }

    /// Tells nobody any more of addresses that go.
    pub(super) fn end_announcements(&self, removed: &[&Resource]) {
        let addresses = removed.iter().filter_map(|it| if let Resource::Address(it) = it { Some(it) } else { None });
        for (address, bridge, _) in addresses.filter_map(|it| owner(it, removed.iter().copied())) {
            self.repeats.forget(bridge, address.address.addr());
        }
    }

    /// Tells the neighbours of new addresses: at once where they may remember somebody else by one, else when nobody
    /// waits. Best effort: without it they find out by themselves, later.
    pub(super) fn announce(&mut self, addresses: &[&Address], to: &Plan) {
        let owners = addresses.iter().filter_map(|it| owner(it, to.resources().iter()));
        let owners: Vec<(&Address, &IfName, MacAddress)> = owners.collect();
        let unseen = owners.iter().map(|(_, bridge, _)| *bridge).filter(|it| !self.bridges.contains_key(*it));
        let Ok(seen) = look(&mut self.host, unseen) else { return };
        let mut corrections = Vec::new();
        for (wanted, name, mac) in owners {
            let seen = || seen.get(name.as_str()).map(|link| link.index);
            let Some(index) = self.bridges.get(name).copied().or_else(seen) else { continue };
            let address = wanted.address.addr();
            let news = News { bridge: index, mac };
            let announcement = Announcement { bridge: name.clone(), address, news, often: wanted.announcements };
            match self.remembered.taken(name, address, mac) {
                true => {
                    corrections.push(message::correct_neighbour(index, address, mac));
                    self.say(announcement);
                }
                false => self.unannounced.push(announcement),
            }
        }
        if let Err(error) = self.host.batch(&corrections.iter().collect::<Vec<_>>()) {
            tracing::debug!(%error, "the host's own neighbours could not be corrected");
        }
    }

    /// Announces an address for the first time; it is repeated later.
    pub(super) fn say(&self, announcement: Announcement) {
        let Announcement { bridge, address, news, often } = announcement;
        if often.count > 0 {
            self.announcer.announce(news.bridge, address, news.mac);
        }
        self.repeats.go_on(&bridge, address, news, often);
    }
}

/// What the neighbours behind a bridge are to be told.
pub(crate) struct Announcement {
    bridge: IfName,
    address: IpAddr,
    news: News,
    often: Announcements,
}

/// Behind which bridge an address is, and whose MAC address goes with it.
fn owner<'a>(
    address: &'a Address,
    mut among: impl Iterator<Item = &'a Resource>,
) -> Option<(&'a Address, &'a IfName, MacAddress)> {
    among.find_map(|resource| match resource {
        Resource::Veth(it) if it.peer.namespace == address.namespace && it.peer.name == address.link => {
            Some((address, &it.bridge, it.peer.mac))
        }
        Resource::Bridge(it) if it.owner == Owner::Us && it.name == address.link => {
            (address.namespace == Namespace::Host).then_some((address, &it.name, it.mac))
        }
        _ => None,
    })
}

/// A link in a namespace.
#[derive(Clone, Copy)]
struct Place {
    index: u32,
    ours: bool,
}

/// The links that addresses and routes go to; those that were born just now are not looked for.
fn whereabouts<'a>(
    socket: &mut Socket,
    namespace: &Namespace,
    inside: &Inside<'a>,
    born: &Born<'_>,
    instance: Instance,
) -> Result<BTreeMap<&'a IfName, Place>> {
    let of_routes = inside.routes.iter().chain(&inside.rerouted).map(|it| &it.link);
    let names: BTreeSet<&IfName> = inside.addresses.iter().map(|it| &it.link).chain(of_routes).collect();
    let mut places = BTreeMap::new();
    let mut unknown = Vec::new();
    for name in names {
        match born.get(&(namespace, name)) {
            Some(index) => drop(places.insert(name, Place { index: *index, ours: true })),
            None => unknown.push(name),
        }
    }
    let seen = look(socket, unknown.iter().copied())?;
    let found = unknown.into_iter().filter_map(|name| Some((name, seen.get(name.as_str())?)));
    places.extend(found.map(|(name, link)| (name, Place { index: link.index, ours: link.is_ours(instance) })));
    Ok(places)
}

enum Kind<'a> {
    Plain,
    Address(&'a Address, Place),
    Route(&'a Route, Place),
    /// What the kernel will say itself, if it must.
    Own,
}

fn withdraw_steps<'a>(
    socket: &mut Socket,
    outgoing: &Outgoing<'a>,
    ours: impl Fn(&Link) -> bool,
) -> Result<Vec<Step<'a>>> {
    let mut steps = Vec::new();
    for rule in &outgoing.rules {
        steps.push(Step::new(message::delete_rule(rule), "removing", *rule).or(NOT_THERE));
    }
    for route in &outgoing.routes {
        steps.push(Step::new(message::delete_route(route), "removing", *route).or(NOT_THERE));
    }
    let names = outgoing.addresses.iter().map(|it| &it.link).chain(outgoing.peers.iter().map(|it| &it.peer.name));
    let links = look(socket, names)?;
    let foreign = links.values().any(|link| !ours(link)) && !outgoing.addresses.is_empty();
    let marked = if foreign { marked_addresses(socket)? } else { BTreeSet::new() };
    for address in &outgoing.addresses {
        let Some(link) = links.get(address.link.as_str()) else { continue };
        if ours(link) || marked.contains(&(link.index, address.address)) {
            steps.push(Step::new(message::delete_address(address, link.index), "removing", *address).or(NOT_THERE));
        }
    }
    for veth in &outgoing.peers {
        let Some(link) = links.get(veth.peer.name.as_str()).filter(|link| ours(link)) else { continue };
        steps.push(Step::new(message::link_down(Which::Index(link.index)), "cutting off", *veth).or(GONE));
    }
    Ok(steps)
}

fn there(links: &BTreeMap<&IfName, Place>, name: &IfName, of: &dyn Display) -> Result<Place> {
    links
        .get(name)
        .copied()
        .ok_or_else(|| Error::not_found(format!("there is no link {name}")).doing(format!("adding {of}")))
}

fn marked_addresses(socket: &mut Socket) -> Result<BTreeSet<(u32, ipnet::IpNet)>> {
    let all = socket.dump(&message::all_addresses()).doing(|| "listing addresses")?;
    let seen = all.iter().filter_map(SeenAddress::of);
    Ok(seen.filter(|it| it.ours).map(|it| (it.link, it.address)).collect())
}

/// The address is on a stranger's link: fine if we put it there.
fn confirm_address(socket: &mut Socket, address: &Address, link: u32) -> Result<()> {
    match marked_addresses(socket)?.contains(&(link, address.address)) {
        true => Ok(()),
        false => Err(Error::conflict(format!("{} has it already, and Trestle did not put it there", address.link))
            .doing(format!("adding {address}"))),
    }
}

/// There is a route to that destination: changed in place if it is ours, or if there is none any more.
fn take_over_route(socket: &mut Socket, route: &Route, link: u32) -> Result<()> {
    let family = if route.destination.addr().is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let routes = socket.dump(&message::all_routes(family)).doing(|| "listing routes")?;
    let there: Vec<SeenRoute> = routes
        .iter()
        .filter_map(SeenRoute::of)
        .filter(|it| it.table == route.table && it.destination == route.destination.trunc())
        .collect();
    let ours = there.iter().any(|it| it.protocol == PROTOCOL);
    if let Some(rival) = there.first().filter(|_| !ours) {
        let by = rival.gateway.map(|gateway| format!(" by {gateway}")).unwrap_or_default();
        return Err(Error::conflict(format!(
            "there is such a route already{by}, which Trestle did not make (its protocol is {}); remove it",
            rival.protocol
        ))
        .doing(format!("adding {route}")));
    }
    set_up(socket, vec![Step::new(message::replace_route(route, link), "changing", route)])
}
