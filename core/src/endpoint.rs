//! An endpoint: a place on a network, with addresses and ports, that a sandbox may take.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::dns::EndpointNames;
use crate::id::{EndpointId, NetworkId, SandboxId};
use crate::mac::MacAddress;
use crate::name::{EndpointName, IfName};
use crate::plan::Plan;
use crate::port::{ExposedPort, PortBinding, PortRequest};

/// An endpoint as the controller knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// For ever.
    pub id: EndpointId,
    /// The network that it is a place on.
    pub network: NetworkId,
    /// Unique on its network.
    pub name: EndpointName,
    /// What it lives as long as.
    pub lifetime: Lifetime,
    /// Its addresses; none on host and null networks.
    pub lease: Option<Lease>,
    /// Its MAC address, the same as long as it lives.
    pub mac: MacAddress,
    /// The ports that its container's programs are said to listen on.
    #[serde(with = "crate::run")]
    pub exposed: Vec<ExposedPort>,
    /// What shall be published while it is attached.
    #[serde(with = "crate::run")]
    pub wanted: Vec<PortRequest>,
    /// The driver's options for this endpoint.
    pub options: BTreeMap<String, String>,
    /// Larger wins the default route.
    pub priority: i64,
    /// Whether its network is the one that its container was created for; wins the default route among equals.
    pub primary: bool,
    /// The name that its link shall have in the sandbox; `None` is the next free `eth`.
    pub interface: Option<IfName>,
    /// What it is called beside its name, and what it calls others.
    #[serde(default, skip_serializing_if = "EndpointNames::is_empty")]
    pub names: EndpointNames,
    /// Where it stands.
    pub state: EndpointState,
}

impl Endpoint {
    /// The endpoint without its attachment: what outlives the kernel's state.
    pub fn reservation(&self) -> Endpoint {
        let state = match self.state {
            EndpointState::Reserving => EndpointState::Reserving,
            _ => EndpointState::Reserved,
        };
        Endpoint { state, ..self.clone() }
    }
}

/// What an endpoint lives as long as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifetime {
    /// Until it is deleted: it survives a restart of the machine.
    Explicit,
    /// Its attachment: made by `connect`, gone with `disconnect`.
    Attachment,
}

/// The addresses of an endpoint, with the pools they came from.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lease {
    /// The IPv4 address with its subnet's prefix length.
    pub v4: Option<Ipv4Net>,
    /// The IPv6 address with its subnet's prefix length.
    pub v6: Option<Ipv6Net>,
}

impl Lease {
    /// The addresses themselves, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v4 = self.v4.map(|net| IpAddr::V4(net.addr()));
        let v6 = self.v6.map(|net| IpAddr::V6(net.addr()));
        v4.into_iter().chain(v6)
    }
}

/// What an endpoint puts into the kernel. Ports change without touching the link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plans {
    /// Links, addresses, the network's own routes.
    pub link: Plan,
    /// Published ports and what goes with them.
    #[serde(with = "crate::run")]
    pub ports: Plan,
}

impl Plans {
    /// Both, in the order in which they are made: the door opens last.
    pub fn whole(&self) -> Plan {
        self.link.clone().then(&self.ports)
    }
}

/// An endpoint's place in a sandbox: what its plans hold, and what the sandbox's own plan needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// The link's name there; `None` where the driver makes no link.
    pub interface: Option<IfName>,
    /// The routing table in the sandbox that packets from its addresses use while another endpoint owns the default route.
    pub table: u32,
    /// The way out for IPv4, if the endpoint has one.
    pub gateway_v4: Option<Ipv4Addr>,
    /// The way out for IPv6, if the endpoint has one.
    pub gateway_v6: Option<Ipv6Addr>,
    /// Whether everything of IPv4 is on the link itself: a way out without a gateway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_by_link_v4: bool,
    /// The same of IPv6.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_by_link_v6: bool,
    /// Whether the driver asks that no other network gives the way out in its stead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub declines_gateway: bool,
    /// What is published, with every port chosen.
    #[serde(with = "crate::run")]
    pub ports: Vec<PortBinding>,
    /// What is, or may be, in the kernel.
    pub plans: Plans,
}

impl Attachment {
    /// Whether IPv4 packets can leave by it for everywhere.
    pub fn leads_out_v4(&self) -> bool {
        self.gateway_v4.is_some() || self.out_by_link_v4
    }

    /// The same of IPv6.
    pub fn leads_out_v6(&self) -> bool {
        self.gateway_v6.is_some() || self.out_by_link_v6
    }
}

/// What of a detached endpoint is not done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    /// What is in the kernel is to be cut off: doors closed, ports let go, links taken out of service.
    Cut,
    /// Links that were cut off are to be deleted.
    Reap,
    /// The driver is to be told that the endpoint left.
    Leave,
    /// The endpoint itself goes when all else is done.
    Forget,
}

/// Where an endpoint stands. Each state has exactly what it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum EndpointState {
    /// Stored before its driver is asked for a place, if the driver is outside. After a crash: delete.
    Reserving,
    /// It holds its name, addresses and MAC; nothing is in the kernel.
    Reserved,
    /// Stored before a plugin is asked. After a crash: leave, delete.
    Joining {
        /// The sandbox it is on its way to.
        sandbox: SandboxId,
    },
    /// Stored before any effect of ours. After a crash: removed.
    Attaching(Attachment),
    /// In the kernel. After a crash: applied again.
    Attached(Attachment),
    /// Between two sets of plans. After a crash: `to` is finished.
    Changing {
        /// What was.
        from: Box<Attachment>,
        /// What shall be.
        to: Box<Attachment>,
    },
    /// Cut off, and being removed. It keeps address, name and MAC until nothing is owed.
    Detaching {
        /// The sandbox that it was in.
        sandbox: SandboxId,
        /// Its link's name there, which is free again when the link is.
        interface: Option<IfName>,
        /// What may still be in the kernel.
        #[serde(with = "crate::run")]
        plan: Plan,
        /// What is not done yet.
        owed: Vec<Owed>,
    },
}

impl EndpointState {
    /// The sandbox that it is in, on its way to or from.
    pub fn sandbox(&self) -> Option<SandboxId> {
        match self {
            Self::Reserving | Self::Reserved => None,
            Self::Joining { sandbox } => Some(*sandbox),
            Self::Attaching(attachment) | Self::Attached(attachment) => Some(attachment.sandbox),
            Self::Changing { to, .. } => Some(to.sandbox),
            Self::Detaching { sandbox, .. } => Some(*sandbox),
        }
    }

    /// The attachment that is in force, or on its way there.
    pub fn attachment(&self) -> Option<&Attachment> {
        match self {
            Self::Reserving | Self::Reserved | Self::Joining { .. } | Self::Detaching { .. } => None,
            Self::Attaching(attachment) | Self::Attached(attachment) => Some(attachment),
            Self::Changing { to, .. } => Some(to),
        }
    }

    /// The name of its link in the sandbox, also of one that is on its way out.
    pub fn interface(&self) -> Option<&IfName> {
        match self {
            Self::Detaching { interface, .. } => interface.as_ref(),
            other => other.attachment()?.interface.as_ref(),
        }
    }

    /// Whether there may be a link of that name still: what is owed then is owed to others than the kernel.
    pub fn has_a_link(&self) -> bool {
        match self {
            Self::Detaching { owed, .. } => owed.contains(&Owed::Cut) || owed.contains(&Owed::Reap),
            _ => self.attachment().is_some(),
        }
    }

    /// What may exist in the kernel because of the endpoint.
    pub fn footprint(&self) -> Plan {
        match self {
            Self::Reserving | Self::Reserved | Self::Joining { .. } => Plan::new(),
            Self::Attaching(attachment) | Self::Attached(attachment) => attachment.plans.whole(),
            Self::Changing { from, to } => {
                let (from, to) = (from.plans.whole(), to.plans.whole());
                from.without([&to]).then(&to)
            }
            Self::Detaching { plan, .. } => plan.clone(),
        }
    }

    /// Whether it is in a sandbox, or on its way there.
    pub fn is_inside(&self) -> bool {
        matches!(self, Self::Joining { .. }) || self.attachment().is_some()
    }

    /// Whether the endpoint goes as soon as what it owes is done. One that was not promised yet is nobody's either.
    pub fn is_leaving_for_good(&self) -> bool {
        match self {
            Self::Reserving => true,
            Self::Detaching { owed, .. } => owed.contains(&Owed::Forget),
            _ => false,
        }
    }

    /// The state's name, as tables show it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reserving => "reserving",
            Self::Reserved => "reserved",
            Self::Joining { .. } => "joining",
            Self::Attaching(_) => "attaching",
            Self::Attached(_) => "attached",
            Self::Changing { .. } => "changing",
            Self::Detaching { .. } => "detaching",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_has_the_addresses_of_its_families() {
        let lease = Lease { v4: Some("10.0.0.2/24".parse().unwrap()), v6: Some("fd00::2/64".parse().unwrap()) };
        let told = |lease: &Lease| lease.addresses().map(|address| address.to_string()).collect::<Vec<_>>();
        assert_eq!(told(&lease), ["10.0.0.2", "fd00::2"]);
        assert_eq!(told(&Lease { v4: None, ..lease }), ["fd00::2"]);
        assert!(told(&Lease::default()).is_empty());
    }
}
