//! Addresses in a plugin's answer.

use std::net::IpAddr;

use ipnet::IpNet;
use trestle_core::{Error, Result};

use crate::client::shown;

/// An address with its prefix length that a link can bear; none where the text is empty.
pub(super) fn host_address(text: &str, field: &str, v6: bool) -> Result<Option<IpNet>> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |why: &str| Error::internal(format!("{field} is {:?}: {why}", shown(text)));
    let family = if v6 { "IPv6" } else { "IPv4" };
    let read: IpNet =
        text.parse().map_err(|_| wrong(&format!("an {family} address with its prefix length is expected")))?;
    if matches!(read, IpNet::V6(_)) != v6 {
        return Err(wrong(&format!("an {family} address is expected")));
    }
    if read.prefix_len() == 0 || !can_be_a_host(read.addr()) {
        return Err(wrong("no host can have it"));
    }
    let room = read.max_prefix_len() - read.prefix_len();
    if !v6 && room > 1 && (read.addr() == read.network() || read.addr() == read.broadcast()) {
        return Err(wrong("it is the network's own, or its broadcast address"));
    }
    Ok(Some(read))
}

/// A neighbour's address; none where the text is empty.
pub(super) fn neighbour(text: &str, field: &str) -> Result<Option<IpAddr>> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Error::internal(format!("{field} is {:?}: the address of a host is expected", shown(text)));
    let read: IpAddr = text.parse().map_err(|_| wrong())?;
    can_be_a_host(read).then_some(Some(read)).ok_or_else(wrong)
}

/// A subnet. Bits beyond its prefix say nothing.
pub(super) fn subnet(text: &str, field: &str) -> Result<IpNet> {
    let wrong = || Error::internal(format!("{field} is {:?}: a subnet such as 10.0.0.0/24 is expected", shown(text)));
    let read: IpNet = text.parse().map_err(|_| wrong())?;
    Ok(read.trunc())
}

fn can_be_a_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let is_mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast || is_mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_host_can_have_is_an_address() {
        assert_eq!(host_address("", "Address", false).unwrap(), None);
        for (right, v6) in [("10.0.0.2/24", false), ("10.0.0.0/31", false), ("10.0.0.7/32", false), ("fd00::/64", true)]
        {
            assert_eq!(host_address(right, "Address", v6).unwrap(), Some(right.parse().unwrap()));
        }
        for (wrong, v6) in [
            ("10.0.0.2", false),
            ("10.0.0.2/33", false),
            ("10.0.0.0/24", false),
            ("10.0.0.255/24", false),
            ("0.0.0.0/0", false),
            ("127.0.0.1/8", false),
            ("224.0.0.1/24", false),
            ("fd00::1/64", false),
            ("10.0.0.2/24", true),
            ("::1/128", true),
            ("ff02::1/64", true),
            ("::ffff:10.0.0.1/128", true),
            ("a\x1b[2J", false),
        ] {
            let error = host_address(wrong, "Address", v6).unwrap_err().to_string();
            assert!(error.starts_with("Address is \"") && !error.contains('\x1b'), "{error}");
        }
    }
}
