//! A network: a driver's layout that endpoints join, with the pools their addresses come from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::id::NetworkId;
use crate::name::NetworkName;
use crate::plan::Plan;

/// How far a network reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// This host.
    Local,
    /// Every host that shares the store.
    Global,
}

/// A network as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// For ever.
    pub id: NetworkId,
    /// Unique among networks.
    pub name: NetworkName,
    /// The name of the driver that lays it out.
    pub driver: String,
    /// The name of the address manager that its pools come from.
    pub ipam: String,
    /// How far it reaches.
    pub scope: Scope,
    /// Where its endpoints' addresses come from: none for host and null networks.
    pub pools: Vec<Pool>,
    /// Whether it has no way out.
    pub internal: bool,
    /// The driver's options, as Docker's labels: `com.docker.network.…`.
    pub options: BTreeMap<String, String>,
    /// The user's labels; they mean nothing to us.
    pub labels: BTreeMap<String, String>,
    /// When it was created.
    pub created: SystemTime,
    /// Where it stands.
    pub state: NetworkState,
}

/// A pool as a network uses it: a lease of an address manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The address manager's name for the lease; opaque.
    pub id: String,
    /// The addresses that belong to the network.
    pub subnet: IpNet,
    /// The part that automatic addresses come from; `None` is the whole subnet.
    pub range: Option<IpNet>,
    /// The network's own address, which containers use as their way out.
    pub gateway: Option<IpAddr>,
    /// Addresses that are kept for other uses, by name.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// Where a network stands. Each state holds what may exist in the kernel because of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum NetworkState {
    /// Stored before any effect; after a crash it is removed.
    Creating {
        /// What may exist.
        plan: Plan,
    },
    /// Endpoints may join; after a crash its plan is applied again.
    Ready {
        /// What exists.
        plan: Plan,
    },
    /// Being removed; after a crash that goes on.
    Deleting {
        /// What may still exist.
        plan: Plan,
    },
}

impl NetworkState {
    /// What may exist in the kernel because of the network.
    pub fn plan(&self) -> &Plan {
        match self {
            Self::Creating { plan } | Self::Ready { plan } | Self::Deleting { plan } => plan,
        }
    }
}

/// The option that marks the network which containers join when they name none (Docker's).
const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";

impl Network {
    /// Whether endpoints find each other by name here: everywhere but on the default network, where Docker has links
    /// instead, as its users expect.
    pub fn has_names(&self) -> bool {
        let is_true = |value: &String| matches!(value.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True");
        !self.options.get(DEFAULT_BRIDGE).is_some_and(is_true)
    }

    /// The first pool of IPv4 addresses.
    pub fn pool_v4(&self) -> Option<&Pool> {
        self.pools.iter().find(|pool| matches!(pool.subnet, IpNet::V4(_)))
    }

    /// The first pool of IPv6 addresses.
    pub fn pool_v6(&self) -> Option<&Pool> {
        self.pools.iter().find(|pool| matches!(pool.subnet, IpNet::V6(_)))
    }
}
