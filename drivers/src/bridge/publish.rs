//! What publishes an endpoint's ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use trestle_core::endpoint::{Endpoint, Lease};
use trestle_core::network::Network;
use trestle_core::port::{PortBinding, Protocol};
use trestle_core::resource::{Hairpin, PublishedPort, Resource};
use trestle_core::{Error, Plan, Result};

use super::endpoint::lease;
use super::network::check_open;
use super::options::BridgeOptions;

/// The ports, and the way of the container to itself through them.
pub(super) fn plan(network: &Network, endpoint: &Endpoint, ports: &[PortBinding]) -> Result<Plan> {
    if ports.is_empty() {
        return Ok(Plan::new());
    }
    check_open(network)?;
    let lease = lease(endpoint)?;
    let host_address = BridgeOptions::read(&network.options)?.host_address;

    let hairpins = lease.addresses().map(|address| Resource::Hairpin(Hairpin { address }));
    let mut resources: Vec<Resource> = hairpins.collect();
    for port in ports {
        let bound = PortBinding { address: port.address.or(host_address), ..port.clone() };
        check_reachable(&bound, lease)?;
        resources.push(Resource::PublishedPort(published(&bound, lease)));
    }
    check_distinct(&resources, ports)?;
    Ok(Plan::from(resources))
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

fn published(port: &PortBinding, lease: &Lease) -> PublishedPort {
    PublishedPort {
        protocol: port.protocol,
        address: port.address,
        host: port.host.unwrap_or(port.container),
        container: port.container,
        to_v4: lease.v4.map(|net| net.addr()),
        to_v6: lease.v6.map(|net| net.addr()),
    }
}

/// The same ports of the host can't lead to two places.
fn check_distinct(resources: &[Resource], ports: &[PortBinding]) -> Result<()> {
    let identities: BTreeSet<_> = resources.iter().map(Resource::identity).collect();
    match identities.len() == resources.len() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "the same port of the host is wanted twice among {}",
            ports.iter().map(PortBinding::to_string).collect::<Vec<_>>().join(", ")
        ))),
    }
}
