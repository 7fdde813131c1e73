//! A network and an endpoint, for the tests of this crate, within it and beside it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use trestle_core::Plan;
use trestle_core::endpoint::{Endpoint, EndpointState, Lease, Lifetime};
use trestle_core::network::{Network, NetworkState, Pool, Scope};

/// A network with one pool of each family.
pub(crate) fn network() -> Network {
    Network {
        id: "a".repeat(64).parse().unwrap(),
        name: "front".try_into().unwrap(),
        driver: "weave".into(),
        ipam: "default".into(),
        scope: Scope::Local,
        pools: vec![pool("10.0.0.0/24", "10.0.0.1"), pool("fd00::/64", "fd00::1")],
        internal: false,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        created: SystemTime::UNIX_EPOCH,
        state: NetworkState::Ready { plan: Plan::new() },
    }
}

fn pool(subnet: &str, gateway: &str) -> Pool {
    Pool {
        id: subnet.into(),
        subnet: subnet.parse().unwrap(),
        range: None,
        gateway: Some(gateway.parse().unwrap()),
        auxiliary: BTreeMap::new(),
    }
}

/// An endpoint on it, with an address of each family.
pub(crate) fn endpoint(network: &Network) -> Endpoint {
    Endpoint {
        id: "b".repeat(64).parse().unwrap(),
        network: network.id,
        name: "web".try_into().unwrap(),
        lifetime: Lifetime::Attachment,
        lease: Some(Lease { v4: Some("10.0.0.2/24".parse().unwrap()), v6: Some("fd00::2/64".parse().unwrap()) }),
        mac: "02:42:ac:11:00:02".parse().unwrap(),
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
