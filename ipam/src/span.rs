//! Addresses as numbers, and stretches of them. Both families fit; numbers of two families are never compared.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use trestle_core::ipam::Family;

/// The numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

impl Span {
    /// Every address of a subnet, those that no host can bear included.
    pub(crate) fn of(subnet: IpNet) -> Self {
        Self { first: number(subnet.network()), last: number(subnet.broadcast()) }
    }

    pub(crate) fn contains(self, number: u128) -> bool {
        (self.first..=self.last).contains(&number)
    }

    /// What lies in both, if anything does.
    pub(crate) fn and(self, other: Span) -> Option<Span> {
        let both = Span { first: self.first.max(other.first), last: self.last.min(other.last) };
        (both.first <= both.last).then_some(both)
    }
}

/// The address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The number as an address.
pub(crate) fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(u32::try_from(number).expect("made from an IPv4 address")).into(),
        Family::V6 => Ipv6Addr::from_bits(number).into(),
    }
}

/// The family that a subnet is of.
pub(crate) fn family(subnet: IpNet) -> Family {
    match subnet {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}
