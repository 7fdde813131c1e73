//! What inspect tells of a container's networks: what the controller has, merged over all its endpoints.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use trestle_core::endpoint::Endpoint;
use trestle_core::network::Network;
use trestle_core::port::{HostPorts, PortBinding, PortRange};

use super::{DEFAULT, Member, Networks, ports};
use crate::container::config::{BindingAddress, BindingPort, EndpointSettings, HostBinding, Port};

/// Docker's `NetworkSettings`. The flat fields tell of the network `bridge`, and are empty elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NetworkSettings {
    /// Always empty: the bridge is told by its network.
    #[serde(rename = "Bridge")]
    pub bridge: String,
    /// The sandbox's id.
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    /// The file of its namespace.
    #[serde(rename = "SandboxKey")]
    pub sandbox_key: String,
    /// Where each exposed port is published; `None` where it is not.
    #[serde(rename = "Ports")]
    pub ports: BTreeMap<Port, Option<Vec<HostBinding>>>,
    /// Of old, and always so.
    #[serde(rename = "HairpinMode")]
    pub hairpin_mode: bool,
    /// Of old, and always empty.
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_address: String,
    /// Of old, and always 0.
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_length: u8,
    /// Of old, and always `null`.
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_addresses: (),
    /// Of old, and always `null`.
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: (),
    /// Of the network `bridge`.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// Of the network `bridge`.
    #[serde(rename = "Gateway")]
    pub gateway: String,
    /// Of the network `bridge`.
    #[serde(rename = "GlobalIPv6Address")]
    pub ipv6_address: String,
    /// Of the network `bridge`.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub ipv6_length: u8,
    /// Of the network `bridge`.
    #[serde(rename = "IPAddress")]
    pub address: String,
    /// Of the network `bridge`.
    #[serde(rename = "IPPrefixLen")]
    pub length: u8,
    /// Of the network `bridge`.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// Of the network `bridge`.
    #[serde(rename = "MacAddress")]
    pub mac_address: String,
    /// Each network, by its name.
    #[serde(rename = "Networks")]
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// A port as a list of containers tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ListedPort {
    /// The host's address.
    #[serde(rename = "IP", skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The container's port.
    #[serde(rename = "PrivatePort")]
    pub private: u16,
    /// The host's port.
    #[serde(rename = "PublicPort", skip_serializing_if = "Option::is_none")]
    pub public: Option<u16>,
    /// The protocol.
    #[serde(rename = "Type")]
    pub protocol: String,
}

impl NetworkSettings {
    /// The ports as a list of containers tells them.
    pub fn listed_ports(&self) -> Vec<ListedPort> {
        let mut listed = Vec::new();
        for (port, bindings) in &self.ports {
            let one = |address, public| ListedPort {
                address,
                private: port.number,
                public,
                protocol: port.protocol.to_string(),
            };
            match bindings {
                None => listed.push(one(None, None)),
                Some(bindings) => listed.extend(bindings.iter().map(|binding| {
                    let public = match binding.port.0 {
                        HostPorts::Within(range) => Some(range.first()),
                        HostPorts::Ephemeral => None,
                    };
                    one(binding.address.0, public)
                })),
            }
        }
        listed
    }
}

impl Networks {
    /// What is so of a container's networks now. Of one that does not run, what it asks for.
    pub fn settings(&self, member: &Member<'_>) -> NetworkSettings {
        let mut settings = NetworkSettings::default();
        for (name, asked) in member.networking.endpoints.iter() {
            let mut asked = asked.clone().unwrap_or_default();
            asked.network_id = self.find(name).map_or_else(|_| String::new(), |network| network.id.to_string());
            settings.networks.insert(name.clone(), asked);
        }
        let Some(sandbox) = self.controller.sandbox(member.id).ok().filter(|it| it.name.as_str() == member.id) else {
            return settings;
        };
        settings.sandbox_id = sandbox.id.to_string();
        settings.sandbox_key = self.namespace(member.id).map_or_else(String::new, |path| path.display().to_string());
        for port in ports::exposed(member.config, member.host_config).unwrap_or_default() {
            for number in port.ports.ports() {
                settings.ports.insert(Port { number, protocol: port.protocol }, None);
            }
        }
        for endpoint in self.controller.endpoints_in(sandbox.id) {
            let Ok(network) = self.find(&endpoint.network.to_string()) else { continue };
            let asked = settings.networks.remove(network.name.as_str());
            // An endpoint that the container did not ask for tells only its ports: the bridge beside a plugin's network.
            if let Some(mut told) = asked {
                fill(&mut told, &endpoint, &network, member);
                settings.networks.insert(network.name.to_string(), told);
            }
            let bindings = endpoint.state.attachment().map_or(&[][..], |attachment| &attachment.ports);
            bindings.iter().for_each(|binding| merge(&mut settings.ports, binding));
        }
        settings.flatten();
        settings
    }
}

impl NetworkSettings {
    /// Tells in the fields of old what is so of the network `bridge`.
    fn flatten(&mut self) {
        let Some(bridge) = self.networks.get(DEFAULT) else { return };
        self.endpoint_id.clone_from(&bridge.endpoint_id);
        self.gateway.clone_from(&bridge.gateway);
        self.ipv6_address.clone_from(&bridge.global_ipv6_address);
        self.ipv6_length = bridge.global_ipv6_prefix_len;
        self.address.clone_from(&bridge.ip_address);
        self.length = bridge.ip_prefix_len;
        self.ipv6_gateway.clone_from(&bridge.ipv6_gateway);
        self.mac_address.clone_from(&bridge.mac_address);
    }
}

/// What came of what a container asked of a network.
fn fill(told: &mut EndpointSettings, endpoint: &Endpoint, network: &Network, member: &Member<'_>) {
    told.network_id = network.id.to_string();
    told.endpoint_id = endpoint.id.to_string();
    if let Some(lease) = &endpoint.lease {
        told.mac_address = endpoint.mac.to_string();
        if let Some(v4) = lease.v4 {
            (told.ip_address, told.ip_prefix_len) = (v4.addr().to_string(), v4.prefix_len());
        }
        if let Some(v6) = lease.v6 {
            (told.global_ipv6_address, told.global_ipv6_prefix_len) = (v6.addr().to_string(), v6.prefix_len());
        }
    }
    if let Some(attachment) = endpoint.state.attachment() {
        let text = |address: Option<IpAddr>| address.map_or_else(String::new, |address| address.to_string());
        told.gateway = text(attachment.gateway_v4.map(IpAddr::from));
        told.ipv6_gateway = text(attachment.gateway_v6.map(IpAddr::from));
    }
    if network.name.as_str() != DEFAULT && endpoint.lease.is_some() {
        let mut names = vec![member.name.to_owned()];
        names.extend(told.aliases.iter().cloned());
        names.push(member.id[..member.id.len().min(12)].to_owned());
        names.extend(Some(member.config.hostname.clone()).filter(|name| !name.is_empty()));
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        told.dns_names = names.into();
    }
}

/// Adds a published port, as two where it is published in both families.
fn merge(ports: &mut BTreeMap<Port, Option<Vec<HostBinding>>>, binding: &PortBinding) {
    let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let addresses = match &binding.address {
        Some(address) => std::slice::from_ref(address),
        None => &everywhere,
    };
    let mut hosts = binding.host.iter().flat_map(PortRange::ports);
    for number in binding.container.ports() {
        let bindings = ports.entry(Port { number, protocol: binding.protocol }).or_default().get_or_insert_default();
        // A routed network's port is open at the container's own address, and takes none of the host's.
        let Some(host) = hosts.next().and_then(|port| PortRange::single(port).ok()) else { continue };
        let at = |address: &IpAddr| HostBinding {
            address: BindingAddress(Some(*address)),
            port: BindingPort(HostPorts::Within(host)),
        };
        bindings.extend(addresses.iter().map(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_both_families_is_told_twice_and_a_range_port_by_port() {
        let mut ports = BTreeMap::from([("81/tcp".parse().unwrap(), None), ("443/tcp".parse().unwrap(), None)]);
        let range = |first, last| PortRange::new(first, last).unwrap();
        let protocol = trestle_core::port::Protocol::Tcp;
        let binding = PortBinding { protocol, address: None, host: Some(range(8080, 8081)), container: range(80, 81) };
        merge(&mut ports, &binding);
        let settings = NetworkSettings { ports, ..NetworkSettings::default() };
        let told = serde_json::to_value(&settings).unwrap();
        assert_eq!(
            told["Ports"],
            serde_json::json!({
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
                "81/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8081"}, {"HostIp": "::", "HostPort": "8081"}],
                "443/tcp": null,
            })
        );
        let listed = serde_json::to_value(settings.listed_ports()).unwrap();
        assert_eq!(
            listed[0],
            serde_json::json!({"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"})
        );
        assert_eq!(listed[4], serde_json::json!({"PrivatePort": 443, "Type": "tcp"}));
    }
}
