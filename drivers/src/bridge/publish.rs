//! What publishes an endpoint's ports.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use trestle_core::endpoint::{Endpoint, Lease};
use trestle_core::network::Network;
use trestle_core::port::{PortBinding, PortRange, PortRequest, Protocol};
use trestle_core::resource::{GatewayMode, Hairpin, OpenedPort, PublishedPort, Resource};
use trestle_core::{Error, Plan, Result};

use super::family::{Family, families, lease};
use super::network::check_open;
use super::options::BridgeOptions;

/// Ports to open at containers' own addresses.
type Opened = BTreeMap<(Protocol, IpAddr), Vec<PortRange>>;

/// Whether a request takes ports of the host: not where every family that it is of is routed.
pub(super) fn takes_host_ports(network: &Network, options: &BridgeOptions, request: &PortRequest) -> bool {
    let families = families(network, options);
    let mut concerned = families.iter().filter(|family| family.concerns(request.address)).peekable();
    concerned.peek().is_none() || concerned.any(|family| !family.is_routed())
}

/// Checks what an endpoint asks to be published.
pub(super) fn check(network: &Network, wanted: &[PortRequest]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    check_open(network)?;
    let options = BridgeOptions::read(&network.options)?;
    let families = families(network, &options);
    wanted.iter().try_for_each(|it| check_routed(network, &families, it, it.address.or(options.host_address)))
}

/// The ports, and the way of the container to itself through them.
pub(super) fn plan(network: &Network, endpoint: &Endpoint, ports: &[PortBinding]) -> Result<Plan> {
    if ports.is_empty() {
        return Ok(Plan::new());
    }
    check_open(network)?;
    let lease = lease(endpoint)?;
    let options = BridgeOptions::read(&network.options)?;
    let families = families(network, &options);
    let translated = translated(&families, lease);
    let (mut published, mut opened) = (Vec::with_capacity(ports.len()), Opened::new());
    for port in ports {
        let port = PortBinding { address: port.address.or(options.host_address), ..port.clone() };
        check_routed(network, &families, &port, port.address)?;
        for family in families.iter().filter(|it| it.concerns(port.address) && is_opened(it, &options)) {
            if let Some(own) = lease.addresses().find(|address| family.has(address)) {
                opened.entry((port.protocol, own)).or_default().push(port.container);
            }
        }
        if let Some(host) = port.host {
            let port = PortBinding { address: narrowed(port.address, lease, &translated), ..port };
            check_reachable(&port, &translated)?;
            published.push(Resource::PublishedPort(PublishedPort {
                protocol: port.protocol,
                address: port.address,
                host,
                container: port.container,
                to_v4: translated.v4.map(|net| net.addr()),
                to_v6: translated.v6.map(|net| net.addr()),
            }));
        }
    }
    check_distinct(&published, ports)?;
    let mut resources = Vec::with_capacity(published.len() + 2);
    if !published.is_empty() {
        resources.extend(translated.addresses().map(|address| Resource::Hairpin(Hairpin { address })));
    }
    resources.extend(opened.into_iter().flat_map(without_overlaps));
    resources.append(&mut published);
    Ok(Plan::from(resources))
}

/// Whether published ports of the family are reached at the container's own address, by everybody or by trusted links.
fn is_opened(family: &Family<'_>, options: &BridgeOptions) -> bool {
    family.is_routed() || (family.mode == GatewayMode::Nat && !options.trusted.is_empty())
}

/// The addresses that ports of the host lead to.
fn translated([v4, v6]: &[Family<'_>; 2], lease: &Lease) -> Lease {
    Lease { v4: lease.v4.filter(|_| !v4.is_routed()), v6: lease.v6.filter(|_| !v6.is_routed()) }
}

/// Where the container has an address that no port of the host leads to, ports are held in the other family alone.
fn narrowed(address: Option<IpAddr>, lease: &Lease, translated: &Lease) -> Option<IpAddr> {
    match address {
        None if lease.v6 != translated.v6 => Some(Ipv4Addr::UNSPECIFIED.into()),
        None if lease.v4 != translated.v4 => Some(Ipv6Addr::UNSPECIFIED.into()),
        address => address,
    }
}

/// Ports without what is in others already, and one in the place of several that overlap.
fn without_overlaps(((protocol, address), mut ports): ((Protocol, IpAddr), Vec<PortRange>)) -> Vec<Resource> {
    ports.sort_unstable();
    let mut apart: Vec<PortRange> = Vec::with_capacity(ports.len());
    for range in ports {
        match apart.last_mut() {
            Some(last) if last.overlaps(&range) => {
                let end = last.last().max(range.last());
                *last = PortRange::new(last.first(), end).expect("it ends no earlier than before");
            }
            _ => apart.push(range),
        }
    }
    apart.into_iter().map(|ports| Resource::OpenedPort(OpenedPort { protocol, address, ports })).collect()
}

/// Where a network is routed, the host's addresses have no say in who reaches a port: one that names such an address
/// would be open wider than it says.
fn check_routed(network: &Network, families: &[Family<'_>], port: &dyn Display, address: Option<IpAddr>) -> Result<()> {
    let Some(address) = address else { return Ok(()) };
    match families.iter().find(|family| family.concerns(Some(address))) {
        Some(family) if family.is_routed() && !address.is_unspecified() => Err(Error::invalid(format!(
            "publishing {port}: network {} is routed for {}, so the port would be open at the container's own address \
             to whoever has a route there, not at {address} alone: name no address of the host",
            network.name, family.noun
        ))),
        None if families.iter().all(|family| family.pool.is_none() || family.is_routed()) => {
            let noun = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            Err(Error::invalid(format!(
                "publishing {port}: network {} has no {noun}, and is routed: name no address of the host",
                network.name
            )))
        }
        _ => Ok(()),
    }
}

/// What no table can translate is relayed over the socket that holds the port; the kernel may have none for SCTP.
fn check_reachable(port: &PortBinding, lease: &Lease) -> Result<()> {
    if port.protocol != Protocol::Sctp {
        return Ok(());
    }
    let translated = match port.address {
        None => true,
        Some(IpAddr::V4(_)) => lease.v4.is_some(),
        Some(IpAddr::V6(address)) => lease.v6.is_some() && address != Ipv6Addr::LOCALHOST,
    };
    match translated {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "publishing {port}: SCTP is not relayed between IPv4 and IPv6, nor from ::1"
        ))),
    }
}

/// The same ports of the host can't lead to two places.
fn check_distinct(published: &[Resource], ports: &[PortBinding]) -> Result<()> {
    let identities: HashSet<_> = published.iter().map(Resource::identity).collect();
    match identities.len() == published.len() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "the same port of the host is wanted twice among {}",
            ports.iter().map(PortBinding::to_string).collect::<Vec<_>>().join(", ")
        ))),
    }
}
