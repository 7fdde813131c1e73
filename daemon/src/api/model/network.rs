//! Networks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use trestle_core::controller::request::{NetworkRequest, PoolWish};
use trestle_core::network::{self, NetworkState, Pool};
use trestle_core::{Doing, Error, Result};

use super::endpoint::Endpoint;
use super::{json, read, timestamp};

/// A network to create.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNetwork {
    /// Unique among networks: letters, digits, `_`, `.` and `-`, the first a letter or digit.
    pub name: String,
    /// The driver; `bridge` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The address manager; `default` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipam: Option<String>,
    /// The address manager's options.
    #[serde(default, deserialize_with = "json::unique", skip_serializing_if = "BTreeMap::is_empty")]
    pub ipam_options: BTreeMap<String, String>,
    /// Pools asked for by subnet. For a family that is on and has none here, one is chosen.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<NewPool>,
    /// Whether it has IPv4; yes if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<bool>,
    /// Whether it has IPv6; if not given, only where a pool says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<bool>,
    /// Whether it has no way out.
    #[serde(default)]
    pub internal: bool,
    /// The driver's options, as Docker's labels: `com.docker.network.bridge.name`.
    #[serde(default, deserialize_with = "json::unique", skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Labels; they mean nothing to us.
    #[serde(default, deserialize_with = "json::unique", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A pool asked for by its subnet.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPool {
    /// The subnet: `10.1.0.0/24`.
    pub subnet: String,
    /// The part of it that automatic addresses come from; all of it if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// The network's own address; the lowest free one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Addresses kept for other uses, by name.
    #[serde(default, deserialize_with = "json::unique", skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, String>,
}

impl NewNetwork {
    /// What is asked of the controller.
    ///
    /// # Errors
    /// `Invalid`, with the field's name.
    pub fn read(self) -> Result<NetworkRequest> {
        let pools = self.pools.into_iter().enumerate();
        let pools: Vec<PoolWish> =
            pools.map(|(index, pool)| pool.read(&format!("pools[{index}]"))).collect::<Result<_>>()?;
        let v6_pools = pools.iter().any(|pool| matches!(pool.subnet, IpNet::V6(_)));
        let v4_pools = pools.iter().any(|pool| matches!(pool.subnet, IpNet::V4(_)));
        for (field, off, given) in
            [("ipv4", self.ipv4 == Some(false), v4_pools), ("ipv6", self.ipv6 == Some(false), v6_pools)]
        {
            if off && given {
                return Err(Error::invalid(format!("{field}: it is off, and pools has a subnet of it")));
            }
        }
        for (field, value) in [("driver", &self.driver), ("ipam", &self.ipam)] {
            if value.as_deref() == Some("") {
                return Err(Error::invalid(format!("{field}: it is empty; leave it out for the default")));
            }
        }
        Ok(NetworkRequest {
            name: self.name.try_into().doing(|| "name")?,
            driver: self.driver.unwrap_or_else(|| "bridge".into()),
            ipam: self.ipam.unwrap_or_else(|| "default".into()),
            ipam_options: self.ipam_options,
            pools,
            ipv4: self.ipv4.unwrap_or(true),
            ipv6: self.ipv6.unwrap_or(v6_pools),
            internal: self.internal,
            options: self.options,
            labels: self.labels,
        })
    }
}

impl NewPool {
    fn read(self, place: &str) -> Result<PoolWish> {
        let subnet: IpNet = read(format!("{place}.subnet"), &self.subnet, "a subnet such as 10.1.0.0/24")?;
        if subnet != subnet.trunc() {
            let meant = subnet.trunc();
            return Err(Error::invalid(format!("{place}.subnet: {subnet} is an address in {meant}; give {meant}")));
        }
        let inside = |field: String, address: IpAddr| match subnet.contains(&address) {
            true => Ok(address),
            false => Err(Error::invalid(format!("{field}: {address} is not in the subnet {subnet}"))),
        };
        let address = |field: String, text: &str| {
            let address = read(&field, text, "an address")?;
            inside(field, address)
        };
        let range = self.range.map(|text| {
            let field = format!("{place}.range");
            let range: IpNet = read(&field, &text, "a subnet such as 10.1.0.128/25")?;
            if range != range.trunc() {
                let meant = range.trunc();
                return Err(Error::invalid(format!("{field}: {range} is an address in {meant}; give {meant}")));
            }
            match subnet.contains(&range) {
                true => Ok(range),
                false => Err(Error::invalid(format!("{field}: {range} is not in the subnet {subnet}"))),
            }
        });
        let auxiliary = self.auxiliary.into_iter().map(|(name, text)| {
            let address = address(format!("{place}.auxiliary.{name}"), &text)?;
            Ok((name, address))
        });
        Ok(PoolWish {
            subnet,
            range: range.transpose()?,
            gateway: self.gateway.map(|text| address(format!("{place}.gateway"), &text)).transpose()?,
            auxiliary: auxiliary.collect::<Result<_>>()?,
        })
    }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// 64 hexadecimal digits, for ever.
    pub id: String,
    /// Unique among networks.
    pub name: String,
    /// `creating`, `ready` or `deleting`.
    pub state: String,
    /// The driver that lays it out.
    pub driver: String,
    /// How far it reaches: `local` or `global`.
    pub scope: String,
    /// The address manager that its pools come from.
    pub ipam: String,
    /// Where its endpoints' addresses come from.
    pub pools: Vec<NetworkPool>,
    /// Whether it has no way out.
    pub internal: bool,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it was created.
    pub created: String,
}

/// A pool of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkPool {
    /// The addresses that belong to the network.
    pub subnet: String,
    /// The part that automatic addresses come from; `null` is all of it.
    pub range: Option<String>,
    /// The network's own address.
    pub gateway: Option<String>,
    /// Addresses kept for other uses, by name.
    pub auxiliary: BTreeMap<String, String>,
}

/// A network with the endpoints on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkDetails {
    /// The network.
    #[serde(flatten)]
    pub network: Network,
    /// Every endpoint on it.
    pub endpoints: Vec<Endpoint>,
}

impl From<&network::Network> for Network {
    fn from(network: &network::Network) -> Self {
        let state = match network.state {
            NetworkState::Creating { .. } => "creating",
            NetworkState::Ready { .. } => "ready",
            NetworkState::Deleting { .. } => "deleting",
        };
        let scope = match network.scope {
            network::Scope::Local => "local",
            network::Scope::Global => "global",
        };
        Self {
            id: network.id.to_string(),
            name: network.name.to_string(),
            state: state.into(),
            driver: network.driver.clone(),
            scope: scope.into(),
            ipam: network.ipam.clone(),
            pools: network.pools.iter().map(NetworkPool::from).collect(),
            internal: network.internal,
            options: network.options.clone(),
            labels: network.labels.clone(),
            created: timestamp(network.created),
        }
    }
}

impl From<&Pool> for NetworkPool {
    fn from(pool: &Pool) -> Self {
        let auxiliary = pool.auxiliary.iter().map(|(name, address)| (name.clone(), address.to_string()));
        Self {
            subnet: pool.subnet.to_string(),
            range: pool.range.map(|range| range.to_string()),
            gateway: pool.gateway.map(|gateway| gateway.to_string()),
            auxiliary: auxiliary.collect(),
        }
    }
}
