//! How a resource is named to a person: `link veth0123456789`, `port 0.0.0.0:80/tcp`.

use std::fmt::{Display, Formatter, Result};
use std::net::IpAddr;

use super::{
    Address, Bridge, Moved, Namespace, Netns, OpenedPort, Owner, PublishedPort, Resource, Route, SourceRule, Sysctl,
    Veth,
};

impl Display for Resource {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Netns(it) => it.fmt(f),
            Self::Loopback(it) => write!(f, "loopback{}", Where(&it.namespace)),
            Self::Sysctl(it) => it.fmt(f),
            Self::Bridge(it) => it.fmt(f),
            Self::Veth(it) => it.fmt(f),
            Self::Moved(it) => it.fmt(f),
            Self::Address(it) => it.fmt(f),
            Self::Route(it) => it.fmt(f),
            Self::SourceRule(it) => it.fmt(f),
            Self::FirewallBase => f.write_str("firewall table"),
            Self::FirewallNetwork(it) => write!(f, "firewall of {}", it.bridge),
            Self::PublishedPort(it) => it.fmt(f),
            Self::OpenedPort(it) => it.fmt(f),
            Self::Hairpin(it) => write!(f, "hairpin of {}", it.address),
            Self::MasqueradedUdp(it) => write!(f, "masqueraded UDP to {}", it.address),
            Self::NameServer(it) => write!(f, "name server{}", Where(&it.namespace)),
        }
    }
}

impl Display for Netns {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "namespace {}", self.path.display())
    }
}

impl Display for Sysctl {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "setting {}{}", self.key, Where(&self.namespace))
    }
}

impl Display for Bridge {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.owner {
            Owner::Us => write!(f, "bridge {}", self.name),
            Owner::User => write!(f, "bridge {} (made by a person)", self.name),
        }
    }
}

impl Display for Veth {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "link {}", self.name)
    }
}

impl Display for Moved {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "link {}, moved as {}{}", self.source, self.name, Where(&self.namespace))
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "address {} on {}{}", self.address, self.link, Where(&self.namespace))
    }
}

impl Display for Route {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let family = if self.destination.addr().is_ipv6() { "IPv6" } else { "IPv4" };
        match self.destination.prefix_len() {
            0 => write!(f, "default {family} route{}", Where(&self.namespace)),
            _ => write!(f, "route to {}{}", self.destination.trunc(), Where(&self.namespace)),
        }
    }
}

impl Display for SourceRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "rule for packets from {}{}", self.from, Where(&self.namespace))
    }
}

/// The way a conflict over a port must begin (see [`crate::kernel::PORT_TAKEN`]).
impl Display for PublishedPort {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.address {
            None => write!(f, "port {}/{}", self.host, self.protocol),
            Some(IpAddr::V4(address)) => write!(f, "port {address}:{}/{}", self.host, self.protocol),
            Some(IpAddr::V6(address)) => write!(f, "port [{address}]:{}/{}", self.host, self.protocol),
        }
    }
}

impl Display for OpenedPort {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "opened port {address}:{}/{}", self.ports, self.protocol),
            IpAddr::V6(address) => write!(f, "opened port [{address}]:{}/{}", self.ports, self.protocol),
        }
    }
}

struct Where<'a>(&'a Namespace);

impl Display for Where<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0.path() {
            None => Ok(()),
            Some(path) => write!(f, " in {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FirewallNetwork, GatewayMode, Hairpin, Inside, MAIN_TABLE, MasqueradedUdp, NameServer};
    use super::*;
    use crate::id::SandboxId;
    use crate::kernel::PORT_TAKEN;
    use crate::port::{PortRange, Protocol};

    fn port(address: Option<&str>) -> Resource {
        Resource::PublishedPort(PublishedPort {
            protocol: Protocol::Tcp,
            address: address.map(|address| address.parse().unwrap()),
            host: PortRange::new(80, 81).unwrap(),
            container: PortRange::new(80, 81).unwrap(),
            to_v4: None,
            to_v6: None,
        })
    }

    fn opened(address: &str) -> Resource {
        let (address, ports) = (address.parse().unwrap(), PortRange::new(80, 81).unwrap());
        Resource::OpenedPort(OpenedPort { protocol: Protocol::Tcp, address, ports })
    }

    #[test]
    fn no_two_kinds_of_resource_have_the_same_name() {
        let (namespace, address) = (Namespace::At("/run/x".into()), IpAddr::from([10, 0, 0, 2]));
        let route = |destination: &str| {
            let (destination, link) = (destination.parse().unwrap(), "eth0".try_into().unwrap());
            Resource::Route(Route { namespace: namespace.clone(), table: MAIN_TABLE, destination, gateway: None, link })
        };
        let firewall = FirewallNetwork {
            bridge: "br0".try_into().unwrap(),
            inside: Inside::Open,
            internal: false,
            gateway_v4: GatewayMode::Nat,
            gateway_v6: GatewayMode::Nat,
            trusted: Vec::new(),
            masquerade_v4: true,
            masquerade_v6: true,
            source_v4: None,
            source_v6: None,
            filter_bridged: true,
        };
        for (resource, name) in [
            (Resource::Netns(Netns { path: "/run/x".into() }), "namespace /run/x"),
            (
                Resource::Moved(Moved {
                    source: "weave1".try_into().unwrap(),
                    namespace: namespace.clone(),
                    name: "eth0".try_into().unwrap(),
                    mac: None,
                }),
                "link weave1, moved as eth0 in /run/x",
            ),
            (route("0.0.0.0/0"), "default IPv4 route in /run/x"),
            (route("::/0"), "default IPv6 route in /run/x"),
            (route("10.0.0.7/24"), "route to 10.0.0.0/24 in /run/x"),
            (Resource::FirewallBase, "firewall table"),
            (Resource::FirewallNetwork(firewall), "firewall of br0"),
            (Resource::Hairpin(Hairpin { address }), "hairpin of 10.0.0.2"),
            (Resource::MasqueradedUdp(MasqueradedUdp { address }), "masqueraded UDP to 10.0.0.2"),
            (
                Resource::NameServer(NameServer {
                    namespace: namespace.clone(),
                    sandbox: SandboxId::NOBODY,
                    ipv6: true,
                }),
                "name server in /run/x",
            ),
            (opened("10.0.0.2"), "opened port 10.0.0.2:80-81/tcp"),
            (opened("fd00::2"), "opened port [fd00::2]:80-81/tcp"),
            (port(None), "port 80-81/tcp"),
            (port(Some("192.0.2.1")), "port 192.0.2.1:80-81/tcp"),
            (port(Some("::1")), "port [::1]:80-81/tcp"),
        ] {
            assert_eq!(resource.to_string(), name);
        }
    }

    #[test]
    fn a_port_is_named_as_a_conflict_over_it_begins() {
        assert!(port(None).to_string().starts_with(PORT_TAKEN));
    }
}
