//! `NetworkDriver.*`: the bodies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Call, Done, or_nothing};

/// Options whose values have types of their own. See [`super::options`].
pub type Options = BTreeMap<String, Value>;

macro_rules! calls {
    ($($request:ident = $method:literal -> $reply:ty;)*) => {$(
        impl Call for $request {
            const METHOD: &'static str = concat!("NetworkDriver.", $method);
            type Reply = $reply;
        }
    )*};
}

/// What can you do? Asked right after the handshake, without a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetCapabilities {}

impl Call for GetCapabilities {
    const METHOD: &'static str = "NetworkDriver.GetCapabilities";
    const HAS_BODY: bool = false;
    type Reply = Capabilities;
}

/// What a network driver can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Capabilities {
    /// `local` or `global`; anything else is no driver.
    #[serde(deserialize_with = "or_nothing")]
    pub scope: String,
    /// `local`, `global`, or nothing, which says the same as the scope.
    #[serde(deserialize_with = "or_nothing")]
    pub connectivity_scope: String,
    /// Whether [`GwAllocCheck`] is to be asked before a network's gateways are leased.
    #[serde(deserialize_with = "or_nothing")]
    pub gw_alloc_checker: bool,
    /// Whether it maps published ports itself. Ours: Docker's daemon neither sends nor reads it.
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "std::ops::Not::not")]
    pub port_mapping: bool,
}

/// The addresses of a network, one of its pools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamData {
    /// In which address space.
    #[serde(deserialize_with = "or_nothing")]
    pub address_space: String,
    /// The subnet.
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub pool: String,
    /// The network's own address, with the subnet's prefix length.
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Addresses kept for other uses by name, with the subnet's prefix length.
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "BTreeMap::is_empty")]
    pub aux_addresses: BTreeMap<String, String>,
}

/// Reserve what a network of global scope needs. Sent by managers of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AllocateNetwork {
    /// Which one.
    #[serde(rename = "NetworkID")]
    pub network: String,
    /// The user's options.
    #[serde(deserialize_with = "or_nothing")]
    pub options: BTreeMap<String, String>,
    /// Its IPv4 pools.
    #[serde(rename = "IPv4Data", deserialize_with = "or_nothing")]
    pub v4: Vec<IpamData>,
    /// Its IPv6 pools.
    #[serde(rename = "IPv6Data", deserialize_with = "or_nothing")]
    pub v6: Vec<IpamData>,
}

/// What was reserved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Allocated {
    /// The options to create the network with.
    #[serde(deserialize_with = "or_nothing")]
    pub options: BTreeMap<String, String>,
}

/// Give back what [`AllocateNetwork`] reserved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FreeNetwork {
    /// Which one.
    #[serde(rename = "NetworkID")]
    pub network: String,
}

/// Which gateways does a network with these options not need? Asked before they are leased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GwAllocCheck {
    /// Those that [`CreateNetwork`] will bring.
    #[serde(deserialize_with = "or_nothing")]
    pub options: Options,
}

/// The gateways that need no address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GwAllocChecked {
    /// That of IPv4.
    #[serde(rename = "SkipIPv4", deserialize_with = "or_nothing")]
    pub skip_v4: bool,
    /// That of IPv6.
    #[serde(rename = "SkipIPv6", deserialize_with = "or_nothing")]
    pub skip_v6: bool,
}

/// A network comes to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateNetwork {
    /// Its id.
    #[serde(rename = "NetworkID")]
    pub network: String,
    /// See [`super::options::of_network`].
    #[serde(deserialize_with = "or_nothing")]
    pub options: Options,
    /// Its IPv4 pools.
    #[serde(rename = "IPv4Data", deserialize_with = "or_nothing")]
    pub v4: Vec<IpamData>,
    /// Its IPv6 pools.
    #[serde(rename = "IPv6Data", deserialize_with = "or_nothing")]
    pub v6: Vec<IpamData>,
}

/// A network is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteNetwork {
    /// Which one.
    #[serde(rename = "NetworkID")]
    pub network: String,
}

/// The addresses of an endpoint: in a request those that are known, in a reply those that the plugin chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Interface {
    /// The IPv4 address with its prefix length.
    #[serde(deserialize_with = "or_nothing")]
    pub address: String,
    /// The IPv6 address with its prefix length.
    #[serde(rename = "AddressIPv6", deserialize_with = "or_nothing")]
    pub address_v6: String,
    /// The MAC address.
    #[serde(deserialize_with = "or_nothing")]
    pub mac_address: String,
}

/// An endpoint comes to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateEndpoint {
    /// On which network.
    #[serde(rename = "NetworkID")]
    pub network: String,
    /// Its id.
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
    /// What is known of its addresses. Always sent.
    #[serde(deserialize_with = "or_nothing")]
    pub interface: Interface,
    /// See [`super::options::of_endpoint`]. Flat: what the user said stands beside what we say.
    #[serde(deserialize_with = "or_nothing")]
    pub options: Options,
}

/// What a plugin chose of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointCreated {
    /// Only what was open may be set.
    pub interface: Option<Interface>,
}

/// Which endpoint is meant. The body of five methods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// On which network.
    #[serde(rename = "NetworkID")]
    pub network: String,
    /// Which endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
}

macro_rules! about_a_place {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(
            /// Which endpoint.
            pub Place,
        );
    )*};
}

about_a_place! {
    /// An endpoint is gone. Also takes back a [`CreateEndpoint`] whose answer could not be used.
    DeleteEndpoint;
    /// What is there to know of an endpoint?
    EndpointOperInfo;
    /// An endpoint left its sandbox. Also takes back a [`Join`] whose answer could not be used.
    Leave;
    /// An endpoint is the way out no more. A plugin may have no such method.
    RevokeExternalConnectivity;
}

/// What there is to know of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct OperInfo {
    /// Whatever the plugin tells.
    #[serde(deserialize_with = "or_nothing")]
    pub value: Options,
}

/// An endpoint is to be linked to a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Join {
    /// On which network.
    #[serde(rename = "NetworkID")]
    pub network: String,
    /// Which endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
    /// The file behind which the sandbox's namespace is.
    #[serde(deserialize_with = "or_nothing")]
    pub sandbox_key: String,
    /// See [`super::options::of_sandbox`]. Not the endpoint's.
    #[serde(deserialize_with = "or_nothing")]
    pub options: Options,
}

/// How an endpoint is linked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Joined {
    /// The link to move into the sandbox, if there is one.
    pub interface_name: Option<InterfaceName>,
    /// The way out for IPv4.
    #[serde(deserialize_with = "or_nothing")]
    pub gateway: String,
    /// The way out for IPv6.
    #[serde(rename = "GatewayIPv6", deserialize_with = "or_nothing")]
    pub gateway_v6: String,
    /// Routes for the sandbox.
    #[serde(deserialize_with = "or_nothing")]
    pub static_routes: Vec<StaticRoute>,
    /// Whether the sandbox needs no other way out, though this is none.
    #[serde(deserialize_with = "or_nothing")]
    pub disable_gateway_service: bool,
}

/// A link that a plugin made in the host's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InterfaceName {
    /// Its name there.
    #[serde(deserialize_with = "or_nothing")]
    pub src_name: String,
    /// Its name in the sandbox. Docker's daemon does not honour it, and so neither do we.
    #[serde(deserialize_with = "or_nothing")]
    pub dst_name: String,
    /// How its name in the sandbox begins; a number follows.
    #[serde(deserialize_with = "or_nothing")]
    pub dst_prefix: String,
}

/// A route for a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StaticRoute {
    /// Where to.
    #[serde(deserialize_with = "or_nothing")]
    pub destination: String,
    /// [`NEXT_HOP`] or [`CONNECTED`].
    #[serde(deserialize_with = "or_nothing")]
    pub route_type: i64,
    /// By which neighbour.
    #[serde(deserialize_with = "or_nothing")]
    pub next_hop: String,
}

/// The [`StaticRoute::route_type`] of a route by a neighbour.
pub const NEXT_HOP: i64 = 0;

/// The [`StaticRoute::route_type`] of a route to what is on the link itself.
pub const CONNECTED: i64 = 1;

/// An endpoint is the way out now. A plugin may have no such method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProgramExternalConnectivity {
    /// On which network.
    #[serde(rename = "NetworkID")]
    pub network: String,
    /// Which endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
    /// Those of the join.
    #[serde(deserialize_with = "or_nothing")]
    pub options: Options,
}

/// The [`DiscoverNew::kind`] of nodes, the only one that is told to plugins.
pub const NODE: i64 = 1;

/// What was discovered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    /// The node's address.
    #[serde(deserialize_with = "or_nothing")]
    pub address: String,
    /// What it listens on.
    #[serde(deserialize_with = "or_nothing")]
    pub bind_address: String,
    /// Whether it is this one. The protocol's page writes `self`, its programs `Self`: both are read.
    #[serde(rename = "Self", alias = "self", deserialize_with = "or_nothing")]
    pub is_self: bool,
}

macro_rules! discoveries {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// [`NODE`].
            #[serde(rename = "DiscoveryType")]
            pub kind: i64,
            /// Which one.
            #[serde(rename = "DiscoveryData", deserialize_with = "or_nothing")]
            pub node: Node,
        }
    )*};
}

discoveries! {
    /// A node came.
    DiscoverNew;
    /// A node went.
    DiscoverDelete;
}

calls! {
    AllocateNetwork = "AllocateNetwork" -> Allocated;
    FreeNetwork = "FreeNetwork" -> Done;
    GwAllocCheck = "GwAllocCheck" -> GwAllocChecked;
    CreateNetwork = "CreateNetwork" -> Done;
    DeleteNetwork = "DeleteNetwork" -> Done;
    CreateEndpoint = "CreateEndpoint" -> EndpointCreated;
    DeleteEndpoint = "DeleteEndpoint" -> Done;
    EndpointOperInfo = "EndpointOperInfo" -> OperInfo;
    Join = "Join" -> Joined;
    Leave = "Leave" -> Done;
    ProgramExternalConnectivity = "ProgramExternalConnectivity" -> Done;
    RevokeExternalConnectivity = "RevokeExternalConnectivity" -> Done;
    DiscoverNew = "DiscoverNew" -> Done;
    DiscoverDelete = "DiscoverDelete" -> Done;
}
