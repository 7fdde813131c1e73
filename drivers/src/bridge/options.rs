//! The options of bridge networks and of their endpoints: Docker's labels, read into types.

use std::collections::BTreeMap;
use std::net::IpAddr;

use trestle_core::Result;
use trestle_core::driver::OptionDoc;
use trestle_core::name::IfName;

use crate::label::{self, Label, Value};

/// The options of a bridge network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeOptions {
    /// The bridge's name; `None` makes one from the network's id.
    pub name: Option<IfName>,
    /// Whether containers of the network may talk to each other.
    pub inter_container: bool,
    /// Whether packets that leave the network bear the host's address.
    pub masquerade: bool,
    /// On which address of the host ports are published, where a request names none; `None` is every address of both
    /// families.
    pub host_address: Option<IpAddr>,
    /// Bytes a packet may have; `None` is the uplink's.
    pub mtu: Option<u32>,
    /// What stands before the number in the names of the containers' links.
    pub interface_prefix: String,
    /// Whether the network was said to have IPv4.
    pub ipv4: Option<bool>,
    /// Whether the network was said to have IPv6.
    pub ipv6: Option<bool>,
}

/// The options of an endpoint on a bridge network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointOptions {
    /// The name for its link in the sandbox.
    pub interface: Option<IfName>,
}

/// The label that says the MTU.
pub(crate) const MTU: &str = "com.docker.network.driver.mtu";
/// The label that names the bridge.
pub(crate) const NAME: &str = "com.docker.network.bridge.name";
/// The label that lets containers talk to each other.
pub(crate) const INTER_CONTAINER: &str = "com.docker.network.bridge.enable_icc";
/// The label that says that there is IPv4.
pub(crate) const IPV4: &str = "com.docker.network.enable_ipv4";
/// The label that says that there is IPv6.
pub(crate) const IPV6: &str = "com.docker.network.enable_ipv6";
/// The label that names an endpoint's link.
pub(crate) const INTERFACE: &str = "com.docker.network.endpoint.ifname";

const GATEWAY_MODES: &str = "nat, nat-unprotected, routed or isolated";

const NETWORK: &[Label<BridgeOptions>] = &[
    Label {
        key: NAME,
        default: "br- and the first 12 digits of the network's id",
        meaning: "The bridge's name. One that exists already and is not Trestle's is used as it stands, and stays when \
                  the network goes; it only gets the network's gateway address where it lacks it.",
        value: Value::Link(|options| &mut options.name),
    },
    Label {
        key: INTER_CONTAINER,
        default: "true",
        meaning: "Whether containers of the network may talk to each other. If not, they reach only each other's \
                  published ports. Turning it off needs the kernel module br_netfilter.",
        value: Value::Flag(|options| &mut options.inter_container),
    },
    Label {
        key: "com.docker.network.bridge.enable_ip_masquerade",
        default: "true",
        meaning: "Whether packets that leave the network bear the host's address. Without it, the routers around have \
                  to know the way back.",
        value: Value::Flag(|options| &mut options.masquerade),
    },
    Label {
        key: "com.docker.network.bridge.host_binding_ipv4",
        default: "0.0.0.0",
        meaning: "On which address of the host ports are published, where the request names none.",
        value: Value::HostAddress(|options| &mut options.host_address),
    },
    Label {
        key: MTU,
        default: "that of the link with the default route, else 1500",
        meaning: "How many bytes a packet may have. IPv6 needs 1280.",
        value: Value::Mtu(|options| &mut options.mtu),
    },
    Label {
        key: "com.docker.network.container_iface_prefix",
        default: "eth",
        meaning: "What stands before the number in the names of the containers' links.",
        value: Value::Prefix(|options| &mut options.interface_prefix),
    },
    Label {
        key: IPV4,
        default: "as the network was asked for",
        meaning: "Whether the network has IPv4. Taken from clients that say it twice; it can't contradict the \
                  network's pools.",
        value: Value::Declared(|options| &mut options.ipv4),
    },
    Label {
        key: IPV6,
        default: "as the network was asked for",
        meaning: "Whether the network has IPv6. Taken from clients that say it twice; it can't contradict the \
                  network's pools.",
        value: Value::Declared(|options| &mut options.ipv6),
    },
    Label {
        key: "com.docker.network.bridge.gateway_mode_ipv4",
        default: "nat",
        meaning: "How IPv4 packets get in and out of the network.",
        value: Value::NotYet(GATEWAY_MODES),
    },
    Label {
        key: "com.docker.network.bridge.gateway_mode_ipv6",
        default: "nat",
        meaning: "How IPv6 packets get in and out of the network.",
        value: Value::NotYet(GATEWAY_MODES),
    },
    Label {
        key: "com.docker.network.bridge.inhibit_ipv4",
        default: "false",
        meaning: "Leaves the bridge without its IPv4 address.",
        value: Value::NotYet("true or false"),
    },
    Label {
        key: "com.docker.network.bridge.trusted_host_interfaces",
        default: "none",
        meaning: "The links by which containers may be reached without a published port.",
        value: Value::NotYet("names of links with ':' between them"),
    },
    Label {
        key: "com.docker.network.bridge.default_bridge",
        default: "false",
        meaning: "Marks the network that containers join when they name none.",
        value: Value::NotYet("true or false"),
    },
    Label {
        key: "com.docker.network.host_ipv4",
        default: "that of the link by which a packet leaves",
        meaning: "The address that IPv4 packets bear when they leave the network.",
        value: Value::NotYet("an IPv4 address of the host"),
    },
    Label {
        key: "com.docker.network.host_ipv6",
        default: "that of the link by which a packet leaves",
        meaning: "The address that IPv6 packets bear when they leave the network.",
        value: Value::NotYet("an IPv6 address of the host"),
    },
    Label {
        key: "com.docker.network.advertise_addr_nmsgs",
        default: "3",
        meaning: "How often a new endpoint's addresses are announced to its neighbours.",
        value: Value::NotYet("a number from 0 to 3"),
    },
    Label {
        key: "com.docker.network.advertise_addr_ms",
        default: "1000",
        meaning: "How many milliseconds lie between two announcements.",
        value: Value::NotYet("a number from 100 to 2000"),
    },
];

const ENDPOINT: &[Label<EndpointOptions>] = &[
    Label {
        key: INTERFACE,
        default: "the network's prefix and the lowest free number",
        meaning: "The name of the endpoint's link in the sandbox.",
        value: Value::Link(|options| &mut options.interface),
    },
    Label {
        key: "com.docker.network.endpoint.sysctls",
        default: "none",
        meaning: "Settings of the endpoint's link in the sandbox.",
        value: Value::NotYet("settings such as net.ipv4.conf.IFNAME.log_martians=1 with ',' between them"),
    },
];

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            name: None,
            inter_container: true,
            masquerade: true,
            host_address: None,
            mtu: None,
            interface_prefix: "eth".to_owned(),
            ipv4: None,
            ipv6: None,
        }
    }
}

impl BridgeOptions {
    /// Reads a network's options.
    ///
    /// # Errors
    /// `Invalid` and `Unsupported` name the option, what was wrong, and what is allowed.
    pub fn read(options: &BTreeMap<String, String>) -> Result<Self> {
        label::read(NETWORK, options)
    }

    /// What each of them does.
    pub fn documentation() -> Vec<OptionDoc> {
        label::documentation(NETWORK)
    }
}

impl EndpointOptions {
    /// Reads an endpoint's options; errors as [`BridgeOptions::read`].
    pub fn read(options: &BTreeMap<String, String>) -> Result<Self> {
        label::read(ENDPOINT, options)
    }

    /// What each of them does.
    pub fn documentation() -> Vec<OptionDoc> {
        label::documentation(ENDPOINT)
    }
}
