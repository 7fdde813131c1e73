//! What a plugin's `Join` reply comes down to, once every word of it is checked.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use trestle_core::driver::{InterfaceName, Joined, Slot};
use trestle_core::endpoint::Endpoint;
use trestle_core::mac::MacAddress;
use trestle_core::name::IfName;
use trestle_core::resource::{Address, Announcements, MAIN_TABLE, Moved, Resource, Route};
use trestle_core::{Error, Result};

use super::address::{neighbour, subnet};
use crate::client::shown;
use crate::wire::network::{CONNECTED, Joined as Reply, NEXT_HOP, StaticRoute};
use crate::wire::options;

/// How a plugin wants an endpoint to be linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The link to move, if there is one.
    pub link: Option<MovedLink>,
    /// The network's own routes, those to what is on the link first.
    pub routes: Vec<LinkRoute>,
    /// The way out for IPv4.
    pub gateway_v4: Option<Ipv4Addr>,
    /// The way out for IPv6.
    pub gateway_v6: Option<Ipv6Addr>,
    /// Whether everything of IPv4 is on the link itself: a way out without a gateway.
    pub out_by_link_v4: bool,
    /// The same of IPv6.
    pub out_by_link_v6: bool,
    /// Whether the sandbox needs no other way out, though this is none.
    pub disable_gateway_service: bool,
}

/// A link that the plugin made in the host's namespace, on its way into the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedLink {
    /// Its name in the host's namespace. Whether it is there, a stranger's, and not the host's uplink, is for the
    /// kernel layer to see.
    pub source: IfName,
    /// How it shall be called in the sandbox.
    pub wish: InterfaceName,
    /// The MAC address that it shall have; `None` leaves it what it has.
    pub mac: Option<MacAddress>,
    /// The addresses that it shall have.
    pub addresses: Vec<IpNet>,
}

/// A route by the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRoute {
    /// Where to; never everywhere.
    pub destination: IpNet,
    /// By which neighbour; `None` where the destination is on the link itself.
    pub gateway: Option<IpAddr>,
}

/// The most routes that one answer may have.
const MOST_ROUTES: usize = 1024;

impl Placement {
    /// Reads an answer.
    ///
    /// # Errors
    /// `Internal` names the field, shows it, and says what is expected.
    pub fn read(reply: &Reply, endpoint: &Endpoint) -> Result<Self> {
        let lease = endpoint.lease.clone().unwrap_or_default();
        let addresses: Vec<IpNet> = lease.v4.map(IpNet::V4).into_iter().chain(lease.v6.map(IpNet::V6)).collect();
        Self::of(reply, endpoint.interface.as_ref(), options::asked_mac(endpoint), addresses)
    }

    /// Reads an answer for whom has these addresses, and asked for that name and MAC address of the link.
    fn of(reply: &Reply, name: Option<&IfName>, mac: Option<MacAddress>, addresses: Vec<IpNet>) -> Result<Self> {
        let link = link(reply, name, mac, addresses.clone())?;
        if reply.static_routes.len() > MOST_ROUTES {
            let count = reply.static_routes.len();
            return Err(Error::internal(format!("StaticRoutes has {count} routes, and {MOST_ROUTES} are allowed")));
        }
        let mut placement = Self {
            link,
            routes: Vec::new(),
            gateway_v4: v4(neighbour(&reply.gateway, "Gateway")?, &reply.gateway)?,
            gateway_v6: v6(neighbour(&reply.gateway_v6, "GatewayIPv6")?, &reply.gateway_v6)?,
            out_by_link_v4: false,
            out_by_link_v6: false,
            disable_gateway_service: reply.disable_gateway_service,
        };
        for route in &reply.static_routes {
            placement.take(read_route(route)?)?;
        }
        placement.routes.sort_by_key(|route| route.gateway.is_some());
        placement.check(&addresses)?;
        Ok(placement)
    }

    /// Takes one route; one to everywhere is a way out.
    fn take(&mut self, route: LinkRoute) -> Result<()> {
        match (route.destination, route.gateway) {
            (destination, _) if destination.prefix_len() > 0 => self.routes.push(route),
            (IpNet::V4(_), None) => self.out_by_link_v4 = true,
            (IpNet::V6(_), None) => self.out_by_link_v6 = true,
            (_, Some(IpAddr::V4(gateway))) => self.gateway_v4 = Some(only(self.gateway_v4, gateway)?),
            (_, Some(IpAddr::V6(gateway))) => self.gateway_v6 = Some(only(self.gateway_v6, gateway)?),
        }
        Ok(())
    }

    /// What can't be true of the whole: routes without a link, twice the same, by a neighbour that is nowhere.
    fn check(&self, addresses: &[IpNet]) -> Result<()> {
        let gateways = self.gateway_v4.map(IpAddr::V4).into_iter().chain(self.gateway_v6.map(IpAddr::V6));
        let gateways: Vec<IpAddr> = gateways.collect();
        let leads_out = self.out_by_link_v4 || self.out_by_link_v6 || !gateways.is_empty();
        if self.link.is_none() && (leads_out || !self.routes.is_empty()) {
            return Err(Error::internal("there are a gateway or routes, and no InterfaceName that they could be by"));
        }
        let mut destinations = BTreeSet::new();
        if let Some(twice) = self.routes.iter().find(|route| !destinations.insert(route.destination)) {
            return Err(Error::internal(format!("StaticRoutes has {} twice", twice.destination)));
        }
        let connected: Vec<IpNet> =
            self.routes.iter().filter(|it| it.gateway.is_none()).map(|it| it.destination).collect();
        let is_near = |neighbour: &IpAddr| {
            let by_link = if neighbour.is_ipv4() { self.out_by_link_v4 } else { self.out_by_link_v6 };
            let is_local = matches!(neighbour, IpAddr::V6(address) if address.is_unicast_link_local());
            by_link || is_local || addresses.iter().chain(&connected).any(|net| net.contains(neighbour))
        };
        let neighbours = gateways.iter().copied().chain(self.routes.iter().filter_map(|route| route.gateway));
        match neighbours.into_iter().find(|neighbour| !is_near(neighbour)) {
            None => Ok(()),
            Some(far) => Err(Error::internal(format!(
                "{far} is to be the next hop, and is neither in the endpoint's subnet nor in a connected route"
            ))),
        }
    }

    /// What goes with the link, in the order in which it is made.
    pub fn resources(&self, slot: &Slot) -> Vec<Resource> {
        let (namespace, link) = (&slot.namespace, &slot.interface);
        let addresses = self.link.iter().flat_map(|it| &it.addresses).map(|address| {
            Resource::Address(Address {
                namespace: namespace.clone(),
                link: link.clone(),
                address: *address,
                announcements: Announcements::default(),
            })
        });
        let routes = self.routes.iter().map(|route| {
            Resource::Route(Route {
                namespace: namespace.clone(),
                table: MAIN_TABLE,
                destination: route.destination,
                gateway: route.gateway,
                link: link.clone(),
            })
        });
        let moved = self.link.iter().map(|it| {
            Resource::Moved(Moved {
                source: it.source.clone(),
                namespace: namespace.clone(),
                name: link.clone(),
                mac: it.mac,
            })
        });
        moved.chain(addresses).chain(routes).collect()
    }

    /// As the controller takes it.
    pub fn joined(&self, slot: &Slot) -> Joined {
        Joined {
            plan: self.resources(slot).into(),
            interface: self.link.as_ref().map(|_| slot.interface.clone()),
            gateway_v4: self.gateway_v4,
            gateway_v6: self.gateway_v6,
            out_by_link_v4: self.out_by_link_v4,
            out_by_link_v6: self.out_by_link_v6,
            declines_gateway: self.disable_gateway_service,
            wish: self.link.as_ref().map(|link| link.wish.clone()),
        }
    }
}

/// Checks an answer by itself, for an endpoint of this address; the link that it tells of.
pub(crate) fn check_reply(reply: &Reply, address: &str) -> Result<Option<IfName>> {
    let address: IpNet = address.parse().map_err(|_| Error::internal(format!("{address} is no address")))?;
    Ok(Placement::of(reply, None, None, vec![address])?.link.map(|link| link.source))
}

fn link(
    reply: &Reply,
    asked: Option<&IfName>,
    mac: Option<MacAddress>,
    addresses: Vec<IpNet>,
) -> Result<Option<MovedLink>> {
    let Some(name) = &reply.interface_name else { return Ok(None) };
    if name.src_name.is_empty() && name.dst_prefix.is_empty() {
        // An object with nothing in it is what some write for none.
        return Ok(None);
    }
    let source = IfName::try_from(name.src_name.as_str()).map_err(|_| {
        Error::internal(format!("SrcName is {:?}: the name of a link is expected", shown(&name.src_name)))
    })?;
    let prefix = if name.dst_prefix.is_empty() { "eth" } else { &name.dst_prefix };
    if IfName::try_from(format!("{prefix}999")).is_err() {
        return Err(Error::internal(format!(
            "DstPrefix is {:?}: the beginning of a link's name is expected, up to 12 characters long",
            shown(prefix)
        )));
    }
    let wish = match asked {
        Some(name) => InterfaceName::Exactly(name.clone()),
        None => InterfaceName::Numbered(prefix.to_owned()),
    };
    Ok(Some(MovedLink { source, wish, mac, addresses }))
}

fn read_route(route: &StaticRoute) -> Result<LinkRoute> {
    let destination = subnet(&route.destination, "Destination")?;
    let gateway = neighbour(&route.next_hop, "NextHop")?;
    let told = shown(&route.destination);
    let gateway = match (route.route_type, gateway) {
        (CONNECTED, _) => None,
        (NEXT_HOP, Some(gateway)) if gateway.is_ipv4() == matches!(destination, IpNet::V4(_)) => Some(gateway),
        (NEXT_HOP, Some(_)) => {
            return Err(Error::internal(format!("the route to {told} has a NextHop of the other family")));
        }
        (NEXT_HOP, None) => return Err(Error::internal(format!("the route to {told} has no NextHop"))),
        (other, _) => {
            return Err(Error::internal(format!("the route to {told} has RouteType {other}: 0 or 1 is expected")));
        }
    };
    if destination.addr().is_multicast() || (destination.addr().is_loopback() && destination.prefix_len() > 0) {
        return Err(Error::internal(format!("Destination is {told}: no link leads there")));
    }
    Ok(LinkRoute { destination, gateway })
}

/// The one gateway, if both say the same.
fn only<A: PartialEq + std::fmt::Display>(known: Option<A>, other: A) -> Result<A> {
    match known {
        Some(known) if known != other => {
            Err(Error::internal(format!("the ways out contradict each other: {known} and {other}")))
        }
        _ => Ok(other),
    }
}

fn v4(address: Option<IpAddr>, told: &str) -> Result<Option<Ipv4Addr>> {
    match address {
        Some(IpAddr::V6(_)) => Err(Error::internal(format!("Gateway is {told}: an IPv4 address is expected"))),
        Some(IpAddr::V4(address)) => Ok(Some(address)),
        None => Ok(None),
    }
}

fn v6(address: Option<IpAddr>, told: &str) -> Result<Option<Ipv6Addr>> {
    match address {
        Some(IpAddr::V4(_)) => Err(Error::internal(format!("GatewayIPv6 is {told}: an IPv6 address is expected"))),
        Some(IpAddr::V6(address)) => Ok(Some(address)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use trestle_core::ErrorKind;
    use trestle_core::resource::Namespace;

    use super::*;
    use crate::testing;

    fn read(reply: Value) -> Result<Placement> {
        let network = testing::network();
        Placement::read(&serde_json::from_value(reply).unwrap(), &testing::endpoint(&network))
    }

    fn slot() -> Slot {
        Slot { namespace: Namespace::At("/run/netns/1".into()), interface: "eth0".try_into().unwrap() }
    }

    #[test]
    fn a_reply_becomes_a_link_with_addresses_routes_and_ways_out() {
        let placement = read(json!({
            "InterfaceName": {"SrcName": "vethab", "DstName": "ignored0", "DstPrefix": "weave"},
            "Gateway": "10.0.0.1", "GatewayIPv6": "fe80::1", "DisableGatewayService": true,
            "StaticRoutes": [
                {"Destination": "10.9.0.0/16", "RouteType": 0, "NextHop": "169.254.1.1"},
                {"Destination": "169.254.1.1/32", "RouteType": 1, "NextHop": ""}],
        }))
        .unwrap();
        let link = placement.link.as_ref().unwrap();
        assert_eq!(link.source.as_str(), "vethab");
        assert_eq!(link.wish, InterfaceName::Numbered("weave".into()));
        assert_eq!(link.mac, None, "a MAC address that nobody asked for is the plugin's affair");
        assert_eq!(placement.gateway_v4, Some([10, 0, 0, 1].into()));
        assert_eq!(placement.gateway_v6, Some("fe80::1".parse().unwrap()));
        assert!(placement.disable_gateway_service);
        let told: Vec<String> = placement.resources(&slot()).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "link vethab, moved as eth0 in /run/netns/1",
                "address 10.0.0.2/24 on eth0 in /run/netns/1",
                "address fd00::2/64 on eth0 in /run/netns/1",
                "route to 169.254.1.1/32 in /run/netns/1",
                "route to 10.9.0.0/16 in /run/netns/1",
            ]
        );
        let joined = placement.joined(&slot());
        assert_eq!(joined.wish, Some(InterfaceName::Numbered("weave".into())));
        assert!(joined.declines_gateway && joined.gateway_v4.is_some());
    }

    #[test]
    fn a_route_to_everywhere_is_a_way_out() {
        let with = |routes: Value, gateway: &str| {
            read(
                json!({"InterfaceName": {"SrcName": "v", "DstPrefix": "eth"}, "Gateway": gateway, "StaticRoutes": routes}),
            )
        };
        let hop = json!([{"Destination": "0.0.0.0/0", "RouteType": 0, "NextHop": "10.0.0.7"}]);
        let placement = with(hop.clone(), "").unwrap();
        assert_eq!((placement.gateway_v4, placement.routes.len()), (Some([10, 0, 0, 7].into()), 0));
        assert!(with(hop.clone(), "10.0.0.7").is_ok());
        assert!(with(hop, "10.0.0.8").unwrap_err().to_string().contains("contradict"));
        let connected = with(json!([{"Destination": "0.0.0.0/0", "RouteType": 1, "NextHop": ""}]), "").unwrap();
        assert!(connected.out_by_link_v4 && !connected.out_by_link_v6 && connected.gateway_v4.is_none());
    }

    #[test]
    fn nothing_is_a_placement_without_a_link() {
        for nothing in [json!({}), json!({"InterfaceName": null}), json!({"InterfaceName": {}})] {
            let placement = read(nothing).unwrap();
            assert_eq!(placement.joined(&slot()), Joined::default());
        }
    }

    #[test]
    fn the_user_s_name_for_the_link_goes_before_the_plugin_s() {
        let mut endpoint = testing::endpoint(&testing::network());
        endpoint.interface = Some("front0".try_into().unwrap());
        endpoint.options.insert(options::MAC_ADDRESS.into(), String::new());
        let reply = serde_json::from_value(json!({"InterfaceName": {"SrcName": "v", "DstPrefix": "eth"}})).unwrap();
        let link = Placement::read(&reply, &endpoint).unwrap().link.unwrap();
        assert_eq!(link.wish, InterfaceName::Exactly("front0".try_into().unwrap()));
        assert_eq!(link.mac, Some(endpoint.mac));
    }

    #[test]
    fn whatever_can_t_be_is_refused_by_name() {
        let named = |source: &str, prefix: &str| json!({"InterfaceName": {"SrcName": source, "DstPrefix": prefix}});
        let routed = |destination: &str, kind: i64, hop: &str| {
            let routes = json!([{"Destination": destination, "RouteType": kind, "NextHop": hop}]);
            json!({"InterfaceName": {"SrcName": "v", "DstPrefix": "eth"}, "StaticRoutes": routes})
        };
        let gate = |v4: &str, v6: &str| json!({"InterfaceName": {"SrcName": "v", "DstPrefix": "eth"}, "Gateway": v4, "GatewayIPv6": v6});
        let twice = json!({"Destination": "10.9.0.0/16", "RouteType": 1, "NextHop": ""});
        let many: Vec<Value> = (0..1025).map(|_| twice.clone()).collect();
        for (reply, told) in [
            (named("", "eth"), "SrcName"),
            (named("lo", "eth"), "SrcName"),
            (named("../../etc", "eth"), "SrcName"),
            (named(&"x".repeat(16), "eth"), "SrcName"),
            (named("v", &"x".repeat(13)), "DstPrefix"),
            (named("v", "e/h"), "DstPrefix"),
            (gate("10.0.0.300", ""), "Gateway"),
            (gate("fd00::1", ""), "Gateway"),
            (gate("", "10.0.0.1"), "GatewayIPv6"),
            (gate("10.0.0.1/24", ""), "Gateway"),
            (gate("0.0.0.0", ""), "Gateway"),
            (gate("192.0.2.1", ""), "192.0.2.1 is to be the next hop"),
            (json!({"Gateway": "10.0.0.1"}), "no InterfaceName"),
            (routed("10.9.0.0", 0, "10.0.0.1"), "Destination"),
            (routed("10.9.0.0/16", 0, ""), "NextHop"),
            (routed("10.9.0.0/16", 0, "fd00::1"), "NextHop"),
            (routed("10.9.0.0/16", 0, "198.51.100.1"), "next hop"),
            (routed("10.9.0.0/16", 2, "10.0.0.1"), "RouteType"),
            (routed("224.0.0.0/4", 1, ""), "Destination"),
            (routed("127.0.0.0/8", 1, ""), "Destination"),
            (json!({"InterfaceName": {"SrcName": "v", "DstPrefix": "eth"}, "StaticRoutes": [twice, twice]}), "twice"),
            (json!({"InterfaceName": {"SrcName": "v", "DstPrefix": "eth"}, "StaticRoutes": many}), "1025 routes"),
        ] {
            let error = read(reply.clone()).unwrap_err();
            assert!(error.to_string().contains(told), "{error} should tell of {told}");
            assert_eq!(error.kind(), ErrorKind::Internal);
        }
    }
}
