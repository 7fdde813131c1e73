//! What links an endpoint to its sandbox.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use trestle_core::driver::{InterfaceName, Joined, Slot};
use trestle_core::endpoint::Endpoint;
use trestle_core::id::EndpointId;
use trestle_core::name::IfName;
use trestle_core::network::{Network, Pool};
use trestle_core::resource::{Address, Bridge, Peer, Resource, Veth};
use trestle_core::{Error, Result};

use super::family::lease;
use super::options::{BridgeOptions, EndpointOptions, INTERFACE, SETTINGS};
use super::publish;
use super::setting::LinkSetting;

/// Checks what a request says of the endpoint.
pub(super) fn check(network: &Network, endpoint: &Endpoint) -> Result<()> {
    let options = EndpointOptions::read(&endpoint.options)?;
    if let (Some(by_option), Some(by_request)) = (&options.interface, &endpoint.interface)
        && by_option != by_request
    {
        return Err(Error::invalid(format!(
            "option {INTERFACE} says {by_option}, and the endpoint was asked for with link {by_request}"
        )));
    }
    let has_v6 = endpoint.lease.as_ref().is_some_and(|lease| lease.v6.is_some());
    if has_v6 && options.settings.iter().any(LinkSetting::ends_ipv6) {
        return Err(Error::invalid(format!(
            "option {SETTINGS} sets disable_ipv6, and the endpoint has an IPv6 address, which would be lost: leave it \
             out, or use a network without IPv6"
        )));
    }
    publish::check(network, &endpoint.wanted)
}

/// How the link shall be called. What was refused when it was asked for is not stored, and so not read again here.
pub(super) fn interface_name(network: &Network, endpoint: &Endpoint) -> InterfaceName {
    let by_option = EndpointOptions::read(&endpoint.options).ok().and_then(|options| options.interface);
    match by_option {
        Some(name) => InterfaceName::Exactly(name),
        None => {
            let options = BridgeOptions::read(&network.options).unwrap_or_default();
            InterfaceName::Numbered(options.interface_prefix)
        }
    }
}

/// A veth pair between the bridge and the sandbox, with the endpoint's addresses on the sandbox's end.
pub(super) fn join(network: &Network, endpoint: &Endpoint, slot: &Slot) -> Result<Joined> {
    let bridge = bridge(network)?;
    let lease = lease(endpoint)?;
    let announcements = BridgeOptions::read(&network.options)?.announcements;
    let settings = EndpointOptions::read(&endpoint.options)?.settings;
    let veth = Veth {
        name: host_name(&endpoint.id),
        bridge: bridge.name.clone(),
        mtu: bridge.mtu,
        hairpin: bridge.filter_bridged,
        peer: Peer {
            namespace: slot.namespace.clone(),
            name: slot.interface.clone(),
            mac: endpoint.mac,
            ipv6: lease.v6.is_some(),
        },
    };
    let address = |address: IpNet| {
        Resource::Address(Address {
            namespace: slot.namespace.clone(),
            link: slot.interface.clone(),
            address,
            announcements,
        })
    };
    let settings = settings.iter().map(|it| Resource::Sysctl(it.of(&slot.namespace, &slot.interface)));
    let v4 = lease.v4.map(|net| address(net.into()));
    let v6 = lease.v6.map(|net| address(net.into()));
    let way_out = |pool: Option<&Pool>| pool.filter(|_| !network.internal).and_then(|pool| pool.gateway);
    Ok(Joined {
        plan: std::iter::once(Resource::Veth(veth)).chain(settings).chain(v4).chain(v6).collect(),
        interface: Some(slot.interface.clone()),
        gateway_v4: way_out(network.pool_v4()).and_then(v4_of),
        gateway_v6: way_out(network.pool_v6()).and_then(v6_of),
        ..Joined::default()
    })
}

fn v4_of(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn v6_of(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

/// The bridge as it was made: what the host was like then counts, not what it is like now.
fn bridge(network: &Network) -> Result<&Bridge> {
    let mut bridges = network.state.plan().resources().iter().filter_map(|resource| match resource {
        Resource::Bridge(bridge) => Some(bridge),
        _ => None,
    });
    bridges.next().ok_or_else(|| Error::internal(format!("the plan of network {} has no bridge", network.name)))
}

fn host_name(id: &EndpointId) -> IfName {
    IfName::try_from(format!("veth{}", &id.to_string()[..10])).expect("14 letters and digits name a link")
}
