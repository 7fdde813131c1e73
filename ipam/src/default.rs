//! The manager that networks have unless they ask for another.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ipnet::IpNet;
use trestle_core::error::{Error, Result};
use trestle_core::ipam::{AddressRequest, Family, Ipam, PoolLease, PoolRequest};

use crate::default_pools::{DefaultPools, Turn};
use crate::pool::Pool;
use crate::runs::Runs;
use crate::span::{self, Span};
use crate::subnet;

/// Docker's option that asks for addresses one after the other. We never do otherwise, so it changes nothing.
pub const SERIAL_OPTION: &str = "com.docker.network.ipam.serial";

/// Leases subnets and addresses of this host.
///
/// Pools never overlap. Pools and addresses of its choice go round: what was released last comes last.
/// All is in memory; a pool's id is its subnet, so that asking again for what was stored restores it as it was.
#[derive(Debug)]
pub struct DefaultIpam {
    defaults: DefaultPools,
    leases: Mutex<Leases>,
}

#[derive(Debug, Default)]
struct Leases {
    pools: HashMap<String, Pool>,
    v4: Choice,
    v6: Choice,
}

/// What was chosen and given back in one family.
#[derive(Debug, Default)]
struct Choice {
    turn: Turn,
    resting: Option<IpNet>,
    /// What was chosen last, and whose turn it was before.
    last: Option<(IpNet, Turn)>,
}

/// What a pool request comes down to.
enum Wish {
    /// This subnet, with this range.
    Subnet(IpNet, Option<IpNet>),
    /// One of our choice; of this length, if that matters.
    Any(Option<u8>),
}

impl DefaultIpam {
    /// A manager with nothing leased.
    pub fn new(defaults: DefaultPools) -> Self {
        Self { defaults, leases: Mutex::default() }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        // Whoever panicked while holding it was between two whole steps: no step of ours is left half-made.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ipam for DefaultIpam {
    fn needs_replay(&self) -> bool {
        true
    }

    async fn request_pool(&self, request: &PoolRequest) -> Result<PoolLease> {
        check_options(&request.options)?;
        let wish = Wish::of(request)?;
        let mut leases = self.leases();
        let pool = match wish {
            Wish::Subnet(subnet, range) => {
                leases.refuse_overlap(subnet)?;
                Pool::new(subnet, range)?
            }
            Wish::Any(length) => {
                let subnet = leases.choose(&self.defaults, request.family, length, &request.avoid)?;
                Pool::new(subnet, None)?
            }
        };
        let (id, subnet) = (pool.subnet().to_string(), pool.subnet());
        leases.pools.insert(id.clone(), pool);
        Ok(PoolLease { id, subnet, gateway: None })
    }

    async fn release_pool(&self, pool: &str) -> Result<()> {
        let mut leases = self.leases();
        if let Some(pool) = leases.pools.remove(pool) {
            leases.choice(span::family(pool.subnet())).resting = Some(pool.subnet());
        }
        Ok(())
    }

    async fn cancel_pool(&self, pool: &str) -> Result<()> {
        let mut leases = self.leases();
        if let Some(pool) = leases.pools.remove(pool) {
            let choice = leases.choice(span::family(pool.subnet()));
            if let Some((_, before)) = choice.last.take_if(|(chosen, _)| *chosen == pool.subnet()) {
                choice.turn = before;
            }
        }
        Ok(())
    }

    async fn request_address(&self, pool: &str, request: &AddressRequest) -> Result<IpNet> {
        match self.leases().pools.get_mut(pool) {
            Some(pool) => pool.request(request),
            None => Err(Error::not_found(format!("there is no pool {pool:?}"))),
        }
    }

    async fn release_address(&self, pool: &str, address: IpAddr) -> Result<()> {
        if let Some(pool) = self.leases().pools.get_mut(pool) {
            pool.release(address);
        }
        Ok(())
    }

    async fn cancel_address(&self, pool: &str, address: IpAddr) -> Result<()> {
        if let Some(pool) = self.leases().pools.get_mut(pool) {
            pool.cancel(address);
        }
        Ok(())
    }
}

impl Wish {
    fn of(request: &PoolRequest) -> Result<Self> {
        let Some(wanted) = request.subnet else {
            return match request.range {
                Some(range) => Err(Error::invalid(format!("the range {range} needs a subnet that it is part of"))),
                None => Ok(Self::Any(None)),
            };
        };
        if span::family(wanted) != request.family {
            let expected = if request.family == Family::V4 { "IPv4" } else { "IPv6" };
            return Err(Error::invalid(format!("{wanted} is not an {expected} subnet")));
        }
        // Docker's way to ask for a subnet of our choice with a length of its own: 0.0.0.0/24.
        if wanted.addr().is_unspecified() && wanted.prefix_len() > 0 && request.range.is_none() {
            return Ok(Self::Any(Some(wanted.prefix_len())));
        }
        subnet::check(wanted)?;
        Ok(Self::Subnet(wanted, request.range))
    }
}

impl Leases {
    fn choice(&mut self, family: Family) -> &mut Choice {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    fn refuse_overlap(&self, wanted: IpNet) -> Result<()> {
        match self.pools.values().find(|pool| subnet::overlap(pool.subnet(), wanted)) {
            Some(pool) => {
                Err(Error::conflict(format!("{wanted} overlaps the pool {}, which is in use", pool.subnet())))
            }
            None => Ok(()),
        }
    }

    /// A default subnet that nobody has and that keeps clear of `avoid`; the one released last only for want of others.
    fn choose(
        &mut self,
        defaults: &DefaultPools,
        family: Family,
        length: Option<u8>,
        avoid: &[IpNet],
    ) -> Result<IpNet> {
        let mut taken = Runs::default();
        let leased = self.pools.values().map(Pool::subnet);
        for net in leased.chain(avoid.iter().copied()).filter(|net| span::family(*net) == family) {
            taken.insert(Span::of(net));
        }
        let choice = self.choice(family);
        let mut rested = taken.clone();
        if let Some(resting) = choice.resting {
            rested.insert(Span::of(resting));
        }
        let before = choice.turn;
        let chosen = defaults
            .choose(family, length, &rested, &mut choice.turn)
            .or_else(|| defaults.choose(family, length, &taken, &mut choice.turn));
        choice.last = chosen.map(|chosen| (chosen, before));
        chosen.ok_or_else(|| {
            let of_length = length.map(|length| format!(" that holds a /{length}")).unwrap_or_default();
            Error::exhausted(format!(
                "every default address pool{of_length} is in use by a network or by the host; \
                     name a subnet, or give the daemon more pools with --default-address-pool"
            ))
        })
    }
}

fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    match options.keys().find(|key| *key != SERIAL_OPTION) {
        Some(key) => Err(Error::invalid(format!("the default address manager has no option {key:?}"))),
        None => Ok(()),
    }
}
