//! Elements of the sets and maps: what the firewall's resources come to. Pure.

use std::fmt;
use std::net::IpAddr;

use trestle_core::name::IfName;
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{FirewallNetwork, GatewayMode, Inside, OpenedPort, PublishedPort, Resource};

use super::attribute::Attributes;
use super::expression::verdict_data;
use super::set::{Set, Type};
use super::statement::{Chain, Family, Verdict};
use super::uapi::*;

/// An element: at most one has the same set and key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Element {
    /// Where it stands.
    pub set: Set,
    /// Its key.
    pub key: Vec<Part>,
    /// What it bears.
    pub value: Value,
}

/// A part of a key or value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Part {
    /// An address.
    Address(IpAddr),
    /// Every address of a family; in interval sets.
    Every(Family),
    /// A transport protocol.
    Protocol(Protocol),
    /// A port.
    Port(u16),
    /// Ports from first to last; in interval sets.
    Ports(PortRange),
    /// A link.
    Link(IfName),
    /// A family.
    Family(Family),
}

/// What an element bears beside its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Value {
    /// Nothing.
    Nothing,
    /// A verdict.
    Verdict(Verdict),
    /// These.
    Parts(Vec<Part>),
}

/// The elements that a resource comes to; none for what is not the firewall's.
pub(super) fn elements(resource: &Resource) -> Vec<Element> {
    match resource {
        Resource::FirewallNetwork(it) => network(it),
        Resource::PublishedPort(it) => port(it),
        Resource::OpenedPort(it) => vec![opened(it)],
        Resource::Hairpin(it) => {
            let set = of_family(it.address, Set::Hairpin4, Set::Hairpin6);
            vec![element(set, vec![Part::Address(it.address), Part::Address(it.address)], Value::Nothing)]
        }
        Resource::MasqueradedUdp(it) => {
            let set = of_family(it.address, Set::MasqueradedUdp4, Set::MasqueradedUdp6);
            vec![element(set, vec![Part::Address(it.address)], Value::Nothing)]
        }
        _ => Vec::new(),
    }
}

fn element(set: Set, key: Vec<Part>, value: Value) -> Element {
    Element { set, key, value }
}

fn of_family<T>(address: IpAddr, v4: T, v6: T) -> T {
    if address.is_ipv4() { v4 } else { v6 }
}

fn network(it: &FirewallNetwork) -> Vec<Element> {
    let link = || Part::Link(it.bridge.clone());
    let mut elements = vec![element(Set::Bridges, vec![link()], Value::Nothing)];
    if it.internal {
        elements.push(element(Set::Leaving, vec![link()], Value::Verdict(Verdict::Drop)));
    }
    for (family, gateway) in [(Family::V4, it.gateway_v4), (Family::V6, it.gateway_v6)] {
        let here = || vec![Part::Family(family), link()];
        let from = |from: Part| vec![Part::Family(family), from, link()];
        elements.push(element(Set::Inside, from(link()), Value::Verdict(within(it.inside, gateway))));
        elements.push(element(Set::Entering, here(), Value::Verdict(entering(it.internal, gateway))));
        match it.internal {
            true => elements.push(element(Set::Internal, here(), Value::Verdict(to_host(gateway)))),
            false if gateway == GatewayMode::Nat => {
                let trusted = it.trusted.iter().map(|trusted| from(Part::Link(trusted.clone())));
                elements.extend(trusted.map(|key| element(Set::Trusted, key, Value::Nothing)));
            }
            false => {}
        }
    }
    if !it.internal {
        elements.extend(outgoing(it));
    }
    if !it.filter_bridged {
        elements.push(element(Set::Unfiltered, vec![link(), link()], Value::Nothing));
    }
    elements
}

/// From one container of a network to another.
fn within(inside: Inside, gateway: GatewayMode) -> Verdict {
    match (inside, gateway) {
        (Inside::Open, _) => Verdict::Accept,
        (Inside::PublishedOnly, GatewayMode::Routed) => Verdict::Goto(Chain::OpenedOnly),
        (Inside::PublishedOnly, _) => Verdict::Goto(Chain::PublishedOnly),
    }
}

/// From elsewhere into a network.
fn entering(internal: bool, gateway: GatewayMode) -> Verdict {
    match gateway {
        _ if internal => Verdict::Drop,
        GatewayMode::Nat => Verdict::Goto(Chain::PublishedOnly),
        GatewayMode::NatUnprotected => Verdict::Goto(Chain::Unprotected),
        GatewayMode::Routed => Verdict::Goto(Chain::Routed),
        GatewayMode::Isolated => Verdict::Drop,
    }
}

/// From an internal network to this host.
fn to_host(gateway: GatewayMode) -> Verdict {
    match gateway {
        GatewayMode::Isolated => Verdict::Drop,
        GatewayMode::Nat | GatewayMode::NatUnprotected | GatewayMode::Routed => Verdict::Goto(Chain::FromInternal),
    }
}

/// Which address packets bear that leave a network.
fn outgoing(it: &FirewallNetwork) -> Vec<Element> {
    let families = [
        (Family::V4, it.masquerade_v4, it.source_v4.map(IpAddr::V4)),
        (Family::V6, it.masquerade_v6, it.source_v6.map(IpAddr::V6)),
    ];
    let wanted = families.into_iter().filter(|(_, masquerade, _)| *masquerade);
    let told = wanted.map(|(family, _, source)| match source {
        Some(address) => {
            let set = of_family(address, Set::Source4, Set::Source6);
            element(set, vec![Part::Link(it.bridge.clone())], Value::Parts(vec![Part::Address(address)]))
        }
        None => {
            let out = Value::Verdict(Verdict::Goto(Chain::MasqueradeOut));
            element(Set::Outgoing, vec![Part::Family(family), Part::Link(it.bridge.clone())], out)
        }
    });
    told.collect()
}

/// A lone port never stands among the ranges, whose commit is dearer.
fn opened(it: &OpenedPort) -> Element {
    let (set, ports) = match it.ports.count() {
        1 => (of_family(it.address, Set::Opened4, Set::Opened6), Part::Port(it.ports.first())),
        _ => (of_family(it.address, Set::OpenedRanges4, Set::OpenedRanges6), Part::Ports(it.ports)),
    };
    element(set, vec![Part::Address(it.address), Part::Protocol(it.protocol), ports], Value::Nothing)
}

fn port(it: &PublishedPort) -> Vec<Element> {
    let targets = [(Family::V4, it.to_v4.map(IpAddr::V4)), (Family::V6, it.to_v6.map(IpAddr::V6))];
    let mut elements = Vec::new();
    for (family, target) in targets {
        let Some(target) = target.filter(|target| it.address.is_none_or(|at| at.is_ipv4() == target.is_ipv4())) else {
            continue;
        };
        let at = it.address.filter(|at| !at.is_unspecified());
        match it.host == it.container && it.host.count() > 1 {
            true => {
                let at = at.map_or(Part::Every(family), Part::Address);
                let key = vec![at, Part::Protocol(it.protocol), Part::Ports(it.host)];
                let set = of_family(target, Set::Ranges4, Set::Ranges6);
                elements.push(element(set, key, Value::Parts(vec![Part::Address(target)])));
            }
            false => {
                let set = match at {
                    Some(_) => of_family(target, Set::Ports4, Set::Ports6),
                    None => of_family(target, Set::AnyPorts4, Set::AnyPorts6),
                };
                for (host, container) in it.host.ports().zip(it.container.ports()) {
                    let mut key = Vec::with_capacity(3);
                    key.extend(at.map(Part::Address));
                    key.extend([Part::Protocol(it.protocol), Part::Port(host)]);
                    let value = vec![Part::Address(target), Part::Port(container)];
                    elements.push(element(set, key, Value::Parts(value)));
                }
            }
        }
    }
    elements.extend(relayed(it));
    elements
}

/// Where the port is not translated, because the container lacks the family, but its socket listens and is relayed.
fn relayed(it: &PublishedPort) -> Vec<Element> {
    let families = [(Family::V4, it.to_v4.is_some()), (Family::V6, it.to_v6.is_some())];
    let at = it.address.filter(|at| !at.is_unspecified());
    let mut elements = Vec::new();
    for (family, translated) in families {
        let is_v4 = family == Family::V4;
        if translated || it.address.is_some_and(|at| at.is_ipv4() != is_v4) {
            continue;
        }
        if it.host == it.container && it.host.count() > 1 {
            let at = at.map_or(Part::Every(family), Part::Address);
            let key = vec![at, Part::Protocol(it.protocol), Part::Ports(it.host)];
            let set = if is_v4 { Set::RelayedRanges4 } else { Set::RelayedRanges6 };
            elements.push(element(set, key, Value::Nothing));
            continue;
        }
        let (set, first) = match at {
            Some(at) => (of_family(at, Set::Relayed4, Set::Relayed6), Part::Address(at)),
            None => (Set::AnyRelayed, Part::Family(family)),
        };
        let key = |host| vec![first.clone(), Part::Protocol(it.protocol), Part::Port(host)];
        elements.extend(it.host.ports().map(|host| element(set, key(host), Value::Nothing)));
    }
    elements
}

impl Element {
    /// Its key in the kernel's bytes.
    pub(super) fn key_bytes(&self) -> Vec<u8> {
        joined(&self.key, Part::low)
    }

    /// The upper end of its key, in interval sets.
    pub(super) fn key_end_bytes(&self) -> Option<Vec<u8>> {
        self.set.definition().interval.then(|| joined(&self.key, Part::high))
    }

    /// Writes it into a list of elements; without its value where it shall be removed.
    pub(super) fn write(&self, with_value: bool, list: &mut Attributes<'_>) {
        list.nest(NFTA_LIST_ELEM, |it| self.write_inside(with_value, it));
    }

    /// Writes what stands in such an element.
    pub(super) fn write_inside(&self, with_value: bool, it: &mut Attributes<'_>) {
        it.nest(NFTA_SET_ELEM_KEY, |data| data.bytes(NFTA_DATA_VALUE, &self.key_bytes()));
        if let Some(end) = self.key_end_bytes() {
            it.nest(NFTA_SET_ELEM_KEY_END, |data| data.bytes(NFTA_DATA_VALUE, &end));
        }
        if with_value {
            self.write_value(it);
        }
    }

    fn write_value(&self, it: &mut Attributes<'_>) {
        match &self.value {
            Value::Nothing => {}
            Value::Verdict(verdict) => it.nest(NFTA_SET_ELEM_DATA, |data| verdict_data(*verdict, data)),
            Value::Parts(parts) => {
                it.nest(NFTA_SET_ELEM_DATA, |data| data.bytes(NFTA_DATA_VALUE, &joined(parts, Part::low)));
            }
        }
    }
}

fn joined(parts: &[Part], bytes: impl Fn(&Part, &mut Vec<u8>)) -> Vec<u8> {
    let mut all = Vec::with_capacity(parts.len() * 8);
    for part in parts {
        bytes(part, &mut all);
        if parts.len() > 1 {
            all.resize(all.len().next_multiple_of(4), 0);
        }
    }
    all
}

impl Part {
    fn low(&self, into: &mut Vec<u8>) {
        match self {
            Self::Address(IpAddr::V4(address)) => into.extend(address.octets()),
            Self::Address(IpAddr::V6(address)) => into.extend(address.octets()),
            Self::Every(Family::V4) => into.extend([0; 4]),
            Self::Every(Family::V6) => into.extend([0; 16]),
            Self::Protocol(protocol) => into.push(*protocol as u8),
            Self::Port(port) => into.extend(port.to_be_bytes()),
            Self::Ports(ports) => into.extend(ports.first().to_be_bytes()),
            Self::Link(name) => {
                let mut padded = [0; 16];
                padded[..name.as_str().len()].copy_from_slice(name.as_str().as_bytes());
                into.extend(padded);
            }
            Self::Family(family) => into.push(family.number()),
        }
    }

    fn high(&self, into: &mut Vec<u8>) {
        match self {
            Self::Every(Family::V4) => into.extend([255; 4]),
            Self::Every(Family::V6) => into.extend([255; 16]),
            Self::Ports(ports) => into.extend(ports.last().to_be_bytes()),
            single => single.low(into),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Every(Family::V4) => f.write_str("0.0.0.0/0"),
            Self::Every(Family::V6) => f.write_str("::/0"),
            Self::Protocol(protocol) => protocol.fmt(f),
            Self::Port(port) => port.fmt(f),
            Self::Ports(ports) => ports.fmt(f),
            Self::Link(name) => write!(f, "\"{name}\""),
            Self::Family(family) => family.fmt(f),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&dotted(&self.key))?;
        match &self.value {
            Value::Nothing => Ok(()),
            Value::Verdict(verdict) => write!(f, " : {verdict}"),
            Value::Parts(parts) => write!(f, " : {}", dotted(parts)),
        }
    }
}

fn dotted(parts: &[Part]) -> String {
    parts.iter().map(Part::to_string).collect::<Vec<_>>().join(" . ")
}

/// A key or value of the kernel's, as text, by what its parts are; hexadecimal where it can't be read.
pub(super) fn readable(types: &[Type], low: &[u8], high: Option<&[u8]>) -> String {
    let mut at = 0;
    let mut told = Vec::new();
    for kind in types {
        let part = |bytes: &[u8]| bytes.get(at..at + kind.length()).and_then(|it| readable_part(*kind, it));
        let Some(first) = part(low) else { return format!("{low:02x?}") };
        told.push(match high.and_then(part).filter(|last| *last != first) {
            Some(last) => format!("{first}-{last}"),
            None => first,
        });
        at += kind.padded();
    }
    told.join(" . ")
}

fn readable_part(kind: Type, bytes: &[u8]) -> Option<String> {
    Some(match kind {
        Type::Address4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string(),
        Type::Address6 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
        Type::Protocol => match bytes[0] {
            6 => Protocol::Tcp.to_string(),
            17 => Protocol::Udp.to_string(),
            132 => Protocol::Sctp.to_string(),
            other => other.to_string(),
        },
        Type::Port => u16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        Type::Link => format!("{:?}", String::from_utf8_lossy(bytes).trim_end_matches('\0')),
        Type::Family => match bytes[0] {
            NFPROTO_IPV4 => Family::V4.to_string(),
            NFPROTO_IPV6 => Family::V6.to_string(),
            other => other.to_string(),
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::set::Holds;
    use super::*;

    fn published() -> impl Strategy<Value = PublishedPort> {
        let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
        let ports = (1u16..=65_000, 0u16..=20, any::<bool>());
        (protocol, any::<Option<IpAddr>>(), ports, any::<Option<[u8; 4]>>(), any::<Option<[u8; 16]>>()).prop_map(
            |(protocol, address, (first, more, same), to_v4, to_v6)| PublishedPort {
                protocol,
                address,
                host: PortRange::new(first, first + more).unwrap(),
                container: match same {
                    true => PortRange::new(first, first + more).unwrap(),
                    false => PortRange::new(7, 7 + more).unwrap(),
                },
                to_v4: to_v4.map(Into::into),
                to_v6: to_v6.map(Into::into),
            },
        )
    }

    proptest! {
        #[test]
        fn a_key_has_the_length_of_its_set_and_reads_back_as_it_is_shown(port in published()) {
            for element in elements(&Resource::PublishedPort(port.clone())) {
                let definition = element.set.definition();
                let (low, high) = (element.key_bytes(), element.key_end_bytes());
                prop_assert_eq!(low.len(), definition.key_length());
                prop_assert_eq!(high.is_some(), definition.interval);
                let key = readable(definition.key, &low, high.as_deref());
                let told = match (&element.value, definition.holds) {
                    (Value::Parts(parts), Holds::Values(types)) => {
                        let value = joined(parts, Part::low);
                        prop_assert_eq!(value.len(), definition.value().unwrap().1);
                        format!("{key} : {}", readable(types, &value, None))
                    }
                    (Value::Nothing, Holds::Nothing) => key,
                    other => panic!("a set holds what its elements bear: {other:?}"),
                };
                let shown = element.to_string();
                let whole = |text: String| text.replace("0.0.0.0-255.255.255.255", "0.0.0.0/0").replace(EVERY_V6, "::/0");
                prop_assert_eq!(whole(told), whole(shown));
            }
        }

        #[test]
        fn every_port_that_is_listened_on_leads_to_its_container_or_is_relayed(port in published()) {
            let serves = |at_v4: bool| port.address.is_none_or(|it| it.is_ipv4() == at_v4);
            let families = usize::from(serves(true)) + usize::from(serves(false));
            let translated = usize::from(port.to_v4.is_some() && serves(true)) + usize::from(port.to_v6.is_some() && serves(false));
            let range = port.host == port.container && port.host.count() > 1;
            let each = if range { 1 } else { port.host.count() as usize };
            let all = elements(&Resource::PublishedPort(port));
            prop_assert_eq!(all.len(), families * each);
            prop_assert_eq!(all.iter().filter(|it| it.value != Value::Nothing).count(), translated * each);
            let keys: std::collections::HashSet<_> = all.iter().map(|it| (it.set, &it.key)).collect();
            prop_assert_eq!(keys.len(), all.len());
        }
    }

    const EVERY_V6: &str = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
}
