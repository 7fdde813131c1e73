//! The networks a container is on, and what it asks of each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::go::{List, Map, letter};

letter! {
    /// Docker's `NetworkingConfig`.
    pub struct NetworkingConfig {
        /// What is asked of each network, by its name or id.
        endpoints: Map<String, Option<EndpointSettings>> = "EndpointsConfig",
    }
}

letter! {
    /// Docker's `EndpointSettings`: what is asked, and, when told by inspect, what came of it.
    pub struct EndpointSettings {
        /// Addresses of the user's own choice.
        ipam: Option<EndpointIpam> = "IPAMConfig",
        /// `container:alias`, names of others as this container calls them on this network.
        links: List<String> = "Links",
        /// Names of this container on this network.
        aliases: List<String> = "Aliases",
        /// The Ethernet address.
        mac_address: String = "MacAddress",
        /// The driver's options.
        driver_opts: Map<String, String> = "DriverOpts",
        /// Larger wins the default route.
        gw_priority: i64 = "GwPriority",
        /// The network's id.
        network_id: String = "NetworkID",
        /// The endpoint's id.
        endpoint_id: String = "EndpointID",
        /// The IPv4 gateway.
        gateway: String = "Gateway",
        /// The IPv4 address.
        ip_address: String = "IPAddress",
        /// The length of the IPv4 prefix.
        ip_prefix_len: u8 = "IPPrefixLen",
        /// The IPv6 gateway.
        ipv6_gateway: String = "IPv6Gateway",
        /// The IPv6 address.
        global_ipv6_address: String = "GlobalIPv6Address",
        /// The length of the IPv6 prefix.
        global_ipv6_prefix_len: u8 = "GlobalIPv6PrefixLen",
        /// The names by which the network's members find it.
        dns_names: List<String> = "DNSNames",
    }
}

letter! {
    /// Addresses that an endpoint asks for. Text still: a wrong one is told together with whatever else is wrong.
    pub struct EndpointIpam {
        /// The IPv4 address.
        ipv4_address: String = "IPv4Address",
        /// The IPv6 address.
        ipv6_address: String = "IPv6Address",
        /// Link-local addresses beside them.
        link_local_ips: List<String> = "LinkLocalIPs",
    }
}

impl EndpointIpam {
    /// The addresses, checked; every wrong one is told, worded as Docker words it.
    ///
    /// # Errors
    /// The sentences, one for each wrong address.
    pub fn addresses(&self) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>), Vec<String>> {
        let mut wrong = Vec::new();
        let v4 = read(&self.ipv4_address, "invalid IPv4 address", &mut wrong);
        let v6 = read(&self.ipv6_address, "invalid IPv6 address", &mut wrong);
        for address in &self.link_local_ips {
            let parsed: Option<IpAddr> = read(address, "invalid link-local IP address", &mut wrong);
            if parsed.is_none() && address.is_empty() {
                wrong.push("invalid link-local IP address: ".into());
            }
        }
        if wrong.is_empty() { Ok((v4, v6)) } else { Err(wrong) }
    }
}

fn read<T: std::str::FromStr>(text: &str, complaint: &str, wrong: &mut Vec<String>) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    let parsed = text.parse().ok();
    if parsed.is_none() {
        wrong.push(format!("{complaint}: {text}"));
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_address_is_told() {
        let asked = EndpointIpam {
            ipv4_address: "1.2.3".into(),
            ipv6_address: "10.0.0.1".into(),
            link_local_ips: vec!["x".to_owned()].into(),
        };
        let told = asked.addresses().unwrap_err();
        assert_eq!(
            told,
            ["invalid IPv4 address: 1.2.3", "invalid IPv6 address: 10.0.0.1", "invalid link-local IP address: x"]
        );
    }
}
