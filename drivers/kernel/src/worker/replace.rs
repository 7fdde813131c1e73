//! From one plan to another: in which order.
//!
//! | step | what |
//! |---|---|
//! | 1 | ports are held, so that a taken one stops everything before anything was done |
//! | 2 | the guard of the loopback addresses stands before any setting opens them |
//! | 3 | namespaces, links, settings, addresses, routes |
//! | 4 | settings that are to be as before us, while the guard still stands |
//! | 5 | the firewall, all of it in one transaction: doors open, doors close; old UDP flows forgotten |
//! | 6 | ports let go, rules and routes and addresses withdrawn, links cut off, namespaces removed |
//!
//! Setting up stops at the first error; tearing down goes on over errors, and if there is nothing to set up, so does the
//! firewall.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use trestle_core::error::Error;
use trestle_core::name::IfName;
use trestle_core::plan::Difference;
use trestle_core::port::Protocol;
use trestle_core::resource::{Bridge, Namespace, Netns, PublishedPort, Resource, Sysctl, Veth};
use trestle_core::{Doing, Plan, Result};

use super::Worker;
use super::addressing::{Inside, Outgoing};

impl Worker {
    /// See [`trestle_core::kernel::Kernel::replace`].
    pub(crate) fn replace(&mut self, from: &Plan, to: &Plan) -> Result<()> {
        let difference = from.difference(to);
        let setting_up = !difference.added.is_empty() || !difference.changed.is_empty();
        let mut errors = Vec::new();
        if setting_up {
            self.hold_ports(&difference)?;
            self.set_up(&difference, to)?;
        }
        errors.extend(self.put_sysctls_back(&difference.removed));
        match self.change_firewall(&difference) {
            Err(error) if setting_up => return Err(error),
            Err(error) => errors.push(error),
            Ok(()) => {}
        }
        match self.forget_flows(&difference) {
            Err(error) if setting_up => return Err(error),
            Err(error) => errors.push(error),
            Ok(()) => {}
        }
        errors.extend(self.tear_down(&difference.removed));
        self.namespaces.settle();
        Error::several(errors).map_or(Ok(()), Err)
    }

    /// Holds what is new. What is to go and lies in the way of it is let go first, which for a moment leaves the port to
    /// anyone; what does not overlap is held without a gap.
    fn hold_ports(&mut self, difference: &Difference<'_>) -> Result<()> {
        let added = difference.added.iter().filter_map(as_port);
        for port in added {
            for going in difference.removed.iter().filter_map(as_port) {
                if going.protocol == port.protocol && going.host.overlaps(&port.host) {
                    self.ports.let_go(going);
                }
            }
            self.ports.hold(port)?;
        }
        difference.changed.iter().filter_map(|(_, after)| as_port(after)).try_for_each(|port| self.ports.hold(port))
    }

    pub(super) fn set_up(&mut self, difference: &Difference<'_>, to: &Plan) -> Result<()> {
        let wanted = Wanted::of(difference);
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
        self.make_links(&wanted.bridges, &wanted.veths)?;
        for (namespace, inside) in &wanted.inside {
            self.open_links(namespace, inside)?;
        }
        self.notice_carriers(&wanted.veths);
        self.set_sysctls(&wanted.sysctls)?;
        for (namespace, inside) in &wanted.inside {
            self.address(namespace, inside)?;
        }
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

    /// UDP has no end, so an old flow to a port would keep going where the port led to before, or nowhere.
    fn forget_flows(&mut self, difference: &Difference<'_>) -> Result<()> {
        let changed = difference.changed.iter().map(|(_, after)| after);
        let ports = difference.removed.iter().chain(&difference.added).chain(changed).filter_map(as_port);
        for port in ports.filter(|port| port.protocol == Protocol::Udp) {
            self.connections.forget_udp(port.address, port.host)?;
        }
        Ok(())
    }

    fn tear_down(&mut self, removed: &[&Resource]) -> Vec<Error> {
        let going = Going::of(removed);
        for port in &going.ports {
            self.ports.let_go(port);
        }
        let mut errors = Vec::new();
        for (namespace, outgoing) in going.outgoing.iter().filter(|(_, outgoing)| outgoing.peers.is_empty()) {
            errors.extend(self.withdraw(namespace, outgoing));
        }
        errors.extend(self.cut_off(&going.bridges, &going.veths));
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
    sysctls: Vec<&'a Sysctl>,
    inside: BTreeMap<&'a Namespace, Inside<'a>>,
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
            Resource::Address(it) => self.inside.entry(&it.namespace).or_default().addresses.push(it),
            Resource::Route(it) => self.inside.entry(&it.namespace).or_default().routes.push(it),
            Resource::SourceRule(it) => self.inside.entry(&it.namespace).or_default().rules.push(it),
            Resource::FirewallBase
            | Resource::FirewallNetwork(_)
            | Resource::PublishedPort(_)
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
    outgoing: BTreeMap<&'a Namespace, Outgoing<'a>>,
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
                Resource::Bridge(it) => going.bridges.push(it),
                Resource::Veth(it) => {
                    going.veths.push(it);
                    if stays(&it.peer.namespace) {
                        going.outgoing.entry(&it.peer.namespace).or_default().peers.push(it);
                    }
                }
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
