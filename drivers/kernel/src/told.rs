//! How a resource is named to a person.

use std::fmt;

use trestle_core::resource::{
    Address, Bridge, Namespace, Netns, Owner, PublishedPort, Resource, Route, SourceRule, Sysctl, Veth,
};

/// Something with a name for people: `link veth0123456789`, `port 0.0.0.0:80/tcp`.
pub(crate) trait Told {
    fn told(&self) -> String;
}

impl Told for Resource {
    fn told(&self) -> String {
        match self {
            Self::Netns(it) => it.told(),
            Self::Loopback(it) => format!("loopback{}", Where(&it.namespace)),
            Self::Sysctl(it) => it.told(),
            Self::Bridge(it) => it.told(),
            Self::Veth(it) => it.told(),
            Self::Address(it) => it.told(),
            Self::Route(it) => it.told(),
            Self::SourceRule(it) => it.told(),
            Self::FirewallBase => "firewall table".into(),
            Self::FirewallNetwork(it) => format!("firewall of {}", it.bridge),
            Self::PublishedPort(it) => it.told(),
            Self::Hairpin(it) => format!("hairpin of {}", it.address),
            Self::MasqueradedUdp(it) => format!("masqueraded UDP of {}", it.address),
        }
    }
}

impl Told for Netns {
    fn told(&self) -> String {
        format!("namespace {}", self.path.display())
    }
}

impl Told for Sysctl {
    fn told(&self) -> String {
        format!("setting {}{}", self.key, Where(&self.namespace))
    }
}

impl Told for Bridge {
    fn told(&self) -> String {
        match self.owner {
            Owner::Us => format!("bridge {}", self.name),
            Owner::User => format!("bridge {} (made by a person)", self.name),
        }
    }
}

impl Told for Veth {
    fn told(&self) -> String {
        format!("link {}", self.name)
    }
}

impl Told for Address {
    fn told(&self) -> String {
        format!("address {} on {}{}", self.address, self.link, Where(&self.namespace))
    }
}

impl Told for Route {
    fn told(&self) -> String {
        let family = if self.destination.addr().is_ipv6() { "IPv6" } else { "IPv4" };
        match self.destination.prefix_len() {
            0 => format!("default {family} route{}", Where(&self.namespace)),
            _ => format!("route to {}{}", self.destination.trunc(), Where(&self.namespace)),
        }
    }
}

impl Told for SourceRule {
    fn told(&self) -> String {
        format!("rule for packets from {}{}", self.from, Where(&self.namespace))
    }
}

/// The way a conflict over a port must begin (see [`trestle_core::kernel::PORT_TAKEN`]).
impl Told for PublishedPort {
    fn told(&self) -> String {
        match self.address {
            None => format!("port {}/{}", self.host, self.protocol),
            Some(address) if address.is_ipv6() => format!("port [{address}]:{}/{}", self.host, self.protocol),
            Some(address) => format!("port {address}:{}/{}", self.host, self.protocol),
        }
    }
}

struct Where<'a>(&'a Namespace);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.path() {
            None => Ok(()),
            Some(path) => write!(f, " in {}", path.display()),
        }
    }
}
