//! The network's own addresses, which its bridge bears.

use std::net::IpAddr;

use ipnet::IpNet;
use trestle_core::facts::{Facts, LinkFact};
use trestle_core::network::{Network, Pool};
use trestle_core::resource::{Address, Announcements, Bridge, Namespace, Owner, Resource};
use trestle_core::{Error, Result};

/// The pool's gateway on the bridge. `None` where a user's bridge has it already, and where an internal network has no
/// gateway at all; no other network can do without.
pub(super) fn address(network: &Network, pool: &Pool, bridge: &Bridge, facts: &Facts) -> Result<Option<Resource>> {
    let Pool { subnet, .. } = pool;
    let Some(gateway) = pool.gateway else {
        return match network.internal {
            true => Ok(None),
            false => Err(Error::invalid(format!("subnet {subnet} has no gateway, which a bridge network needs"))),
        };
    };
    if !subnet.contains(&gateway) {
        return Err(Error::invalid(format!("gateway {gateway} is not in subnet {subnet}")));
    }
    check_nowhere_else(gateway, bridge, facts)?;
    check_no_neighbour(subnet, bridge, facts)?;
    if bridge.owner == Owner::User && has_it(bridge, gateway, subnet, facts)? {
        return Ok(None);
    }
    let address =
        IpNet::new(gateway, subnet.prefix_len()).expect("a prefix of the same family is as long as it may be");
    Ok(Some(Resource::Address(Address {
        namespace: Namespace::Host,
        link: bridge.name.clone(),
        address,
        announcements: Announcements::default(),
    })))
}

/// Whether a user's bridge has the address, and with it a route to the whole subnet. With a route to less it is in the
/// way: IPv6 takes no address twice on one link, whatever the prefix.
fn has_it(bridge: &Bridge, gateway: IpAddr, subnet: &IpNet, facts: &Facts) -> Result<bool> {
    let addresses = facts.link(&bridge.name).map_or(&[][..], |link| &link.addresses);
    match addresses.iter().find(|there| there.addr() == gateway) {
        None => Ok(false),
        Some(there) if there.contains(subnet) => Ok(true),
        Some(there) => Err(Error::conflict(format!(
            "bridge {}, which is not Trestle's, has {there}, and the network needs {gateway}/{}: change it there",
            bridge.name,
            subnet.prefix_len()
        ))),
    }
}

/// An address that another link has can't lead to this one. Link-local addresses are each link's own.
fn check_nowhere_else(gateway: IpAddr, bridge: &Bridge, facts: &Facts) -> Result<()> {
    if matches!(gateway, IpAddr::V6(address) if address.is_unicast_link_local()) {
        return Ok(());
    }
    let has_it = |link: &&LinkFact| link.name != bridge.name && link.addresses.iter().any(|it| it.addr() == gateway);
    match facts.links.iter().find(has_it) {
        None => Ok(()),
        Some(link) => Err(Error::conflict(format!(
            "gateway {gateway} is an address of link {} already: choose another gateway or subnet",
            link.name
        ))),
    }
}

/// The host would send what is for that link's neighbours to the containers, and the other way round.
fn check_no_neighbour(subnet: &IpNet, bridge: &Bridge, facts: &Facts) -> Result<()> {
    let overlaps = |there: &IpNet| there.contains(subnet) || subnet.contains(there);
    let is_in_the_way = |link: &&LinkFact| link.name != bridge.name && link.addresses.iter().any(overlaps);
    match facts.links.iter().find(is_in_the_way) {
        None => Ok(()),
        Some(link) => Err(Error::conflict(format!(
            "subnet {subnet} overlaps the addresses of link {}: choose another subnet",
            link.name
        ))),
    }
}
