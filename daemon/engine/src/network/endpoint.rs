//! What a container asks of one network, checked and in the controller's words.

use std::net::{Ipv4Addr, Ipv6Addr};

use trestle_core::controller::request::EndpointRequest;
use trestle_core::mac::MacAddress;
use trestle_core::network::Network;
use trestle_core::{Error, Result};

use super::{DEFAULT, Member};
use crate::container::config::EndpointSettings;

/// Everything that is wrong with what is asked of a network, told at once. `network` is the network itself, if it is
/// there already.
pub(super) fn check(name: &str, network: Option<&Network>, asked: &EndpointSettings) -> Result<()> {
    let mut wrong = Vec::new();
    let is_users = name != DEFAULT;
    let addresses = match &asked.ipam {
        Some(ipam) => {
            let says = !ipam.ipv4_address.is_empty() || !ipam.ipv6_address.is_empty();
            if says && !is_users {
                wrong.push("user-specified IP address is supported on user-defined networks only".to_owned());
            }
            if !ipam.link_local_ips.is_empty() {
                wrong.push(
                    "link-local addresses are not offered: an interface has the one the kernel gives it".to_owned(),
                );
            }
            ipam.addresses().unwrap_or_else(|told| {
                wrong.extend(told);
                (None, None)
            })
        }
        None => (None, None),
    };
    if !asked.aliases.is_empty() && !is_users {
        wrong.push("network-scoped aliases are only supported for user-defined networks".to_owned());
    }
    if let Some(network) = network.filter(|_| is_users) {
        wrong.extend(outside(network, addresses));
    }
    if !asked.mac_address.is_empty() && asked.mac_address.parse::<MacAddress>().is_err() {
        wrong.push(format!("invalid MAC address: {}", asked.mac_address));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error::invalid(format!("invalid endpoint settings:\n{}", wrong.join("\n")))),
    }
}

/// The addresses that no subnet of the network has.
fn outside(network: &Network, (v4, v6): (Option<Ipv4Addr>, Option<Ipv6Addr>)) -> Vec<String> {
    let addresses = v4.map(Into::into).into_iter().chain(v6.map(std::net::IpAddr::from));
    let is_inside = |address: &std::net::IpAddr| network.pools.iter().any(|pool| pool.subnet.contains(address));
    let lost = addresses.filter(|address| !is_inside(address));
    lost.map(|address| format!("no configured subnet contains IP address {address}")).collect()
}

/// An endpoint of a container's on a network, without its ports.
pub(super) fn request(
    network: &Network,
    member: &Member<'_>,
    asked: &EndpointSettings,
    primary: bool,
) -> Result<EndpointRequest> {
    check(network.name.as_str(), Some(network), asked)?;
    let ipam = asked.ipam.clone().unwrap_or_default();
    let (v4, v6) = ipam.addresses().map_err(|told| Error::invalid(told.join("\n")))?;
    // Before 1.44 the address was the container's, on its first network.
    let mac = match (asked.mac_address.as_str(), member.config.mac_address.as_str()) {
        ("", "") => None,
        ("", _) if !primary => None,
        ("", mac) | (mac, _) => Some(mac.parse()?),
    };
    Ok(EndpointRequest {
        name: Some(member.name.try_into()?),
        v4,
        v6,
        mac,
        options: asked.driver_opts.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        priority: asked.gw_priority,
        primary,
        ..EndpointRequest::on(network.id.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let asked: EndpointSettings = serde_json::from_str(
            r#"{"IPAMConfig": {"IPv4Address": "10.0.0", "IPv6Address": "x"}, "MacAddress": "y", "Aliases": ["z"]}"#,
        )
        .unwrap();
        let told = check("bridge", None, &asked).unwrap_err().to_string();
        assert_eq!(
            told.lines().collect::<Vec<_>>(),
            [
                "invalid endpoint settings:",
                "user-specified IP address is supported on user-defined networks only",
                "invalid IPv4 address: 10.0.0",
                "invalid IPv6 address: x",
                "network-scoped aliases are only supported for user-defined networks",
                "invalid MAC address: y",
            ]
        );
        assert!(check("bridge", None, &EndpointSettings::default()).is_ok());
    }
}
