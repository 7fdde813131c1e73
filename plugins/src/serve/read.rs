//! Requests of strangers as our own nouns.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trestle_core::endpoint::{Endpoint, EndpointState, Lease, Lifetime};
use trestle_core::entropy::Entropy;
use trestle_core::mac::MacAddress;
use trestle_core::network::{Network, NetworkState, Pool, Scope};
use trestle_core::port::{ExposedPort, HostPorts, PortRange, PortRequest, Protocol};
use trestle_core::{Doing, Error, Plan, Result};

use crate::client::shown;
use crate::wire::network::{CreateEndpoint, CreateNetwork, IpamData, Options};
use crate::wire::options::{self, EXPOSED_PORTS, GENERIC, INTERNAL, MAC_ADDRESS, PORT_MAP, PortMapping};

/// A network as its creation is asked for.
pub(super) fn network(asked: &CreateNetwork, driver: &str, scope: Scope) -> Result<Network> {
    let id: trestle_core::id::NetworkId = asked.network.parse()?;
    let pools = asked.v4.iter().chain(&asked.v6).filter(|data| !data.pool.is_empty()).map(pool);
    let generic: BTreeMap<String, Value> = option(&asked.options, GENERIC)?;
    Ok(Network {
        id,
        name: format!("network-{}", id.short()).try_into()?,
        driver: driver.to_owned(),
        ipam: "null".to_owned(),
        scope,
        pools: pools.collect::<Result<_>>()?,
        internal: option(&asked.options, INTERNAL)?,
        options: generic.into_iter().map(|(key, value)| (key, text(value))).collect(),
        labels: BTreeMap::new(),
        created: SystemTime::now(),
        state: NetworkState::Creating { plan: Plan::new() },
    })
}

fn pool(data: &IpamData) -> Result<Pool> {
    let subnet = net(&data.pool, "Pool")?.trunc();
    let gateway = match data.gateway.as_str() {
        "" => None,
        text => Some(net(text, "Gateway")?.addr()),
    };
    let auxiliary = data.aux_addresses.iter().map(|(name, text)| Ok((name.clone(), net(text, "AuxAddresses")?.addr())));
    Ok(Pool { id: subnet.to_string(), subnet, range: None, gateway, auxiliary: auxiliary.collect::<Result<_>>()? })
}

/// An endpoint as its creation is asked for, and whether its MAC address is ours to tell.
pub(super) fn endpoint(asked: &CreateEndpoint, network: &Network, entropy: &dyn Entropy) -> Result<(Endpoint, bool)> {
    let id: trestle_core::id::EndpointId = asked.endpoint.parse()?;
    let interface = &asked.interface;
    let lease =
        Lease { v4: optional(&interface.address, "Address")?, v6: optional(&interface.address_v6, "AddressIPv6")? };
    let by_option: Option<String> = option(&asked.options, MAC_ADDRESS)?;
    let asked_mac = match (interface.mac_address.as_str(), by_option) {
        ("", None) => None,
        ("", Some(encoded)) => Some(options::decode_mac(&encoded).ok_or_else(|| {
            Error::invalid(format!("option {MAC_ADDRESS} is {:?}: base64 of six octets is expected", shown(&encoded)))
        })?),
        (text, _) => Some(text.parse()?),
    };
    let ours = [MAC_ADDRESS, PORT_MAP, EXPOSED_PORTS];
    let users = asked.options.iter().filter(|(key, _)| !ours.contains(&key.as_str()));
    let users = users.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let endpoint = Endpoint {
        id,
        network: network.id,
        name: format!("endpoint-{}", id.short()).try_into()?,
        lifetime: Lifetime::Explicit,
        lease: (lease != Lease::default()).then_some(lease),
        mac: asked_mac.unwrap_or_else(|| MacAddress::random(entropy)),
        exposed: exposed(&asked.options)?,
        wanted: ports(&asked.options)?,
        options: users.collect(),
        priority: 0,
        primary: false,
        interface: None,
        names: Default::default(),
        state: EndpointState::Reserved,
    };
    Ok((endpoint, asked_mac.is_none()))
}

/// The ports that options ask to publish.
pub(super) fn ports(asked: &Options) -> Result<Vec<PortRequest>> {
    let mappings: Vec<PortMapping> = option(asked, PORT_MAP)?;
    mappings.iter().map(|mapping| port(mapping).doing(|| format!("reading option {PORT_MAP}"))).collect()
}

fn port(mapping: &PortMapping) -> Result<PortRequest> {
    let host = match (mapping.host_port, mapping.host_port_end) {
        (0, 0) => HostPorts::Ephemeral,
        (first, 0) => HostPorts::Within(PortRange::single(first)?),
        (first, last) => HostPorts::Within(PortRange::new(first, last)?),
    };
    let address: Option<IpAddr> = match mapping.host_ip.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| Error::invalid(format!("HostIP is {:?}", shown(text))))?),
    };
    let request =
        PortRequest { protocol: protocol(mapping.proto)?, container: PortRange::single(mapping.port)?, address, host };
    request.check()?;
    Ok(request)
}

fn exposed(asked: &Options) -> Result<Vec<ExposedPort>> {
    let exposed: Vec<options::ExposedPort> = option(asked, EXPOSED_PORTS)?;
    let one = |it: &options::ExposedPort| {
        Ok(ExposedPort { ports: PortRange::single(it.port)?, protocol: protocol(it.proto)? })
    };
    exposed.iter().map(|it| one(it).doing(|| format!("reading option {EXPOSED_PORTS}"))).collect()
}

fn protocol(number: u8) -> Result<Protocol> {
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|known| *known as u8 == number);
    known.ok_or_else(|| Error::invalid(format!("Proto is {number}: 6, 17 and 132 have ports")))
}

/// An option; what the type is when nothing is set, where it is not there.
fn option<T: DeserializeOwned + Default>(asked: &Options, key: &str) -> Result<T> {
    let Some(value) = asked.get(key) else { return Ok(T::default()) };
    let read: Option<T> =
        serde_json::from_value(value.clone()).map_err(|error| Error::invalid(format!("option {key}: {error}")))?;
    Ok(read.unwrap_or_default())
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn optional<N: std::str::FromStr>(text: &str, field: &str) -> Result<Option<N>> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong =
        |_| Error::invalid(format!("{field} is {:?}: an address with its prefix length is expected", shown(text)));
    text.parse().map(Some).map_err(wrong)
}

pub(super) fn net(text: &str, field: &str) -> Result<IpNet> {
    optional(text, field)?.ok_or_else(|| Error::invalid(format!("{field} is missing")))
}
