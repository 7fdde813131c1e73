//! The address manager's contract: pools and addresses, on lease.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use ipnet::IpNet;

use crate::error::Result;
use crate::mac::MacAddress;

/// Says which address. No lock of the controller is held while it is asked.
#[async_trait]
pub trait Ipam: Send + Sync {
    /// Whether leases are lost when the process ends, so that the controller asks for each stored one again at start.
    fn needs_replay(&self) -> bool;

    /// Whether asking it reaches out of this process: it may be slow, and it may fail.
    fn external(&self) -> bool {
        false
    }

    /// Ends well once it can be asked, and has said what it needs.
    async fn greet(&self) -> Result<()> {
        Ok(())
    }

    /// Leases a pool: the wanted subnet, or one of the manager's own choice that keeps clear of `avoid`.
    ///
    /// # Errors
    /// `Invalid` for a subnet that can't be one, `Conflict` when it overlaps a leased one (the text names it),
    /// `Exhausted` when no default pool is left.
    async fn request_pool(&self, request: &PoolRequest) -> Result<PoolLease>;

    /// Gives a pool back, whatever addresses are still out. Unknown pools are no error.
    async fn release_pool(&self, pool: &str) -> Result<()>;

    /// Leases an address: the wanted one, or one that was not released lately.
    ///
    /// # Errors
    /// `NotFound` for an unknown pool, `Invalid` for an address outside the pool or one that no host can bear,
    /// `Conflict` for one that is leased, `Exhausted` when none is left.
    async fn request_address(&self, pool: &str, request: &AddressRequest) -> Result<IpNet>;

    /// Gives an address back. Unknown addresses and pools are no error.
    async fn release_address(&self, pool: &str, address: IpAddr) -> Result<()>;

    /// Gives a pool back that was asked for and never used, as by a dry run: where the manager can, what it chooses
    /// next is what it would have chosen without.
    async fn cancel_pool(&self, pool: &str) -> Result<()> {
        self.release_pool(pool).await
    }

    /// Gives an address back that was asked for and never used; likewise.
    async fn cancel_address(&self, pool: &str, address: IpAddr) -> Result<()> {
        self.release_address(pool, address).await
    }
}

/// A family of Internet addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What pool is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRequest {
    /// Of which family.
    pub family: Family,
    /// The subnet; `None` leaves the choice to the manager.
    pub subnet: Option<IpNet>,
    /// The part of it that automatic addresses come from.
    pub range: Option<IpNet>,
    /// What a pool of the manager's choice must not overlap: routes, addresses and name servers of the host.
    pub avoid: Vec<IpNet>,
    /// The manager's options.
    pub options: BTreeMap<String, String>,
}

/// A pool on lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLease {
    /// The manager's name for it; opaque.
    pub id: String,
    /// The addresses it holds.
    pub subnet: IpNet,
    /// The gateway, where the manager has chosen and leased one already.
    pub gateway: Option<IpAddr>,
}

/// What address is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRequest {
    /// The pool's subnet, where who asks knows it: the answer is in it.
    pub subnet: Option<IpNet>,
    /// The address; `None` leaves the choice to the manager.
    pub wanted: Option<IpAddr>,
    /// What it is for.
    pub purpose: Purpose,
}

/// What an address is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The network's own address. Chosen from the whole subnet, the lowest free one.
    Gateway,
    /// One kept for another use. Always a wanted one.
    Auxiliary,
    /// An endpoint's. Chosen from the range.
    Endpoint {
        /// Its MAC address.
        mac: MacAddress,
        /// Its name.
        name: String,
    },
}
