//! What is in the kernel for a bridge network.

use ipnet::IpNet;
use trestle_core::facts::{Facts, LinkFact};
use trestle_core::id::NetworkId;
use trestle_core::mac::MacAddress;
use trestle_core::name::IfName;
use trestle_core::network::Network;
use trestle_core::resource::{
    Address, Announcements, Bridge, FirewallNetwork, Inside, Namespace, Owner, Resource, Sysctl,
};
use trestle_core::{Error, Plan, Result};

use super::family::{Family, check_trusted, families};
use super::gateway;
use super::options::{BridgeOptions, INTER_CONTAINER, IPV4, IPV6, MTU};
use crate::label::MTU_RANGE;

/// The MTU of Ethernet, where no uplink says otherwise.
const ETHERNET_MTU: u32 = 1500;
/// The lowest MTU of a link with IPv6 (RFC 8200, section 5).
const LOWEST_IPV6_MTU: u32 = 1280;
/// The address that every bridge of ours with IPv6 has towards its containers; Docker's bridges have it too.
const LINK_LOCAL: &str = "fe80::1/64";

/// Everything, in the order in which it is made.
///
/// The guard of the host's loopback addresses comes first, for `route_localnet` opens them; what opens the network to
/// others comes last.
pub(super) fn plan(network: &Network, facts: &Facts) -> Result<Plan> {
    let options = BridgeOptions::read(&network.options)?;
    check_families(network, &options, facts)?;
    let families = families(network, &options);
    families.iter().try_for_each(|family| family.check(network))?;
    check_trusted(network, &options)?;
    let bridge = bridge(network, &options, facts)?;
    check_inside(&options, &bridge)?;

    let mut resources = vec![Resource::FirewallBase];
    if !network.internal {
        resources.extend(forwarding(network, facts));
    }
    resources.push(Resource::Bridge(bridge.clone()));
    resources.extend(ipv6_settings(&bridge, facts));
    resources.extend(link_local(network, &bridge));
    for family in families.iter().filter(|it| bears_gateway(it, &options)) {
        if let Some(pool) = family.pool {
            resources.extend(gateway::address(network, pool, &bridge, facts)?);
        }
    }
    let [v4, v6] = &families;
    if v4.pool.is_some() && !v4.is_routed() && !network.internal {
        resources.push(loopback_routing(&bridge, facts));
    }
    resources.push(Resource::FirewallNetwork(FirewallNetwork {
        bridge: bridge.name.clone(),
        inside: if options.inter_container { Inside::Open } else { Inside::PublishedOnly },
        internal: network.internal,
        gateway_v4: v4.mode,
        gateway_v6: v6.mode,
        trusted: options.trusted.clone(),
        masquerade_v4: v4.masquerade,
        masquerade_v6: v6.masquerade,
        source_v4: options.source_v4,
        source_v6: options.source_v6,
        filter_bridged: bridge.filter_bridged,
    }));
    Ok(Plan::from(resources))
}

fn check_families(network: &Network, options: &BridgeOptions, facts: &Facts) -> Result<()> {
    let subnets = |v4: bool| -> Vec<String> {
        let of_family = network.pools.iter().filter(|pool| matches!(pool.subnet, IpNet::V4(_)) == v4);
        of_family.map(|pool| pool.subnet.to_string()).collect()
    };
    for (family, subnets, said, label) in
        [("IPv4", subnets(true), options.ipv4, IPV4), ("IPv6", subnets(false), options.ipv6, IPV6)]
    {
        if subnets.len() > 1 {
            let listed = subnets.join(" and ");
            return Err(Error::invalid(format!("a bridge network has one {family} subnet, and {listed} were given")));
        }
        if said.is_some_and(|said| said == subnets.is_empty()) {
            return Err(Error::invalid(match subnets.first() {
                Some(subnet) => format!("option {label} is false, and the network has the {family} subnet {subnet}"),
                None => format!("option {label} is true, and the network was not asked for with {family}"),
            }));
        }
    }
    if network.pools.is_empty() {
        return Err(Error::invalid("a bridge network needs an IPv4 or an IPv6 subnet, and has neither"));
    }
    if network.pool_v6().is_some() && !facts.ipv6 {
        return Err(Error::unsupported(
            "this host has no IPv6: create the network without, or enable it (kernel parameter ipv6.disable, setting \
             net.ipv6.conf.all.disable_ipv6)",
        ));
    }
    Ok(())
}

/// The bridge: ours to make, or a user's that is there.
fn bridge(network: &Network, options: &BridgeOptions, facts: &Facts) -> Result<Bridge> {
    let name = options.name.clone().unwrap_or_else(|| name_of(&network.id));
    let [_, v6] = families(network, options);
    match facts.link(&name) {
        Some(link) if link.kind != "bridge" => Err(Error::conflict(format!(
            "link {name} is there and is no bridge but {}: choose another name, or remove it",
            if link.kind.is_empty() { "hardware" } else { &link.kind }
        ))),
        Some(link) if link.ours && !is_in_plan(network, &name) => Err(Error::conflict(format!(
            "bridge {name} belongs to another network of Trestle's: choose another name, or remove that network"
        ))),
        Some(link) if !link.ours => users_bridge(network, options, facts, link),
        _ => Ok(Bridge {
            name,
            owner: Owner::Us,
            mac: mac_of(&network.id),
            mtu: mtu(options, v6.pool.is_some(), facts)?,
            filter_bridged: facts.filter_bridged,
            ipv6: has_host(&v6),
        }),
    }
}

/// A bridge that somebody else made. Whether its traffic passes the firewall is told by the host's settings, as far as
/// we can see; we don't set it.
fn users_bridge(network: &Network, options: &BridgeOptions, facts: &Facts, link: &LinkFact) -> Result<Bridge> {
    let LinkFact { name, mtu, .. } = link;
    if let Some(wanted) = options.mtu.filter(|wanted| wanted != mtu) {
        return Err(Error::conflict(format!(
            "option {MTU} asks for {wanted}, and bridge {name}, which is not Trestle's, has {mtu}: leave the option \
             out, or change the bridge"
        )));
    }
    families(network, options).iter().try_for_each(|it| it.check_users_bridge(name.as_str(), &link.addresses))?;
    let passes = |family| facts.sysctl(&format!("net/bridge/bridge-nf-call-{family}")) == Some("1");
    Ok(Bridge {
        name: name.clone(),
        owner: Owner::User,
        mac: link.mac.unwrap_or_else(|| mac_of(&network.id)),
        mtu: *mtu,
        filter_bridged: facts.filter_bridged && passes("iptables") && passes("ip6tables"),
        ipv6: has_host(&families(network, options)[1]),
    })
}

/// Whether the host itself speaks the family on the bridge.
fn has_host(family: &Family<'_>) -> bool {
    family.pool.is_some() && !family.is_isolated()
}

/// Whether the bridge bears the network's own address of the family.
fn bears_gateway(family: &Family<'_>, options: &BridgeOptions) -> bool {
    let inhibited = family.is_v4 && options.inhibit_v4;
    has_host(family) && !inhibited
}

fn is_in_plan(network: &Network, bridge: &IfName) -> bool {
    let ours = |resource: &Resource| matches!(resource, Resource::Bridge(it) if it.name == *bridge);
    network.state.plan().resources().iter().any(ours)
}

fn name_of(id: &NetworkId) -> IfName {
    IfName::try_from(format!("br-{}", id.short())).expect("15 letters, digits and '-' name a link")
}

/// The same one for ever, and another for each network: `02`, locally administered, and the id's last ten digits.
fn mac_of(id: &NetworkId) -> MacAddress {
    let digits = id.to_string();
    let octets: Vec<&str> = (54..64).step_by(2).map(|at| &digits[at..at + 2]).collect();
    format!("02:{}", octets.join(":")).parse().expect("six octets, the first of them 02, are a unicast address")
}

fn mtu(options: &BridgeOptions, ipv6: bool, facts: &Facts) -> Result<u32> {
    let lowest = if ipv6 { LOWEST_IPV6_MTU } else { MTU_RANGE.0 };
    match options.mtu {
        None => Ok(facts.uplink_mtu.unwrap_or(ETHERNET_MTU).clamp(lowest, MTU_RANGE.1)),
        Some(mtu) if mtu >= lowest => Ok(mtu),
        Some(mtu) => Err(Error::invalid(format!("option {MTU} is {mtu}, and a network with IPv6 needs {lowest}"))),
    }
}

fn check_inside(options: &BridgeOptions, bridge: &Bridge) -> Result<()> {
    if options.inter_container || bridge.filter_bridged {
        return Ok(());
    }
    let why = format!("option {INTER_CONTAINER} is false, and packets within bridge {} pass no firewall", bridge.name);
    Err(Error::unsupported(match bridge.owner {
        Owner::Us => format!("{why}: load the kernel module br_netfilter (modprobe br_netfilter)"),
        Owner::User => format!(
            "{why}: load the kernel module br_netfilter and set net.bridge.bridge-nf-call-iptables and \
             net.bridge.bridge-nf-call-ip6tables to 1, or let Trestle make the bridge"
        ),
    }))
}

/// What lets the host forward the network's packets; shared with every other network that does. A forwarding host
/// hears no router any more, unless its link is told to before.
fn forwarding(network: &Network, facts: &Facts) -> Vec<Resource> {
    let mut settings = Vec::new();
    if network.pool_v4().is_some() {
        settings.push(setting(facts, "net/ipv4/ip_forward".to_owned(), "1"));
    }
    if network.pool_v6().is_some() {
        let is_ours = |name: &IfName| facts.link(name).is_some_and(|link| link.ours);
        let kept = facts.accepts_router_advertisements.iter().filter(|link| !is_ours(link));
        settings.extend(kept.map(|link| setting(facts, format!("net/ipv6/conf/{link}/accept_ra"), "2")));
        settings.push(setting(facts, "net/ipv6/conf/all/forwarding".to_owned(), "1"));
    }
    settings
}

/// Our bridge has IPv6 only where the network does, whatever the host's default is, and never listens to a container
/// that calls itself a router. A user's bridge stays as it is.
fn ipv6_settings(bridge: &Bridge, facts: &Facts) -> Vec<Resource> {
    let on_bridge = |key, value| setting(facts, format!("net/ipv6/conf/{}/{key}", bridge.name), value);
    match (bridge.owner, bridge.ipv6) {
        (Owner::Us, true) => vec![on_bridge("disable_ipv6", "0"), on_bridge("accept_ra", "0")],
        // A link whose packets are too small for IPv6 has no such settings.
        (Owner::Us, false) if facts.ipv6 && bridge.mtu >= LOWEST_IPV6_MTU => vec![on_bridge("disable_ipv6", "1")],
        (Owner::Us, false) | (Owner::User, _) => Vec::new(),
    }
}

/// The host asks for a container's Ethernet address from a link-local one. The kernel makes one too, but may not use it
/// for a second or two, while it looks for a duplicate: so long nobody outside would reach a new network over IPv6.
fn link_local(network: &Network, bridge: &Bridge) -> Option<Resource> {
    let address: IpNet = LINK_LOCAL.parse().expect("an address and a prefix length");
    let is_gateway = network.pools.iter().any(|pool| pool.gateway == Some(address.addr()));
    let wanted = bridge.owner == Owner::Us && bridge.ipv6 && !is_gateway;
    wanted.then(|| {
        Resource::Address(Address {
            namespace: Namespace::Host,
            link: bridge.name.clone(),
            address,
            announcements: Announcements::default(),
        })
    })
}

/// Published ports answer on the host's loopback addresses too. A user's bridge outlives the guard that makes this
/// safe, so there it goes with the network.
fn loopback_routing(bridge: &Bridge, facts: &Facts) -> Resource {
    let key = format!("net/ipv4/conf/{}/route_localnet", bridge.name);
    let prior = facts.sysctl(&key).map_or_else(|| "0".to_owned(), str::to_owned);
    Resource::Sysctl(Sysctl {
        namespace: Namespace::Host,
        key,
        value: "1".to_owned(),
        prior: (bridge.owner == Owner::User).then_some(prior),
        put_back: bridge.owner == Owner::User,
    })
}

fn setting(facts: &Facts, key: String, value: &str) -> Resource {
    let prior = facts.sysctl(&key).map(str::to_owned);
    Resource::Sysctl(Sysctl { namespace: Namespace::Host, key, value: value.to_owned(), prior, put_back: false })
}

/// An internal network can't publish.
pub(super) fn check_open(network: &Network) -> Result<()> {
    match network.internal {
        false => Ok(()),
        true => Err(Error::forbidden(format!(
            "network {} is internal, and nobody outside could reach a port published on it: publish the port on \
             another network of the container, or create the network without --internal",
            network.name
        ))),
    }
}
