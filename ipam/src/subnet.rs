//! Which subnets there can't be, and which addresses of a subnet a host can bear.

use std::net::IpAddr;

use ipnet::IpNet;
use trestle_core::error::{Error, Result};

use crate::span::Span;

/// Stretches that no network of ours may reach into, and why.
const FORBIDDEN: [(&str, &str); 10] = [
    ("0.0.0.0/8", "which means \"this host\" (RFC 1122)"),
    ("127.0.0.0/8", "the loopback addresses"),
    ("169.254.0.0/16", "the link-local addresses"),
    ("224.0.0.0/4", "the multicast addresses"),
    ("255.255.255.255/32", "the broadcast address"),
    ("::/128", "the unspecified address"),
    ("::1/128", "the loopback address"),
    ("::ffff:0:0/96", "IPv4 addresses in IPv6 clothes"),
    ("fe80::/10", "the link-local addresses"),
    ("ff00::/8", "the multicast addresses"),
];

/// Says why there can't be such a subnet, if there can't.
pub(crate) fn check(subnet: IpNet) -> Result<()> {
    if subnet.prefix_len() == 0 {
        return Err(Error::invalid(format!("{subnet} is every address there is, not a subnet")));
    }
    check_host_bits(subnet)?;
    for (text, why) in FORBIDDEN {
        let forbidden: IpNet = text.parse().expect("the table is right");
        if overlap(subnet, forbidden) {
            return Err(Error::invalid(format!("{subnet} reaches into {forbidden}, {why}")));
        }
    }
    Ok(())
}

/// Refuses a net whose address says more than its length allows.
pub(crate) fn check_host_bits(net: IpNet) -> Result<()> {
    if net.trunc() == net {
        return Ok(());
    }
    Err(Error::invalid(format!("{net} has bits set behind its prefix; did you mean {}?", net.trunc())))
}

/// Whether any address is in both.
pub(crate) fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// The addresses that hosts can bear.
///
/// IPv4 has a network and a broadcast address, but for point-to-point links and single hosts (RFC 3021). The first
/// address of an IPv6 subnet is its routers' anycast address, with the same exceptions (RFC 6164).
pub(crate) fn usable(subnet: IpNet) -> Span {
    let all = Span::of(subnet);
    if subnet.prefix_len() + 1 >= subnet.max_prefix_len() {
        return all;
    }
    match subnet {
        IpNet::V4(_) => Span { first: all.first + 1, last: all.last - 1 },
        IpNet::V6(_) => Span { first: all.first + 1, last: all.last },
    }
}

/// Says why no host can bear an address that is in the subnet and not among the usable ones.
pub(crate) fn unusable(subnet: IpNet, address: IpAddr) -> Error {
    let what = match (subnet, address == subnet.network()) {
        (IpNet::V4(_), true) => "the network address",
        (IpNet::V4(_), false) => "the broadcast address",
        (IpNet::V6(_), _) => "the routers' anycast address",
    };
    Error::invalid(format!("{address} is {what} of {subnet}; no host can bear it"))
}
