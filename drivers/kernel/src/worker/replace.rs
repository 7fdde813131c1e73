//! From one plan to another: in which order.
//!
//! | step | what |
//! |---|---|
//! | 1 | ports are held, so that a taken one stops everything before anything was done |
//! | 2 | the guard of the loopback addresses stands before any setting opens them |
//! | 3 | namespaces, links, settings, addresses, routes, name servers |
//! | 4 | settings that are to be as before us, while the guard still stands |
//! | 5 | the firewall, all of it in one transaction: doors open, doors close; old UDP flows forgotten |
//! | 6 | ports let go, rules and routes and addresses withdrawn, links cut off, namespaces removed |
//!
//! Setting up stops at the first error; tearing down goes on over errors, and if there is nothing to set up, so does the
//! firewall. Where somebody leaves, which is when more than doors is to go, step 6 and the shutting of doors are done
//! even if steps 2 to 5 failed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;

use trestle_core::error::Error;
use trestle_core::name::IfName;
use trestle_core::plan::Difference;
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{Bridge, Moved, NameServer, Namespace, Netns, PublishedPort, Resource, Sysctl, Veth};
use trestle_core::{Doing, Plan, Result};

use super::Worker;
use super::addressing::{Inside, Outgoing};

impl Worker {
    /// See [`trestle_core::kernel::Kernel::replace`].
    pub(crate) fn replace(&mut self, from: &Plan, to: &Plan) -> Result<()> {
        self.expected.is_at_work(true);
        self.make_so(&from.difference(to), to)
    }

    fn make_so(&mut self, difference: &Difference<'_>, to: &Plan) -> Result<()> {
        let setting_up = !difference.added.is_empty() || !difference.changed.is_empty();
        if !setting_up {
            return Error::several(self.take_away(&difference.removed)).map_or(Ok(()), Err);
        }
        self.hold_ports(difference)?;
        let mut errors = Vec::new();
        let made = self.set_up(difference, to).and_then(|()| {
            errors.extend(self.put_sysctls_back(&difference.removed));
            self.change_firewall(difference)?;
            self.forget_flows(difference)
        });
        let somebody_leaves = difference.removed.iter().any(|it| !it.is_firewall());
        match made {
            Ok(()) => errors.extend(self.tear_down(&difference.removed)),
            Err(error) => {
                errors.insert(0, error);
                if somebody_leaves {
                    errors.extend(self.take_away(&difference.removed));
                }
            }
        }
        Error::several(errors).map_or(Ok(()), Err)
    }

    /// Steps 4 to 6 for what is to go. Goes on over errors.
    fn take_away(&mut self, removed: &[&Resource]) -> Vec<Error> {
        let difference = Difference { added: Vec::new(), changed: Vec::new(), removed: removed.to_vec() };
        let mut errors = self.put_sysctls_back(removed);
        errors.extend(self.change_firewall(&difference).err());
        errors.extend(self.forget_flows(&difference).err());
        errors.extend(self.tear_down(removed));
        errors
    }

    /// Holds what is new. What is to go and lies in the way of it is let go first, which for a moment leaves the port to
    /// anyone; what does not overlap is held without a gap.
    fn hold_ports(&mut self, difference: &Difference<'_>) -> Result<()> {
        let mut going: HashMap<(Protocol, u16), Vec<&PublishedPort>> = HashMap::new();
        for port in difference.removed.iter().filter_map(as_port) {
            port.host.ports().for_each(|number| going.entry((port.protocol, number)).or_default().push(port));
        }
        let added: Vec<&PublishedPort> = difference.added.iter().filter_map(as_port).collect();
        if !going.is_empty() {
            let numbers = added.iter().flat_map(|port| port.host.ports().map(|number| (port.protocol, number)));
            let in_the_way: Vec<&PublishedPort> =
                numbers.filter_map(|number| going.get(&number)).flatten().copied().collect();
            self.ports.let_go(&in_the_way);
        }
        self.ports.hold_all(&added)?;
        let changed: Vec<&PublishedPort> = difference.changed.iter().filter_map(|(_, after)| as_port(after)).collect();
        self.ports.hold_all(&changed)
    }

    pub(super) fn set_up(&mut self, difference: &Difference<'_>, to: &Plan) -> Result<()> {
        let mut wanted = Wanted::of(difference);
        let left: BTreeSet<&Namespace> = difference.removed.iter().filter_map(|it| it.sandbox()).collect();
        let gone: Vec<&Namespace> = left.into_iter().filter(|namespace| self.is_gone(namespace)).collect();
        wanted.inside.retain(|namespace, inside| !inside.peers.is_empty() || !gone.contains(namespace));
        wanted.sysctls.retain(|it| !gone.contains(&&it.namespace));
        wanted.names.retain(|it| !gone.contains(&&it.namespace));
        if difference.added.iter().any(|it| matches!(it, Resource::FirewallBase)) {
            self.firewall.change(&[], &[], &[&Resource::FirewallBase])?;
        }
        for netns in &wanted.netns {
            self.namespaces.make(&netns.path).doing(|| format!("making {netns}"))?;
        }
        for (before, _) in &wanted.moved {
            let errors = self.remove_at_once(before);
            Error::several(errors).map_or(Ok(()), Err)?;
        }
        let born = self.make_links(&wanted.bridges, &wanted.veths)?;
        self.move_in(&wanted.strangers)?;
        // Settings of links stand between what opens the links and what uses them; without any, both go as one.
        let apart = !wanted.sysctls.is_empty();
        if apart {
            for (namespace, inside) in &wanted.inside {
                self.open_links(namespace, inside)?;
            }
            self.set_sysctls(&wanted.sysctls)?;
        }
        for (namespace, inside) in &wanted.inside {
            self.furnish(namespace, inside, &born, !apart)?;
        }
        self.notice_carriers(&wanted.veths);
        self.open_name_servers(&wanted.names)?;
        for inside in wanted.inside.values() {
            self.announce(&inside.addresses, to);
        }
        Ok(())
    }

    /// Both ends are up. The bridge has a carrier because a port of it has.
    fn notice_carriers(&self, veths: &[&Veth]) {
        let bridges: BTreeSet<&IfName> = veths.iter().map(|veth| &veth.bridge).collect();
        veths.iter().map(|veth| &veth.name).chain(bridges).for_each(|link| self.carrier.notice(link));
    }

    fn change_firewall(&mut self, difference: &Difference<'_>) -> Result<()> {
        let removed: Vec<&Resource> = difference.removed.iter().copied().filter(|it| it.is_firewall()).collect();
        let changed: Vec<_> = difference.changed.iter().copied().filter(|(_, it)| it.is_firewall()).collect();
        let made_before = |it: &Resource| matches!(it, Resource::FirewallBase);
        let added: Vec<&Resource> =
            difference.added.iter().copied().filter(|it| it.is_firewall() && !made_before(it)).collect();
        match removed.is_empty() && changed.is_empty() && added.is_empty() {
            true => Ok(()),
            false => self.firewall.change(&removed, &changed, &added),
        }
    }

    /// UDP has no end, so an old flow to a port would keep going where the port led to before, or nowhere. To a port that
    /// is opened none could begin before.
    fn forget_flows(&mut self, difference: &Difference<'_>) -> Result<()> {
        let changed = difference.changed.iter().map(|(_, after)| after);
        let ports = difference.removed.iter().chain(&difference.added).chain(changed).filter_map(as_port);
        let udp = ports.filter(|port| port.protocol == Protocol::Udp);
        let published = udp.map(|port| (port.address, port.host));
        let opened = difference.removed.iter().filter_map(|resource| match resource {
            Resource::OpenedPort(it) if it.protocol == Protocol::Udp => Some((Some(it.address), it.ports)),
            _ => None,
        });
        let places: Vec<(Option<IpAddr>, PortRange)> = published.chain(opened).collect();
        self.connections.forget_udp(&places).map(drop)
    }

    fn tear_down(&mut self, removed: &[&Resource]) -> Vec<Error> {
        self.end_announcements(removed);
        let going = Going::of(removed);
        self.ports.let_go(&going.ports);
        let dying: Vec<&Path> = going.netns.iter().map(|it| it.path.as_path()).collect();
        let mut errors = self.close_name_servers(&going.names, &dying);
        for (namespace, outgoing) in going.outgoing.iter().filter(|(_, outgoing)| outgoing.peers.is_empty()) {
            errors.extend(self.withdraw(namespace, outgoing));
        }
        errors.extend(self.cut_off(&going.bridges, &going.veths));
        errors.extend(self.put_back(&going.strangers));
        // After the host's end, for these set the sandbox's end down: the port is shut before the address goes.
        for (namespace, outgoing) in going.outgoing.iter().filter(|(_, outgoing)| !outgoing.peers.is_empty()) {
            errors.extend(self.withdraw(namespace, outgoing));
        }
        for netns in &going.netns {
            let removed = self.namespaces.remove(&netns.path).doing(|| format!("removing {netns}"));
            errors.extend(removed.err());
        }
        errors
    }
}

fn as_port<'a>(resource: &&'a Resource) -> Option<&'a PublishedPort> {
    match resource {
        Resource::PublishedPort(port) => Some(port),
        _ => None,
    }
}

/// What is to be set up, sorted by how.
#[derive(Default)]
struct Wanted<'a> {
    netns: Vec<&'a Netns>,
    bridges: Vec<&'a Bridge>,
    veths: Vec<&'a Veth>,
    /// Pairs whose peer changes its place or its name: made anew.
    moved: Vec<(&'a Veth, &'a Veth)>,
    /// Links that strangers made.
    strangers: Vec<&'a Moved>,
    sysctls: Vec<&'a Sysctl>,
    inside: BTreeMap<&'a Namespace, Inside<'a>>,
    names: Vec<&'a NameServer>,
}

impl<'a> Wanted<'a> {
    fn of(difference: &Difference<'a>) -> Self {
        let mut wanted = Self::default();
        for resource in &difference.added {
            wanted.add(resource);
        }
        for (before, after) in &difference.changed {
            match (before, after) {
                (Resource::Route(_), Resource::Route(after)) => {
                    wanted.inside.entry(&after.namespace).or_default().rerouted.push(after);
                }
                (Resource::SourceRule(before), Resource::SourceRule(after)) => {
                    wanted.inside.entry(&after.namespace).or_default().reordered.push((before, after));
                }
                (Resource::Veth(before), Resource::Veth(after)) => {
                    let moved = before.peer.namespace != after.peer.namespace || before.peer.name != after.peer.name;
                    wanted.moved.extend(moved.then_some((before, after)));
                    wanted.add_veth(after);
                }
                _ => wanted.add(after),
            }
        }
        wanted
    }

    fn add(&mut self, resource: &'a Resource) {
        match resource {
            Resource::Netns(it) => self.netns.push(it),
            Resource::Loopback(it) => self.inside.entry(&it.namespace).or_default().loopback = Some(resource),
            Resource::Sysctl(it) => self.sysctls.push(it),
            Resource::Bridge(it) => self.bridges.push(it),
            Resource::Veth(it) => self.add_veth(it),
            Resource::Moved(it) => {
                self.strangers.push(it);
                self.inside.entry(&it.namespace).or_default().moved.push(it);
            }
            Resource::Address(it) => self.inside.entry(&it.namespace).or_default().addresses.push(it),
            Resource::Route(it) => self.inside.entry(&it.namespace).or_default().routes.push(it),
            Resource::SourceRule(it) => self.inside.entry(&it.namespace).or_default().rules.push(it),
            Resource::NameServer(it) => self.names.push(it),
            Resource::FirewallBase
            | Resource::FirewallNetwork(_)
            | Resource::PublishedPort(_)
            | Resource::OpenedPort(_)
            | Resource::Hairpin(_)
            | Resource::MasqueradedUdp(_) => {}
        }
    }

    fn add_veth(&mut self, veth: &'a Veth) {
        self.veths.push(veth);
        self.inside.entry(&veth.peer.namespace).or_default().peers.push(veth);
    }
}

/// What is to go, sorted by how. What lies in a namespace that goes, goes with it.
#[derive(Default)]
struct Going<'a> {
    ports: Vec<&'a PublishedPort>,
    netns: Vec<&'a Netns>,
    bridges: Vec<&'a Bridge>,
    veths: Vec<&'a Veth>,
    strangers: Vec<&'a Moved>,
    outgoing: BTreeMap<&'a Namespace, Outgoing<'a>>,
    names: Vec<&'a NameServer>,
}

impl<'a> Going<'a> {
    fn of(removed: &[&'a Resource]) -> Self {
        let mut going = Self::default();
        let netns = removed.iter().filter_map(|it| if let Resource::Netns(it) = it { Some(it) } else { None });
        going.netns = netns.collect();
        let dying: Vec<&Path> = going.netns.iter().map(|it| it.path.as_path()).collect();
        let stays =
            |namespace: &Namespace| !matches!(namespace, Namespace::At(path) if dying.contains(&path.as_path()));
        for resource in removed {
            match resource {
                Resource::PublishedPort(it) => going.ports.push(it),
                Resource::NameServer(it) => going.names.push(it),
                Resource::Bridge(it) => going.bridges.push(it),
                Resource::Veth(it) => {
                    going.veths.push(it);
                    if stays(&it.peer.namespace) {
                        going.outgoing.entry(&it.peer.namespace).or_default().peers.push(it);
                    }
                }
                Resource::Moved(it) => going.strangers.push(it),
                Resource::Address(it) if stays(&it.namespace) => {
                    going.outgoing.entry(&it.namespace).or_default().addresses.push(it);
                }
                Resource::Route(it) if stays(&it.namespace) => {
                    going.outgoing.entry(&it.namespace).or_default().routes.push(it);
                }
                Resource::SourceRule(it) if stays(&it.namespace) => {
                    going.outgoing.entry(&it.namespace).or_default().rules.push(it);
                }
                _ => {}
            }
        }
        going
    }
}
