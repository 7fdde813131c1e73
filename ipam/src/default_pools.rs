//! Where subnets come from that nobody named.

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv6Net};
use trestle_core::error::{Error, Result};
use trestle_core::ipam::Family;

use crate::runs::Runs;
use crate::span::{self, Span};
use crate::subnet;

/// Docker's own: what its users expect, and what their firewalls know.
const DOCKER: [(&str, u8); 7] = [
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
];

/// A stretch of addresses that is given out in subnets of one size: `{10.0.0.0/8, 24}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPool {
    /// All of it.
    pub base: IpNet,
    /// The prefix length of each subnet.
    pub size: u8,
}

/// The stretches that subnets of the manager's own choice come from, in the order of their use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultPools(Vec<AddressPool>);

impl DefaultPools {
    /// The given ones. A family that they do not mention keeps its own: Docker's for IPv4, and for IPv6 the unique
    /// local prefix that the global id makes (RFC 4193), in subnets of /64.
    ///
    /// The id should be random, and the same for as long as the installation lives.
    ///
    /// # Errors
    /// `Invalid` for a base that can't be a subnet, a size that its base does not hold, and bases that overlap.
    pub fn new(given: Vec<AddressPool>, global_id: [u8; 5]) -> Result<Self> {
        for (index, pool) in given.iter().enumerate() {
            pool.check()?;
            if let Some(other) = given[..index].iter().find(|other| subnet::overlap(other.base, pool.base)) {
                return Err(Error::invalid(format!("the address pools {} and {} overlap", other.base, pool.base)));
            }
        }
        let mut pools = given;
        let mentioned = |pools: &[AddressPool], family| pools.iter().any(|it| span::family(it.base) == family);
        if !mentioned(&pools, Family::V4) {
            pools.extend(docker());
        }
        if !mentioned(&pools, Family::V6) {
            pools.push(unique_local(global_id));
        }
        Ok(Self(pools))
    }

    /// The pools in the order of their use.
    pub fn pools(&self) -> &[AddressPool] {
        &self.0
    }

    /// The next subnet in turn that keeps clear of `taken`, which holds numbers of that family. `length` is that of
    /// the subnet, if it shall differ from the pool's.
    pub(crate) fn choose(&self, family: Family, length: Option<u8>, taken: &Runs, turn: &mut Turn) -> Option<IpNet> {
        let pools: Vec<&AddressPool> = self.0.iter().filter(|it| span::family(it.base) == family).collect();
        // Once round: the rest of the pool where it stopped, each other one, and that pool again from its beginning.
        (turn.pool..pools.len()).chain(0..=turn.pool).enumerate().find_map(|(step, index)| {
            let pool = pools.get(index)?;
            let mut within = Span::of(pool.base);
            if step == 0 {
                within.first = turn.from.max(within.first);
            }
            let found = pool.free_subnet(length.unwrap_or(pool.size), within, taken)?;
            *turn = Turn { pool: index, from: Span::of(found).last.saturating_add(1) };
            Some(found)
        })
    }
}

/// Where the search for a subnet goes on, so that each gets its turn before one is given again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    pool: usize,
    from: u128,
}

impl AddressPool {
    fn check(&self) -> Result<()> {
        let Self { base, size } = *self;
        subnet::check(base)?;
        if size < base.prefix_len() {
            return Err(Error::invalid(format!("the address pool {base} is too small to hold a subnet of /{size}")));
        }
        if size > base.max_prefix_len() {
            let longest = base.max_prefix_len();
            return Err(Error::invalid(format!(
                "the address pool {base}: there is no /{size}, the longest is /{longest}"
            )));
        }
        Ok(())
    }

    /// The lowest subnet of that length that lies in `within` and keeps clear of `taken`.
    fn free_subnet(&self, length: u8, within: Span, taken: &Runs) -> Option<IpNet> {
        if length < self.base.prefix_len() || length > self.base.max_prefix_len() {
            return None;
        }
        let addresses = 1u128 << (self.base.max_prefix_len() - length);
        let mut from = within.first;
        loop {
            let first = from.checked_next_multiple_of(addresses)?;
            let candidate = Span { first, last: first.checked_add(addresses - 1)? };
            if candidate.last > within.last {
                return None;
            }
            match taken.highest_within(candidate) {
                Some(run) => from = run.last.checked_add(1)?,
                None => {
                    let address = span::address(span::family(self.base), first);
                    return Some(IpNet::new(address, length).expect("a length of the same family"));
                }
            }
        }
    }
}

fn docker() -> impl Iterator<Item = AddressPool> {
    DOCKER.into_iter().map(|(base, size)| AddressPool { base: base.parse().expect("the table is right"), size })
}

fn unique_local(global_id: [u8; 5]) -> AddressPool {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&global_id);
    AddressPool { base: Ipv6Net::new_assert(Ipv6Addr::from(octets), 48).into(), size: 64 }
}
