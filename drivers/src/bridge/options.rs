//! The options of bridge networks and of their endpoints: Docker's labels, read into types.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use trestle_core::Result;
use trestle_core::driver::OptionDoc;
use trestle_core::name::IfName;
use trestle_core::resource::{Announcements, GatewayMode};

use super::setting::LinkSetting;
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
    /// How IPv4 packets get in.
    pub gateway_v4: GatewayMode,
    /// How IPv6 packets get in.
    pub gateway_v6: GatewayMode,
    /// Whether the bridge goes without its IPv4 address.
    pub inhibit_v4: bool,
    /// Links by which published ports are reached at the containers' own addresses.
    pub trusted: Vec<IfName>,
    /// Whether containers that name no network join this one.
    pub default: bool,
    /// The address that IPv4 packets bear outside; `None` is that of the link by which they leave.
    pub source_v4: Option<Ipv4Addr>,
    /// The address that IPv6 packets bear outside; `None` is that of the link by which they leave.
    pub source_v6: Option<Ipv6Addr>,
    /// How a new endpoint's addresses are announced.
    pub announcements: Announcements,
}

/// The options of an endpoint on a bridge network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointOptions {
    /// The name for its link in the sandbox.
    pub interface: Option<IfName>,
    /// Settings of its link there.
    pub settings: Vec<LinkSetting>,
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
/// The label that says how IPv4 packets get in.
pub(crate) const MODE_V4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
/// The label that says how IPv6 packets get in.
pub(crate) const MODE_V6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
/// The label that says by which links containers are reached at their own addresses.
pub(crate) const TRUSTED: &str = "com.docker.network.bridge.trusted_host_interfaces";
/// The label that marks the default network.
pub(crate) const DEFAULT: &str = "com.docker.network.bridge.default_bridge";
/// The label that says which address IPv4 packets bear outside.
pub(crate) const SOURCE_V4: &str = "com.docker.network.host_ipv4";
/// The label that says which address IPv6 packets bear outside.
pub(crate) const SOURCE_V6: &str = "com.docker.network.host_ipv6";
/// The label that sets an endpoint's link.
pub(crate) const SETTINGS: &str = "com.docker.network.endpoint.sysctls";
/// The label that names an endpoint's link.
pub(crate) const INTERFACE: &str = "com.docker.network.endpoint.ifname";

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
        key: MODE_V4,
        default: "nat",
        meaning: "How IPv4 packets get in and out of the network. nat: in by published ports; out with the host's \
                  address. nat-unprotected: as nat, and by a route to the containers' own addresses in to every port; \
                  from other networks of this host only by published ports. routed: nothing is translated and no port \
                  of the host taken; published ports are open at the containers' own addresses, to whoever has a \
                  route, ICMP too. isolated: for internal networks; the bridge has no address, so that the host \
                  neither reaches the containers nor is reached.",
        value: Value::Mode(|options| &mut options.gateway_v4),
    },
    Label {
        key: MODE_V6,
        default: "nat",
        meaning: "The same for IPv6 packets.",
        value: Value::Mode(|options| &mut options.gateway_v6),
    },
    Label {
        key: "com.docker.network.bridge.inhibit_ipv4",
        default: "false",
        meaning: "Leaves the bridge without its IPv4 address. It stays the containers' way out, so somebody else has \
                  to have it.",
        value: Value::Flag(|options| &mut options.inhibit_v4),
    },
    Label {
        key: TRUSTED,
        default: "none",
        meaning: "Links of the host by which the network's published ports are reached at the containers' own \
                  addresses too, by whoever has a route. Also those that are published on the host's loopback alone.",
        value: Value::Links(|options| &mut options.trusted),
    },
    Label {
        key: DEFAULT,
        default: "false",
        meaning: "Marks the network that containers join when they name none. There is at most one, and it can't be \
                  deleted.",
        value: Value::Flag(|options| &mut options.default),
    },
    Label {
        key: SOURCE_V4,
        default: "that of the link by which a packet leaves",
        meaning: "The address that IPv4 packets bear when they leave the network. Others have to find the host by it.",
        value: Value::SourceV4(|options| &mut options.source_v4),
    },
    Label {
        key: SOURCE_V6,
        default: "that of the link by which a packet leaves",
        meaning: "The address that IPv6 packets bear when they leave the network. Others have to find the host by it.",
        value: Value::SourceV6(|options| &mut options.source_v6),
    },
    Label {
        key: "com.docker.network.advertise_addr_nmsgs",
        default: "3",
        meaning: "How often a new endpoint's addresses are announced to its neighbours; the first time at once.",
        value: Value::Announcements(|options| &mut options.announcements.count),
    },
    Label {
        key: "com.docker.network.advertise_addr_ms",
        default: "1000",
        meaning: "How many milliseconds lie between two announcements.",
        value: Value::Milliseconds(|options| &mut options.announcements.milliseconds_apart),
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
        key: SETTINGS,
        default: "none",
        meaning: "Settings of the endpoint's link in the sandbox. They go with the link.",
        value: Value::Settings(|options| &mut options.settings),
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
            gateway_v4: GatewayMode::Nat,
            gateway_v6: GatewayMode::Nat,
            inhibit_v4: false,
            trusted: Vec::new(),
            default: false,
            source_v4: None,
            source_v6: None,
            announcements: Announcements::default(),
        }
    }
}

impl BridgeOptions {
    /// Reads a network's options.
    ///
    /// # Errors
    /// `Invalid` names the option, what was wrong, and what is allowed.
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
