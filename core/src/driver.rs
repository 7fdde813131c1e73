//! The driver's contract: facts in, plan out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::endpoint::{Endpoint, Lease};
use crate::error::Result;
use crate::facts::Facts;
use crate::mac::MacAddress;
use crate::name::IfName;
use crate::network::{Network, Scope};
use crate::plan::Plan;
use crate::port::{PortBinding, PortRequest};
use crate::resource::Namespace;

/// Lays out one kind of network. It answers; the controller acts.
///
/// A built-in driver is pure: the same question has the same answer, and asking changes nothing. One that speaks for a
/// plugin says so by [`Capability::external`]; it may be slow and it may fail, and no lock is held while it runs.
#[async_trait]
pub trait Driver: Send + Sync {
    /// What the driver can do; never changes while it is registered.
    fn capability(&self) -> Capability;

    /// The options that its networks take.
    fn options(&self) -> Vec<OptionDoc>;

    /// How the endpoint's link is called in a sandbox, where [`Endpoint::interface`] does not say so.
    fn interface_name(&self, _network: &Network, _endpoint: &Endpoint) -> InterfaceName {
        InterfaceName::Numbered("eth".to_owned())
    }

    /// The host's address on which the network's ports are published where a request names none; `None` is every
    /// address of both families.
    fn default_address(&self, _network: &Network) -> Option<IpAddr> {
        None
    }

    /// Whether a request's ports take ports of the host. Where they don't, they are opened at the container's own address.
    fn takes_host_ports(&self, _network: &Network, _request: &PortRequest) -> bool {
        true
    }

    /// Whether containers that name no network join this one. There is at most one such network, and it stays.
    fn is_default(&self, _network: &Network) -> bool {
        false
    }

    /// Checks the network's options and pools against the host, and answers with what shall be in the kernel for it.
    ///
    /// # Errors
    /// `Invalid` names the option and why; `Conflict` a link or network in the way; `Unsupported` what the host lacks.
    async fn create_network(&self, network: &Network, facts: &Facts) -> Result<Plan>;

    /// The network is gone from the kernel; forget it. Called again until it succeeds.
    async fn delete_network(&self, network: &Network) -> Result<()>;

    /// Which gateways need not be leased for a network like this, whose pools are not chosen yet.
    async fn gateways_not_needed(&self, _network: &Network, _families: ByFamily) -> Result<ByFamily> {
        Ok(ByFamily::default())
    }

    /// A place on the network is reserved. Checks the endpoint's options; may choose what the request left open.
    async fn create_endpoint(&self, network: &Network, endpoint: &Endpoint) -> Result<Chosen>;

    /// The place is given up. Called again until it succeeds, also for endpoints that the driver never saw.
    async fn delete_endpoint(&self, network: &Network, endpoint: &Endpoint) -> Result<()>;

    /// What links the endpoint to a sandbox.
    async fn join(&self, network: &Network, endpoint: &Endpoint, slot: &Slot) -> Result<Joined>;

    /// What publishes these ports of the endpoint. Asked anew for the whole set whenever it changes.
    async fn publish(&self, network: &Network, endpoint: &Endpoint, ports: &[PortBinding]) -> Result<Plan>;

    /// The endpoint is out of its sandbox. Called again until it succeeds.
    async fn leave(&self, network: &Network, endpoint: &Endpoint) -> Result<()>;
}

/// What a driver can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// How far its networks reach.
    pub scope: Scope,
    /// What becomes of published ports.
    pub ports: Ports,
    /// Whether its endpoints have addresses, and so its networks pools.
    pub addresses: Addresses,
    /// Whether asking it reaches out of this process.
    pub external: bool,
    /// Whether there can be but one network of its kind.
    pub single: bool,
    /// Whether its sandboxes must be the host's own namespace.
    pub host_namespace: bool,
}

/// What becomes of the published ports of a driver's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ports {
    /// The driver maps them.
    Maps,
    /// The driver can't; the sandbox is attached to the bridge network too.
    ViaBridge,
    /// There is nothing to map: the sandbox has the host's ports, or none.
    NotApplicable,
}

/// Whether a driver's networks have pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addresses {
    /// At most so many a family.
    Pools(usize),
    /// None.
    None,
}

/// One option of a driver's networks, as its documentation and its errors tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionDoc {
    /// The label, such as `com.docker.network.bridge.enable_icc`.
    pub key: String,
    /// What values it takes, for a person: `true or false`.
    pub values: String,
    /// What it is when not given.
    pub default: String,
    /// What it does.
    pub meaning: String,
    /// Whether this version honours it; if not, using it is refused with "not yet".
    pub supported: bool,
}

/// What a driver chose of an endpoint: only what was open may be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Its MAC address.
    pub mac: Option<MacAddress>,
    /// Its addresses.
    pub lease: Option<Lease>,
}

/// A yes or no for each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByFamily {
    /// For IPv4.
    pub v4: bool,
    /// For IPv6.
    pub v6: bool,
}

/// How a driver wants a link to be called in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceName {
    /// So, or not at all.
    Exactly(IfName),
    /// This, then the lowest number that makes a free name: `eth` makes `eth0`, `eth1` and so on. Three digits make a
    /// name that the kernel takes.
    Numbered(String),
}

impl InterfaceName {
    /// The name where none is taken yet.
    pub fn first(&self) -> Result<IfName> {
        match self {
            Self::Exactly(name) => Ok(name.clone()),
            Self::Numbered(prefix) => IfName::try_from(format!("{prefix}0")),
        }
    }
}

/// The place in a sandbox that an endpoint is to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The sandbox's namespace.
    pub namespace: Namespace,
    /// The name for the endpoint's link there. A driver outside is asked before one is chosen; what its plan calls so is
    /// called as the controller chooses then.
    pub interface: IfName,
}

/// How an endpoint is linked to its sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Links, addresses, and the network's own routes; no default route, which is the sandbox's to choose.
    pub plan: Plan,
    /// The link's name in the sandbox; `None` where there is no link.
    pub interface: Option<IfName>,
    /// The way out for IPv4.
    pub gateway_v4: Option<Ipv4Addr>,
    /// The way out for IPv6.
    pub gateway_v6: Option<Ipv6Addr>,
    /// Whether everything of IPv4 is on the link itself: a way out without a gateway.
    pub out_by_link_v4: bool,
    /// The same of IPv6.
    pub out_by_link_v6: bool,
    /// Whether no other network shall give the way out in its stead.
    pub declines_gateway: bool,
    /// How the link shall be called, where a driver outside says so only now.
    pub wish: Option<InterfaceName>,
}
