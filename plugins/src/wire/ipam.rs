//! `IpamDriver.*`: the bodies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Call, Done, or_nothing};

/// Which address is asked for, in [`RequestAddress::options`]: `com.docker.network.gateway`, or nothing.
pub const REQUEST_ADDRESS_TYPE: &str = "RequestAddressType";

/// The value of [`REQUEST_ADDRESS_TYPE`] for a gateway, and the key of a gateway in [`PoolLeased::data`].
pub const GATEWAY: &str = "com.docker.network.gateway";

/// What can you do? A plugin may have no such method, or fail at it: then it needs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetCapabilities {}

/// What an address manager needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// To be told for which MAC address an address is.
    #[serde(rename = "RequiresMACAddress", deserialize_with = "or_nothing")]
    pub requires_mac: bool,
    /// To be asked for every lease again when the daemon starts.
    #[serde(rename = "RequiresRequestReplay", deserialize_with = "or_nothing")]
    pub requires_replay: bool,
}

/// In which address spaces are pools by default?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetDefaultAddressSpaces {}

/// The default address spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressSpaces {
    /// For networks of this host.
    #[serde(rename = "LocalDefaultAddressSpace", deserialize_with = "or_nothing")]
    pub local: String,
    /// For networks that span hosts.
    #[serde(rename = "GlobalDefaultAddressSpace", deserialize_with = "or_nothing")]
    pub global: String,
}

/// Lease a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RequestPool {
    /// In which address space.
    #[serde(deserialize_with = "or_nothing")]
    pub address_space: String,
    /// The subnet; nothing leaves the choice to the plugin.
    #[serde(deserialize_with = "or_nothing")]
    pub pool: String,
    /// The part of it that automatic addresses come from.
    #[serde(deserialize_with = "or_nothing")]
    pub sub_pool: String,
    /// The user's options.
    pub options: Option<BTreeMap<String, String>>,
    /// Whether a pool of the plugin's choice is to be one of IPv6.
    #[serde(deserialize_with = "or_nothing")]
    pub v6: bool,
}

/// A pool on lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PoolLeased {
    /// The plugin's name for it.
    #[serde(rename = "PoolID", deserialize_with = "or_nothing")]
    pub id: String,
    /// The subnet.
    #[serde(deserialize_with = "or_nothing")]
    pub pool: String,
    /// What else there is to know; under [`GATEWAY`], the gateway with its prefix length.
    #[serde(deserialize_with = "or_nothing")]
    pub data: BTreeMap<String, String>,
}

/// Give a pool back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleasePool {
    /// Which one.
    #[serde(rename = "PoolID", deserialize_with = "or_nothing")]
    pub id: String,
}

/// Lease an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RequestAddress {
    /// From which pool.
    #[serde(rename = "PoolID", deserialize_with = "or_nothing")]
    pub id: String,
    /// The address, without a prefix length; nothing leaves the choice to the plugin.
    #[serde(deserialize_with = "or_nothing")]
    pub address: String,
    /// What it is for.
    pub options: Option<BTreeMap<String, String>>,
}

/// An address on lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AddressLeased {
    /// The address with its prefix length.
    #[serde(deserialize_with = "or_nothing")]
    pub address: String,
    /// What else there is to know.
    #[serde(deserialize_with = "or_nothing")]
    pub data: BTreeMap<String, String>,
}

/// Give an address back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReleaseAddress {
    /// To which pool.
    #[serde(rename = "PoolID", deserialize_with = "or_nothing")]
    pub id: String,
    /// The address, without a prefix length.
    #[serde(deserialize_with = "or_nothing")]
    pub address: String,
}

macro_rules! calls {
    ($($request:ident = $method:literal, $has_body:literal -> $reply:ty;)*) => {$(
        impl Call for $request {
            const METHOD: &'static str = concat!("IpamDriver.", $method);
            const HAS_BODY: bool = $has_body;
            type Reply = $reply;
        }
    )*};
}

calls! {
    GetCapabilities = "GetCapabilities", false -> Capabilities;
    GetDefaultAddressSpaces = "GetDefaultAddressSpaces", false -> AddressSpaces;
    RequestPool = "RequestPool", true -> PoolLeased;
    ReleasePool = "ReleasePool", true -> Done;
    RequestAddress = "RequestAddress", true -> AddressLeased;
    ReleaseAddress = "ReleaseAddress", true -> Done;
}
