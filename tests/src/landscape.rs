//! Hosts, wires and a front, ready for a scenario.
//!
//! ```text
//! outside ──── wire ──── router, where Trestle runs ──┬── container
//! 192.0.2.1              192.0.2.2                    └── container
//! 2001:db8:1::1          2001:db8:1::2
//! ```
//! The outside host sends everything that it does not know to the router: it can attack any subnet behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::thread;

use trestle_core::controller::request::{EndpointRequest, NetnsRequest, NetworkRequest};

use crate::front::{Front, Place};
use crate::host::Host;
use crate::namespace::Namespace;
use crate::traffic::{Answer, Protocol, Server, ask};
use crate::wire::{self, End};

/// The addresses of the outside host.
pub const OUTSIDE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1))];

/// The addresses of the host where Trestle runs.
pub const ROUTER: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2))];

/// The loopback addresses.
pub const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The protocols that scenarios try.
pub const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// Starts a front on a host.
pub type Start = fn(&Arc<Host>) -> Arc<dyn Front>;

/// Two hosts, a wire between them, and Trestle on one.
pub struct Landscape {
    /// How Trestle is asked.
    pub front: Arc<dyn Front>,
    /// The host where it runs.
    pub router: Arc<Host>,
    /// A host beyond the wire.
    pub outside: Host,
}

impl Landscape {
    /// Lays it out with an ordinary wire.
    pub fn new(start: Start) -> Self {
        Self::with_mtu(start, wire::MTU)
    }

    /// Lays it out with a wire whose packets may have so many bytes.
    pub fn with_mtu(start: Start, mtu: u32) -> Self {
        let (router, outside) = hosts(mtu);
        Self { front: start(&router), router, outside }
    }

    /// Makes a network with IPv4 and IPv6.
    pub fn network(&self, name: &str) {
        self.network_as(name, |_| {});
    }

    /// Makes a network with IPv4 and IPv6, and whatever else is wished.
    pub fn network_as(&self, name: &str, wish: impl FnOnce(&mut NetworkRequest)) {
        let mut request = network(name);
        wish(&mut request);
        self.front.create_network(&request).unwrap_or_else(|error| panic!("network {name}: {error}"));
        listens(self.router.namespace());
    }

    /// Makes a container on a network, with published ports.
    pub fn container(&self, name: &str, network: &str, ports: &[&str]) -> Container {
        let mut container = self.sandbox(name);
        self.connect(&mut container, network, ports);
        container
    }

    /// Makes a container that is on no network.
    pub fn sandbox(&self, name: &str) -> Container {
        let path = self.front.create_sandbox(name, &NetnsRequest::Make);
        let path = path.unwrap_or_else(|error| panic!("sandbox {name}: {error}"));
        let namespace = self.router.namespace_at(&path);
        Container { name: name.into(), namespace, places: BTreeMap::new() }
    }

    /// Puts a container on one more network.
    pub fn connect(&self, container: &mut Container, network: &str, ports: &[&str]) {
        self.connect_as(container, network, ports, |_| {});
    }

    /// Puts a container on one more network, with whatever else is wished.
    pub fn connect_as(
        &self,
        container: &mut Container,
        network: &str,
        ports: &[&str],
        wish: impl FnOnce(&mut EndpointRequest),
    ) {
        let mut request = place(network, ports);
        wish(&mut request);
        let place = self.front.connect(&container.name, &request);
        let place = place.unwrap_or_else(|error| panic!("{} on {network}: {error}", container.name));
        listens(&container.namespace);
        container.places.insert(network.into(), place);
    }

    /// Takes a container off a network.
    pub fn disconnect(&self, container: &mut Container, network: &str) {
        let done = self.front.disconnect(&container.name, network);
        done.unwrap_or_else(|error| panic!("{} off {network}: {error}", container.name));
        container.places.remove(network);
    }

    /// Asks from the outside host.
    pub fn ask(&self, protocol: Protocol, address: IpAddr, port: u16) -> Answer {
        ask(self.outside.namespace(), protocol, address, port)
    }

    /// Asks from the host where Trestle runs.
    pub fn ask_locally(&self, protocol: Protocol, address: IpAddr, port: u16) -> Answer {
        ask(self.router.namespace(), protocol, address, port)
    }

    /// Waits until everything is as it should be, however long it takes: somebody is at it.
    ///
    /// # Panics
    /// When that can't be asked.
    #[track_caller]
    pub fn all_comes_right(&self) {
        while !self.front.verify().unwrap_or_else(|error| panic!("{error}")).is_empty() {
            thread::yield_now();
        }
    }

    /// Everything is as it should be.
    ///
    /// # Panics
    /// With what is not.
    #[track_caller]
    pub fn nothing_is_amiss(&self) {
        assert_eq!(self.front.verify(), Ok(Vec::new()));
    }
}

/// Waits until a namespace can be asked for the Ethernet addresses of all its IPv6 addresses.
///
/// The kernel listens for such questions (RFC 4861, section 7.2) some time after it has taken an address, when a work
/// queue gets to it. A neighbour who asked before asks again a second later; no scenario wants to wait for that.
pub fn listens(namespace: &Namespace) {
    let read = |file: &str| namespace.run(|| fs::read_to_string(format!("/proc/thread-self/net/{file}")));
    let groups = || -> BTreeSet<(String, String)> {
        let text = read("igmp6").unwrap_or_default();
        let words = text.lines().map(|line| line.split_whitespace().skip(1).map(str::to_owned));
        words.filter_map(|mut words| Some((words.next()?, words.next()?))).collect()
    };
    let wanted: Vec<(String, String)> = read("if_inet6")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (address, link) = (words.first()?, words.last()?);
            Some(((*link).to_owned(), format!("ff0200000000000000000001ff{}", &address[26..])))
        })
        .filter(|(link, _)| link != "lo")
        .collect();
    while !wanted.iter().all(|group| groups().contains(group)) {
        thread::yield_now();
    }
}

/// The hosts of a landscape: the router first.
pub fn hosts(mtu: u32) -> (Arc<Host>, Host) {
    let (router, outside) = (Host::new("router"), Host::new("outside"));
    let [outside_v4, outside_v6, router_v4, router_v6] =
        [(OUTSIDE[0], 24), (OUTSIDE[1], 64), (ROUTER[0], 24), (ROUTER[1], 64)]
            .map(|(ip, length)| format!("{ip}/{length}"));
    wire::lay(
        End { host: &outside, link: "uplink", addresses: &[&outside_v4, &outside_v6] },
        End { host: &router, link: "uplink", addresses: &[&router_v4, &router_v6] },
        mtu,
    );
    for (host, ways) in [(&outside, ROUTER), (&router, OUTSIDE)] {
        host.ip(&format!("route add default via {}", ways[0]));
        host.ip(&format!("-6 route add default via {}", ways[1]));
    }
    (Arc::new(router), outside)
}

/// A bridge network with IPv4 and IPv6.
pub fn network(name: &str) -> NetworkRequest {
    let name = name.try_into().expect("tests name networks rightly");
    NetworkRequest { ipv6: true, ..NetworkRequest::new(name, "bridge") }
}

/// A place on a network with published ports.
pub fn place(network: &str, ports: &[&str]) -> EndpointRequest {
    let ports = ports.iter().map(|port| port.parse().expect("tests write ports rightly")).collect();
    EndpointRequest { ports, ..EndpointRequest::on(network) }
}

/// A container, as far as the network goes.
pub struct Container {
    /// The sandbox's name.
    pub name: String,
    /// Its namespace.
    pub namespace: Namespace,
    /// Where it is, by network.
    pub places: BTreeMap<String, Place>,
}

impl Container {
    /// Starts a server in it, with the container's name.
    pub fn serve(&self, port: u16) -> Server {
        Server::start(&self.namespace, &self.name, port)
    }

    /// Asks from in here.
    pub fn ask(&self, protocol: Protocol, address: IpAddr, port: u16) -> Answer {
        ask(&self.namespace, protocol, address, port)
    }

    /// Its addresses on a network, IPv4 first.
    pub fn addresses(&self, network: &str) -> [IpAddr; 2] {
        let place = &self.places[network];
        let addresses = (place.v4.map(IpAddr::from), place.v6.map(IpAddr::from));
        match addresses {
            (Some(v4), Some(v6)) => [v4, v6],
            _ => panic!("{} lacks an address on {network}: {place:?}", self.name),
        }
    }

    /// The addresses of the host on a network, IPv4 first.
    pub fn gateways(&self, network: &str) -> Vec<IpAddr> {
        self.places[network].gateways.clone()
    }
}
