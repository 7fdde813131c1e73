//! The addresses of one pool.

use std::net::IpAddr;

use ipnet::IpNet;
use trestle_core::error::{Error, Result};
use trestle_core::ipam::{AddressRequest, Family, Purpose};

use crate::leased::Leased;
use crate::span::{self, Span};
use crate::subnet;

/// A leased subnet, with the addresses of it that are leased in turn.
#[derive(Debug)]
pub(crate) struct Pool {
    subnet: IpNet,
    family: Family,
    /// What hosts can bear.
    usable: Span,
    /// What automatic addresses come from.
    range: Span,
    leased: Leased,
    /// Where the search for an automatic address goes on: each gets its turn before one is given again.
    next: u128,
    /// What was released last: given again only if nothing else is left.
    resting: Option<u128>,
    /// What was leased last, and how things stood before.
    last: Option<Before>,
}

/// How things stood before an address was leased.
#[derive(Clone, Copy, Debug)]
struct Before {
    leased: u128,
    next: u128,
    resting: Option<u128>,
}

impl Pool {
    /// A pool that nothing is leased of. The subnet has been checked.
    pub(crate) fn new(subnet: IpNet, range: Option<IpNet>) -> Result<Self> {
        let usable = subnet::usable(subnet);
        let range = match range {
            Some(range) => usable_range(subnet, usable, range)?,
            None => usable,
        };
        let family = span::family(subnet);
        Ok(Self {
            subnet,
            family,
            usable,
            range,
            leased: Leased::default(),
            next: range.first,
            resting: None,
            last: None,
        })
    }

    pub(crate) fn subnet(&self) -> IpNet {
        self.subnet
    }

    pub(crate) fn request(&mut self, request: &AddressRequest) -> Result<IpNet> {
        let (next, resting) = (self.next, self.resting);
        let number = match (request.wanted, &request.purpose) {
            (Some(wanted), _) => self.granted(wanted)?,
            (None, Purpose::Gateway) => self.lowest().ok_or_else(|| self.exhausted(self.usable))?,
            (None, Purpose::Endpoint { .. }) => self.next_in_turn().ok_or_else(|| self.exhausted(self.range))?,
            (None, Purpose::Auxiliary) => {
                return Err(Error::invalid("an auxiliary address must be named; none is chosen for it"));
            }
        };
        self.leased.insert(number);
        self.last = Some(Before { leased: number, next, resting });
        if self.resting == Some(number) {
            self.resting = None;
        }
        let address = span::address(self.family, number);
        Ok(IpNet::new(address, self.subnet.prefix_len()).expect("the length of a subnet of the same family"))
    }

    pub(crate) fn release(&mut self, address: IpAddr) {
        if self.subnet.contains(&address) && self.leased.remove(span::number(address)) {
            self.resting = Some(span::number(address));
            self.last = None;
        }
    }

    /// Takes an address back that was never used. If it was the last to be leased, all is as it was before.
    pub(crate) fn cancel(&mut self, address: IpAddr) {
        let number = span::number(address);
        if self.subnet.contains(&address)
            && self.leased.remove(number)
            && let Some(before) = self.last.take_if(|before| before.leased == number)
        {
            (self.next, self.resting) = (before.next, before.resting);
        }
    }

    /// The number of an address that somebody wants and may have.
    fn granted(&self, wanted: IpAddr) -> Result<u128> {
        let subnet = self.subnet;
        if !subnet.contains(&wanted) {
            return Err(Error::invalid(format!("{wanted} is not in {subnet}")));
        }
        let number = span::number(wanted);
        if !self.usable.contains(number) {
            return Err(subnet::unusable(subnet, wanted));
        }
        if self.leased.contains(number) {
            return Err(Error::conflict(format!("{wanted} of {subnet} is in use")));
        }
        Ok(number)
    }

    /// The lowest free address of the whole subnet.
    fn lowest(&self) -> Option<u128> {
        self.leased.lowest_absent(self.usable)
    }

    /// The next free address of the range, and the search goes on behind it.
    fn next_in_turn(&mut self) -> Option<u128> {
        let mut number = self.round_from(self.next)?;
        if self.resting == Some(number) {
            number = self.round_from(self.after(number))?;
        }
        self.next = self.after(number);
        Some(number)
    }

    /// The first free address of the range from there on, beginning anew at its end.
    fn round_from(&self, first: u128) -> Option<u128> {
        let ahead = Span { first, last: self.range.last };
        self.leased.lowest_absent(ahead).or_else(|| self.leased.lowest_absent(self.range))
    }

    fn after(&self, number: u128) -> u128 {
        if number < self.range.last { number + 1 } else { self.range.first }
    }

    fn exhausted(&self, of: Span) -> Error {
        let (first, last) = (span::address(self.family, of.first), span::address(self.family, of.last));
        Error::exhausted(format!("every address of {} from {first} to {last} is in use", self.subnet))
    }
}

/// What of a range hosts can bear.
fn usable_range(subnet: IpNet, usable: Span, range: IpNet) -> Result<Span> {
    if !subnet.contains(&range) {
        return Err(Error::invalid(format!("the range {range} is not in the subnet {subnet}")));
    }
    subnet::check_host_bits(range)?;
    usable.and(Span::of(range)).ok_or_else(|| subnet::unusable(subnet, range.addr()))
}
