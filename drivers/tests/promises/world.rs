//! A host, a network on it and an endpoint of that, to ask drivers about.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::time::SystemTime;

use ipnet::IpNet;
use trestle_core::driver::{Driver, Joined, Slot};
use trestle_core::endpoint::{Endpoint, EndpointState, Lease, Lifetime};
use trestle_core::facts::{Facts, LinkFact};
use trestle_core::name::IfName;
use trestle_core::network::{Network, NetworkState, Pool, Scope};
use trestle_core::port::PortBinding;
use trestle_core::resource::{Address, Namespace, Resource, Sysctl};
use trestle_core::{Error, ErrorKind, Plan, Result};
use trestle_drivers::Bridge;

/// The name that the bridge of [`network`] has by default.
pub(crate) const BRIDGE: &str = "br-0123456789ab";

/// A host with one uplink, where nothing is forwarded yet.
pub(crate) fn host() -> Facts {
    Facts {
        links: vec![link("eth0", "", &["192.0.2.10/24"])],
        uplink_mtu: Some(1500),
        ipv6: true,
        filter_bridged: true,
        sysctls: vec![("net/ipv4/ip_forward".into(), "0".into()), ("net/ipv6/conf/all/forwarding".into(), "0".into())],
        ..Facts::default()
    }
}

pub(crate) fn link(name: &str, kind: &str, addresses: &[&str]) -> LinkFact {
    LinkFact {
        name: if_name(name),
        kind: kind.into(),
        mtu: 1500,
        mac: None,
        addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
        ours: false,
    }
}

/// A bridge network with these subnets; the gateway is the first address of each.
pub(crate) fn network(subnets: &[&str], options: &[(&str, &str)]) -> Network {
    Network {
        id: "0123456789abcdef".repeat(4).parse().unwrap(),
        name: "front".try_into().unwrap(),
        driver: "bridge".into(),
        ipam: "default".into(),
        scope: Scope::Local,
        pools: subnets.iter().map(|subnet| pool(subnet)).collect(),
        internal: false,
        options: texts(options),
        labels: BTreeMap::new(),
        created: SystemTime::UNIX_EPOCH,
        state: NetworkState::Creating { plan: Plan::new() },
    }
}

pub(crate) fn internal(network: Network) -> Network {
    Network { internal: true, ..network }
}

fn pool(subnet: &str) -> Pool {
    let subnet: IpNet = subnet.parse().unwrap();
    let gateway = subnet.hosts().find(|host| *host != subnet.network());
    Pool { id: subnet.to_string(), subnet, range: None, gateway, auxiliary: BTreeMap::new() }
}

pub(crate) fn endpoint(v4: Option<&str>, v6: Option<&str>) -> Endpoint {
    Endpoint {
        id: "fedcba9876543210".repeat(4).parse().unwrap(),
        network: network(&[], &[]).id,
        name: "web".try_into().unwrap(),
        lifetime: Lifetime::Attachment,
        lease: Some(Lease { v4: v4.map(|net| net.parse().unwrap()), v6: v6.map(|net| net.parse().unwrap()) }),
        mac: "02:42:0a:01:00:02".parse().unwrap(),
        exposed: Vec::new(),
        wanted: Vec::new(),
        options: BTreeMap::new(),
        priority: 0,
        primary: false,
        interface: None,
        names: Default::default(),
        state: EndpointState::Reserved,
    }
}

pub(crate) fn sandbox() -> Namespace {
    Namespace::At("/run/trestle/netns/0123456789ab".into())
}

pub(crate) fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn if_name(name: &str) -> IfName {
    name.try_into().unwrap()
}

pub(crate) fn sysctl(key: &str, value: &str, prior: Option<&str>) -> Resource {
    let (key, value, prior) = (key.to_owned(), value.to_owned(), prior.map(str::to_owned));
    Resource::Sysctl(Sysctl { namespace: Namespace::Host, key, value, prior, put_back: false })
}

pub(crate) fn address(namespace: Namespace, link: &str, address: &str) -> Resource {
    Resource::Address(Address {
        namespace,
        link: if_name(link),
        address: address.parse().unwrap(),
        announcements: Default::default(),
    })
}

/// Asks for a network.
pub(crate) fn create(network: &Network, facts: &Facts) -> Result<Plan> {
    wait(Bridge.create_network(network, facts))
}

/// The network once it is made.
pub(crate) fn made(network: Network, facts: &Facts) -> Network {
    let plan = create(&network, facts).unwrap();
    Network { state: NetworkState::Ready { plan }, ..network }
}

pub(crate) fn join(network: &Network, endpoint: &Endpoint) -> Result<Joined> {
    wait(Bridge.join(network, endpoint, &Slot { namespace: sandbox(), interface: if_name("eth0") }))
}

pub(crate) fn publish(network: &Network, endpoint: &Endpoint, ports: &[PortBinding]) -> Result<Plan> {
    wait(Bridge.publish(network, endpoint, ports))
}

/// `[ADDRESS-]HOST:CONTAINER/PROTOCOL`, every field said.
pub(crate) fn binding(address: Option<&str>, host: &str, container: &str, protocol: &str) -> PortBinding {
    PortBinding {
        protocol: protocol.parse().unwrap(),
        address: address.map(|address| address.parse::<IpAddr>().unwrap()),
        host: Some(host.parse().unwrap()),
        container: container.parse().unwrap(),
    }
}

/// `[ADDRESS-]CONTAINER/PROTOCOL`, without a port of the host.
pub(crate) fn opened_binding(address: Option<&str>, container: &str, protocol: &str) -> PortBinding {
    PortBinding { host: None, ..binding(address, container, container, protocol) }
}

pub(crate) fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
}

/// Fails unless the error is of the kind and its text has each of the parts.
#[track_caller]
pub(crate) fn assert_refused<T>(result: Result<T>, kind: ErrorKind, parts: &[&str]) {
    let error: Error = match result {
        Ok(_) => panic!("not refused; expected {kind:?} with {parts:?}"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{part:?} is not in {error}");
    }
}
