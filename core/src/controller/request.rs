//! What is asked of the controller: parsed at the door, checked against the rest of the world inside.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::IpNet;

use crate::dns::{EndpointNames, Naming};
use crate::mac::MacAddress;
use crate::name::{EndpointName, IfName, NetworkName, SandboxName};
use crate::port::{ExposedPort, PortRequest};

/// A network to create.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkRequest {
    /// Its name.
    pub name: NetworkName,
    /// The driver that lays it out.
    pub driver: String,
    /// The address manager.
    pub ipam: String,
    /// The address manager's options.
    pub ipam_options: BTreeMap<String, String>,
    /// The pools asked for by subnet.
    pub pools: Vec<PoolWish>,
    /// Whether it has IPv4; a default pool is leased where `pools` has none of the family.
    pub ipv4: bool,
    /// Whether it has IPv6; likewise. A pool of the family in `pools` says so too.
    pub ipv6: bool,
    /// Whether it has no way out.
    pub internal: bool,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
}

impl NetworkRequest {
    /// A network with IPv4 from a default pool, and nothing else asked.
    pub fn new(name: NetworkName, driver: impl Into<String>) -> Self {
        Self {
            name,
            driver: driver.into(),
            ipam: "default".into(),
            ipam_options: BTreeMap::new(),
            pools: Vec::new(),
            ipv4: true,
            ipv6: false,
            internal: false,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// A pool asked for by its subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolWish {
    /// The subnet, without host bits.
    pub subnet: IpNet,
    /// The part that automatic addresses come from.
    pub range: Option<IpNet>,
    /// The network's own address; `None` is the lowest one.
    pub gateway: Option<IpAddr>,
    /// Addresses kept for other uses, by name.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// An endpoint to create.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointRequest {
    /// The network: id, name or beginning of an id.
    pub network: String,
    /// Its name; `None` takes the sandbox's on `connect`, else one made from its id.
    pub name: Option<EndpointName>,
    /// Its IPv4 address; `None` is any free one.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address; `None` is any free one.
    pub v6: Option<Ipv6Addr>,
    /// Its MAC address; `None` is a random one.
    pub mac: Option<MacAddress>,
    /// The ports its programs are said to listen on.
    pub exposed: Vec<ExposedPort>,
    /// What shall be published while it is attached.
    pub ports: Vec<PortRequest>,
    /// The driver's options for it.
    pub options: BTreeMap<String, String>,
    /// Larger wins the default route.
    pub priority: i64,
    /// Whether the network is the container's main one; wins the default route among equals.
    pub primary: bool,
    /// The name for its link in the sandbox; `None` is the next free `eth`.
    pub interface: Option<IfName>,
    /// What it is called beside its name, and what it calls others.
    pub names: EndpointNames,
}

impl EndpointRequest {
    /// An endpoint on a network, and nothing else asked.
    pub fn on(network: impl Into<String>) -> Self {
        Self {
            network: network.into(),
            name: None,
            v4: None,
            v6: None,
            mac: None,
            exposed: Vec::new(),
            ports: Vec::new(),
            options: BTreeMap::new(),
            priority: 0,
            primary: false,
            interface: None,
            names: EndpointNames::default(),
        }
    }
}

/// A sandbox to create.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxRequest {
    /// Its name; `None` makes one from its id.
    pub name: Option<SandboxName>,
    /// Where its namespace comes from.
    pub netns: NetnsRequest,
    /// What it is told about names. With `None` it has neither a name server nor files that tell of names.
    pub naming: Option<Naming>,
    /// What it is attached to from the start, in this order. It costs less than to connect it later, and there is no
    /// moment in which the sandbox is there without them.
    pub endpoints: Vec<EndpointRequest>,
}

impl SandboxRequest {
    /// A sandbox that is attached to nothing, its name made from its id.
    pub fn new(netns: NetnsRequest) -> Self {
        Self { name: None, netns, naming: None, endpoints: Vec::new() }
    }
}

/// Where a sandbox's namespace comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetnsRequest {
    /// We make it.
    Make,
    /// The one bound to this file.
    Path(PathBuf),
    /// That of a process.
    Pid(u32),
    /// The host's own.
    Host,
}
