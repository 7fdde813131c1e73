//! What a pure driver must know of the host it plans for.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::mac::MacAddress;
use crate::name::IfName;

/// The host, as the kernel layer sees it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Every link but the loopback.
    pub links: Vec<LinkFact>,
    /// Every destination in the main routing tables but the default routes.
    pub routes: Vec<IpNet>,
    /// The name servers that the host asks.
    pub nameservers: Vec<IpAddr>,
    /// The MTU of the link that the default route uses; `None` where there is no default route.
    pub uplink_mtu: Option<u32>,
    /// Links that have a route from a router advertisement (RFC 4861), which the kernel would drop when IPv6 forwarding
    /// is enabled unless the link's `accept_ra` is 2. Those where it is 2 already are among them: each network's plan
    /// holds them, so that it works without the plan of another network.
    pub accepts_router_advertisements: Vec<IfName>,
    /// Whether the host has IPv6.
    pub ipv6: bool,
    /// Whether bridged packets can be made to pass the firewall (br_netfilter is there).
    pub filter_bridged: bool,
    /// Settings that drivers ask about, as `(path below /proc/sys, value)`: `net/ipv4/ip_forward` and the like.
    pub sysctls: Vec<(String, String)>,
}

/// One link of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFact {
    /// Its name.
    pub name: IfName,
    /// The kernel's kind: `bridge`, `veth` and so on; empty for hardware.
    pub kind: String,
    /// Bytes a packet may have.
    pub mtu: u32,
    /// Its MAC address, if it has a unicast one.
    pub mac: Option<MacAddress>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Whether it bears our mark.
    pub ours: bool,
}

impl Facts {
    /// The link of that name.
    pub fn link(&self, name: &IfName) -> Option<&LinkFact> {
        self.links.iter().find(|link| link.name == *name)
    }

    /// What a setting says now.
    pub fn sysctl(&self, key: &str) -> Option<&str> {
        self.sysctls.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// What a pool chosen by us must keep clear of.
    pub fn taken(&self) -> Vec<IpNet> {
        let addresses = self.links.iter().flat_map(|link| link.addresses.iter().map(IpNet::trunc));
        let nameservers = self.nameservers.iter().map(|address| IpNet::from(*address));
        self.routes.iter().copied().chain(addresses).chain(nameservers).collect()
    }
}
