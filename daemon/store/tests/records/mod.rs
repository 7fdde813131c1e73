//! Records in few words, for tests.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use trestle_core::Plan;
use trestle_core::endpoint::{Attachment, Endpoint, EndpointState, Lease, Lifetime, Plans};
use trestle_core::network::{Network, NetworkState, Pool, Scope};
use trestle_core::resource::{Hairpin, Resource};
use trestle_core::sandbox::{Sandbox, SandboxNetns, SandboxState};
use trestle_core::store::{Change, Key, Record};

pub(crate) fn id(number: u8) -> String {
    format!("{number:064x}")
}

pub(crate) fn plan(resources: u8) -> Plan {
    (0..resources).map(|last| Resource::Hairpin(Hairpin { address: [10, 1, 0, last].into() })).collect()
}

pub(crate) fn network(number: u8, resources: u8) -> Record {
    let pool = Pool {
        id: "10.1.0.0/16".into(),
        subnet: "10.1.0.0/16".parse().unwrap(),
        range: None,
        gateway: Some([10, 1, 0, 1].into()),
        auxiliary: BTreeMap::new(),
    };
    Record::Network(Network {
        id: id(number).parse().unwrap(),
        name: format!("network{number}").try_into().unwrap(),
        driver: "bridge".into(),
        ipam: "default".into(),
        scope: Scope::Local,
        pools: vec![pool],
        internal: false,
        options: BTreeMap::from([("com.docker.network.bridge.name".into(), "br7".into())]),
        labels: BTreeMap::new(),
        created: SystemTime::UNIX_EPOCH + Duration::new(1_800_000_000, 5),
        state: NetworkState::Ready { plan: plan(resources) },
    })
}

pub(crate) fn endpoint(number: u8, lifetime: Lifetime, attached: Option<u8>) -> Record {
    let state = match attached {
        None => EndpointState::Reserved,
        Some(resources) => EndpointState::Attached(Attachment {
            sandbox: id(number).parse().unwrap(),
            interface: Some("eth0".try_into().unwrap()),
            table: 84_000,
            gateway_v4: Some([10, 1, 0, 1].into()),
            gateway_v6: None,
            out_by_link_v4: false,
            out_by_link_v6: false,
            declines_gateway: false,
            ports: Vec::new(),
            plans: Plans { link: plan(resources), ports: Plan::new() },
        }),
    };
    Record::Endpoint(Box::new(Endpoint {
        id: id(number).parse().unwrap(),
        network: id(1).parse().unwrap(),
        name: format!("endpoint{number}").try_into().unwrap(),
        lifetime,
        lease: Some(Lease { v4: Some(format!("10.1.1.{number}/16").parse().unwrap()), v6: None }),
        mac: "02:42:0a:01:01:02".parse().unwrap(),
        exposed: Vec::new(),
        wanted: Vec::new(),
        options: BTreeMap::new(),
        priority: 0,
        primary: false,
        interface: None,
        names: Default::default(),
        state,
    }))
}

pub(crate) fn sandbox(number: u8, resources: u8) -> Record {
    Record::Sandbox(Sandbox {
        id: id(number).parse().unwrap(),
        name: format!("sandbox{number}").try_into().unwrap(),
        netns: SandboxNetns::Made { path: format!("/run/trestle/netns/{number:012x}").into() },
        naming: None,
        state: SandboxState::Ready { plan: plan(resources) },
    })
}

pub(crate) fn put(record: &Record) -> Change {
    Change::Put(record.clone())
}

pub(crate) fn remove(record: &Record) -> Change {
    Change::Remove(record.key())
}

/// Which way an endpoint's, a network's or a sandbox's key is sorted does not matter, as long as it always is.
pub(crate) fn by_key(records: impl IntoIterator<Item = Record>) -> BTreeMap<Key, Record> {
    records.into_iter().map(|record| (record.key(), record)).collect()
}
