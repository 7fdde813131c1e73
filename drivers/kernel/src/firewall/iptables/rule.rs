//! A rule of one of our chains, and what the firewall's resources come to in rules. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{FirewallNetwork, GatewayMode, Inside, OpenedPort, PublishedPort, Resource};

use super::Family;
use super::chain::Chain;

/// A rule: at most one has the same key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Rule {
    /// For which packets.
    pub(super) family: Family,
    /// Where it stands.
    pub(super) chain: Chain,
    /// Its conditions, in the order in which `iptables-save` tells them.
    pub(super) conditions: String,
    /// What is done with a packet that meets them.
    pub(super) act: String,
}

/// What makes a rule itself, whatever it does.
pub(super) type Key = (Family, Chain, String);

impl Rule {
    /// Its key.
    pub(super) fn key(&self) -> Key {
        (self.family, self.chain, normal(&self.conditions))
    }
}

/// Conditions and acts as words for iptables, with our mark, if any.
pub(super) fn marked(conditions: &str, act: &str, mark: &str) -> String {
    let comment = if mark.is_empty() { String::new() } else { format!("-m comment --comment \"{mark}\"") };
    let words = [conditions, &comment, act].into_iter().filter(|it| !it.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Conditions in one order, without the names of the modules that they need: however a version of iptables tells them,
/// it is the same text.
pub(super) fn normal(conditions: &str) -> String {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut negated = false;
    for word in conditions.split_whitespace() {
        match word {
            "!" => negated = true,
            option if option.starts_with('-') => {
                groups.push(if std::mem::take(&mut negated) { vec!["!", option] } else { vec![option] });
            }
            value => {
                if let Some(group) = groups.last_mut() {
                    group.push(value);
                }
            }
        }
    }
    groups.retain(|group| group[0] != "-m");
    groups.sort_unstable();
    groups.concat().join(" ")
}

/// The rules that a resource comes to; none for what is not the firewall's.
pub(super) fn rules(resource: &Resource) -> Vec<Rule> {
    match resource {
        Resource::FirewallNetwork(it) => network(it),
        Resource::PublishedPort(it) => port(it),
        Resource::OpenedPort(it) => vec![opened(it)],
        Resource::Hairpin(it) => {
            let address = exact(it.address);
            vec![rule(Family::of(it.address), Chain::Translated, format!("-s {address} -d {address}"), MASQUERADE)]
        }
        Resource::MasqueradedUdp(it) => {
            let conditions = format!("-d {} -p udp", exact(it.address));
            vec![rule(Family::of(it.address), Chain::Translated, conditions, MASQUERADE)]
        }
        _ => Vec::new(),
    }
}

const ACCEPT: &str = "-j ACCEPT";
const DROP: &str = "-j DROP";
const MASQUERADE: &str = "-j MASQUERADE";
const PUBLISHED: &str = "-j TRESTLE-PUBLISHED";
const OPENED: &str = "-j TRESTLE-OPENED";

fn rule(family: Family, chain: Chain, conditions: impl Into<String>, act: impl Into<String>) -> Rule {
    Rule { family, chain, conditions: conditions.into(), act: act.into() }
}

/// An address as iptables tells it.
fn exact(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}

fn network(it: &FirewallNetwork) -> Vec<Rule> {
    const ESTABLISHED: &str = "-m conntrack --ctstate RELATED,ESTABLISHED";
    let link = &it.bridge;
    let families = [
        (Family::V4, it.gateway_v4, it.masquerade_v4, it.source_v4.map(IpAddr::V4)),
        (Family::V6, it.gateway_v6, it.masquerade_v6, it.source_v6.map(IpAddr::V6)),
    ];
    let mut all = Vec::new();
    for (family, gateway, masquerade, source) in families {
        let mut add = |chain, conditions: String, act: &str| all.push(rule(family, chain, conditions, act));
        // The table is everybody's: what is established is accepted where it is of our networks.
        add(Chain::Established, format!("-i {link} {ESTABLISHED}"), ACCEPT);
        add(Chain::Established, format!("-o {link} {ESTABLISHED}"), ACCEPT);
        add(Chain::Inside, format!("-i {link} -o {link}"), within(it.inside, gateway));
        add(Chain::Entering, format!("-o {link}"), entering(it.internal, gateway));
        add(Chain::Bridges, format!("-i {link}"), PUBLISHED);
        add(Chain::Kept, format!("-o {link}"), ACCEPT);
        if it.internal {
            add(Chain::Leaving, format!("-i {link}"), DROP);
            add(Chain::Internal, format!("-i {link}"), to_host(gateway));
        } else {
            add(Chain::Out, format!("-i {link}"), ACCEPT);
            if gateway == GatewayMode::Nat {
                it.trusted.iter().for_each(|from| add(Chain::Trusted, format!("-i {from} -o {link}"), OPENED));
            }
            if masquerade {
                let act = source.map_or(MASQUERADE.to_owned(), |source| format!("-j SNAT --to-source {source}"));
                add(Chain::Outgoing, format!("-i {link}"), &act);
            }
        }
        if !it.filter_bridged {
            // The answer would go straight from one port of the bridge to the other, past the translation.
            add(Chain::Translated, format!("-i {link} -o {link}"), MASQUERADE);
        }
    }
    all.push(rule(Family::V4, Chain::Localhost, format!("-s 127.0.0.0/8 -o {link}"), MASQUERADE));
    all
}

/// From one container of a network to another.
fn within(inside: Inside, gateway: GatewayMode) -> &'static str {
    match (inside, gateway) {
        (Inside::Open, _) => ACCEPT,
        (Inside::PublishedOnly, GatewayMode::Routed) => OPENED,
        (Inside::PublishedOnly, _) => PUBLISHED,
    }
}

/// From elsewhere into a network.
fn entering(internal: bool, gateway: GatewayMode) -> &'static str {
    match gateway {
        _ if internal => DROP,
        GatewayMode::Nat => PUBLISHED,
        GatewayMode::NatUnprotected => "-j TRESTLE-UNPROTECTED",
        GatewayMode::Routed => "-j TRESTLE-ROUTED",
        GatewayMode::Isolated => DROP,
    }
}

/// From an internal network to this host.
fn to_host(gateway: GatewayMode) -> &'static str {
    match gateway {
        GatewayMode::Isolated => DROP,
        GatewayMode::Nat | GatewayMode::NatUnprotected | GatewayMode::Routed => "-j TRESTLE-RELAYED",
    }
}

fn opened(it: &OpenedPort) -> Rule {
    rule(Family::of(it.address), Chain::OpenedPorts, to_ports(Some(it.address), it.protocol, it.ports), ACCEPT)
}

/// What goes to these ports, at one address or at any.
fn to_ports(address: Option<IpAddr>, protocol: Protocol, ports: PortRange) -> String {
    let to = address.map(|address| format!("-d {} ", exact(address))).unwrap_or_default();
    let ports = match ports.count() {
        1 => ports.first().to_string(),
        _ => format!("{}:{}", ports.first(), ports.last()),
    };
    format!("{to}-p {protocol} -m {protocol} --dport {ports}")
}

fn port(it: &PublishedPort) -> Vec<Rule> {
    let at = it.address.filter(|at| !at.is_unspecified());
    let conditions = |ports: PortRange| to_ports(at, it.protocol, ports);
    let single = |port: u16| PortRange::single(port).expect("it is of a range");
    let as_range = it.host == it.container && it.host.count() > 1;
    let mut all = Vec::new();
    for (family, target) in [(Family::V4, it.to_v4.map(IpAddr::V4)), (Family::V6, it.to_v6.map(IpAddr::V6))] {
        if it.address.is_some_and(|at| Family::of(at) != family) {
            continue;
        }
        match (target, as_range) {
            (Some(target), true) => {
                let act = format!("-j DNAT --to-destination {target}");
                all.push(rule(family, Chain::PortsRanges, conditions(it.host), act));
            }
            (Some(target), false) => {
                let chain = if at.is_some() { Chain::PortsAt } else { Chain::PortsAny };
                all.extend(it.host.ports().zip(it.container.ports()).map(|(host, container)| {
                    let target = std::net::SocketAddr::new(target, container);
                    rule(family, chain, conditions(single(host)), format!("-j DNAT --to-destination {target}"))
                }));
            }
            // Not translated, because the container lacks the family, but its socket listens and is relayed.
            (None, true) => all.push(rule(family, Chain::Relayed, conditions(it.host), DROP)),
            (None, false) => {
                all.extend(it.host.ports().map(|it| rule(family, Chain::Relayed, conditions(single(it)), DROP)));
            }
        }
    }
    all
}

/// What a change of resources comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// What networks share is asked for.
    pub(super) base: bool,
    /// What networks share goes.
    pub(super) no_base: bool,
    /// Rules that go.
    pub(super) gone: BTreeSet<Rule>,
    /// Rules that come.
    pub(super) come: BTreeSet<Rule>,
}

impl Change {
    /// From what is removed, what changes (before and after), and what is added. What a changed resource has before
    /// and after alike is left alone.
    pub(super) fn between(removed: &[&Resource], changed: &[(&Resource, &Resource)], added: &[&Resource]) -> Self {
        let mut gone: BTreeSet<Rule> = removed.iter().flat_map(|it| rules(it)).collect();
        let mut come: BTreeSet<Rule> = added.iter().flat_map(|it| rules(it)).collect();
        for (before, after) in changed {
            let (before, after) = (BTreeSet::from_iter(rules(before)), BTreeSet::from_iter(rules(after)));
            gone.extend(before.difference(&after).cloned());
            come.extend(after.difference(&before).cloned());
        }
        gone.retain(|rule| !come.contains(rule));
        let is_base = |it: &&Resource| matches!(it, Resource::FirewallBase);
        let base = added.iter().any(is_base);
        Self { base, no_base: !base && come.is_empty() && removed.iter().any(is_base), gone, come }
    }

    /// Whether there is nothing to be done.
    pub(super) fn is_empty(&self) -> bool {
        !self.base && !self.no_base && self.gone.is_empty() && self.come.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_which_conditions_are_told_says_nothing() {
        let one = "-d 10.0.0.1/32 ! -i lo -p tcp -m tcp --dport 80";
        assert_eq!(normal(one), normal("! -i lo -d 10.0.0.1/32 -p tcp --dport 80"));
        assert_ne!(normal(one), normal("-d 10.0.0.1/32 -i lo -p tcp -m tcp --dport 80"));
        assert_eq!(normal(""), "");
    }
}
