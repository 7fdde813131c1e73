//! The options of calls: labels, and how each one's value is written.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trestle_core::endpoint::Endpoint;
use trestle_core::mac::MacAddress;
use trestle_core::network::Network;
use trestle_core::port::{HostPorts, PortBinding, PortRequest};

use super::network::Options;
use super::or_nothing;

/// Whether a network has IPv4.
pub const ENABLE_IPV4: &str = "com.docker.network.enable_ipv4";
/// Whether a network has IPv6.
pub const ENABLE_IPV6: &str = "com.docker.network.enable_ipv6";
/// There, and true, on networks without a way out.
pub const INTERNAL: &str = "com.docker.network.internal";
/// The user's options of a network.
pub const GENERIC: &str = "com.docker.network.generic";
/// The ports to publish.
pub const PORT_MAP: &str = "com.docker.network.portmap";
/// The ports on which programs are said to listen.
pub const EXPOSED_PORTS: &str = "com.docker.network.endpoint.exposedports";
/// The MAC address that the user asked for: base64 of six octets towards network drivers, text towards address managers.
pub const MAC_ADDRESS: &str = "com.docker.network.endpoint.macaddress";
/// The endpoint's name, towards address managers.
pub const ENDPOINT_NAME: &str = "com.docker.network.endpoint.name";
/// There, and true, where another endpoint is the way out for IPv6.
pub const NO_PROXY_6TO4: &str = "com.docker.network.driver.private.no_proxy_6to4";

/// A port to publish, as [`PORT_MAP`] lists it. Protocols are IANA's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortMapping {
    /// 6 is TCP, 17 UDP, 132 SCTP.
    #[serde(deserialize_with = "or_nothing")]
    pub proto: u8,
    /// The container's address, if it matters.
    #[serde(rename = "IP", deserialize_with = "or_nothing")]
    pub ip: String,
    /// The container's port.
    #[serde(deserialize_with = "or_nothing")]
    pub port: u16,
    /// The host's address; nothing is every one.
    #[serde(rename = "HostIP", deserialize_with = "or_nothing")]
    pub host_ip: String,
    /// The host's port; 0 is any free one.
    #[serde(deserialize_with = "or_nothing")]
    pub host_port: u16,
    /// The last port of the range that the host's port is to be chosen from.
    #[serde(deserialize_with = "or_nothing")]
    pub host_port_end: u16,
}

/// A port on which a program is said to listen, as [`EXPOSED_PORTS`] lists it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExposedPort {
    /// As in [`PortMapping::proto`].
    #[serde(deserialize_with = "or_nothing")]
    pub proto: u8,
    /// The port.
    #[serde(deserialize_with = "or_nothing")]
    pub port: u16,
}

/// The options of `CreateNetwork` and `GwAllocCheck`.
pub fn of_network(network: &Network) -> Options {
    network_options(network.pool_v4().is_some(), network.pool_v6().is_some(), network.internal, &network.options)
}

/// The options of a network that is not there yet.
pub fn network_options(v4: bool, v6: bool, internal: bool, generic: &BTreeMap<String, String>) -> Options {
    let mut options = Options::from([
        (ENABLE_IPV4.to_owned(), v4.into()),
        (ENABLE_IPV6.to_owned(), v6.into()),
        (GENERIC.to_owned(), json!(generic)),
    ]);
    if internal {
        options.insert(INTERNAL.to_owned(), true.into());
    }
    options
}

/// The options of `CreateEndpoint`: the user's, and beside them what we say, which wins.
pub fn of_endpoint(network: &Network, endpoint: &Endpoint) -> Options {
    let mut options: Options =
        endpoint.options.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    if !network.internal {
        options.extend(of_sandbox(endpoint));
    }
    if let Some(mac) = asked_mac(endpoint) {
        options.insert(MAC_ADDRESS.to_owned(), encode_mac(mac).into());
    }
    options
}

/// The MAC address that the user asked for; none where it was ours to choose. An endpoint does not tell yet which it
/// was, so the user's wish is taken from its option.
pub(crate) fn asked_mac(endpoint: &Endpoint) -> Option<MacAddress> {
    endpoint.options.contains_key(MAC_ADDRESS).then_some(endpoint.mac)
}

/// The options of `Join` and `ProgramExternalConnectivity`: what the sandbox publishes and exposes.
pub fn of_sandbox(endpoint: &Endpoint) -> Options {
    let mapped: Vec<PortMapping> = endpoint.wanted.iter().flat_map(mappings).collect();
    Options::from([(PORT_MAP.to_owned(), json!(mapped)), (EXPOSED_PORTS.to_owned(), json!(exposed(endpoint)))])
}

/// The options of `ProgramExternalConnectivity` once the host's ports are chosen.
pub fn of_bindings(endpoint: &Endpoint, bindings: &[PortBinding]) -> Options {
    let mapped: Vec<PortMapping> = bindings.iter().flat_map(binding).collect();
    Options::from([(PORT_MAP.to_owned(), json!(mapped)), (EXPOSED_PORTS.to_owned(), json!(exposed(endpoint)))])
}

fn exposed(endpoint: &Endpoint) -> Vec<ExposedPort> {
    let one = |exposed: &trestle_core::port::ExposedPort| {
        let proto = exposed.protocol as u8;
        exposed.ports.ports().map(move |port| ExposedPort { proto, port })
    };
    endpoint.exposed.iter().flat_map(one).collect()
}

/// What a user asked for, one mapping a port of the container.
fn mappings(request: &PortRequest) -> impl Iterator<Item = PortMapping> + use<> {
    let PortRequest { protocol, container, address, host } = *request;
    container.ports().enumerate().map(move |(place, port)| {
        let (host_port, host_port_end) = match host {
            HostPorts::Ephemeral => (0, 0),
            HostPorts::Within(range) if range.count() == container.count() => {
                let chosen = range.ports().nth(place).expect("the host's ports are as many as the container's");
                (chosen, chosen)
            }
            HostPorts::Within(range) => (range.first(), range.last()),
        };
        let host_ip = written(address);
        PortMapping { proto: protocol as u8, ip: String::new(), port, host_ip, host_port, host_port_end }
    })
}

/// What is published, one mapping a port of the container; no port of the host stands for one that is only opened.
fn binding(binding: &PortBinding) -> impl Iterator<Item = PortMapping> + use<> {
    let PortBinding { protocol, address, host, container } = *binding;
    container.ports().enumerate().map(move |(place, port)| {
        let chosen = host.and_then(|host| host.ports().nth(place)).unwrap_or_default();
        PortMapping {
            proto: protocol as u8,
            ip: String::new(),
            port,
            host_ip: written(address),
            host_port: chosen,
            host_port_end: chosen,
        }
    })
}

fn written(address: Option<IpAddr>) -> String {
    address.map_or_else(String::new, |address| address.to_string())
}

/// A MAC address as network drivers get it.
pub fn encode_mac(mac: MacAddress) -> String {
    STANDARD.encode(mac.octets())
}

/// A MAC address as network drivers get it, read back.
pub fn decode_mac(text: &str) -> Option<MacAddress> {
    let octets: [u8; 6] = STANDARD.decode(text).ok()?.try_into().ok()?;
    octets.try_into().ok()
}
