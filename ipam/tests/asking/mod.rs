//! Requests in few words, for tests.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;

use ipnet::IpNet;
use trestle_core::Result;
use trestle_core::ipam::{AddressRequest, Family, Ipam, PoolLease, PoolRequest, Purpose};
use trestle_ipam::{AddressPool, DefaultIpam, DefaultPools};

pub(crate) const GLOBAL_ID: [u8; 5] = [0x12, 0x34, 0x56, 0x78, 0x9a];

pub(crate) fn now<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn manager() -> DefaultIpam {
    manager_with(&[])
}

pub(crate) fn manager_with(pools: &[(&str, u8)]) -> DefaultIpam {
    let given = pools.iter().map(|(base, size)| AddressPool { base: net(base), size: *size }).collect();
    DefaultIpam::new(DefaultPools::new(given, GLOBAL_ID).unwrap())
}

pub(crate) fn unnamed(family: Family) -> PoolRequest {
    PoolRequest { family, subnet: None, range: None, avoid: Vec::new(), options: BTreeMap::new() }
}

pub(crate) fn subnet(text: &str) -> PoolRequest {
    let subnet = net(text);
    let family = if subnet.addr().is_ipv4() { Family::V4 } else { Family::V6 };
    PoolRequest { subnet: Some(subnet), ..unnamed(family) }
}

pub(crate) fn pool(ipam: &dyn Ipam, request: &PoolRequest) -> Result<PoolLease> {
    now(ipam.request_pool(request))
}

pub(crate) fn endpoint(wanted: Option<IpAddr>) -> AddressRequest {
    let purpose = Purpose::Endpoint { mac: "02:42:ac:11:00:02".parse().unwrap(), name: "web".into() };
    AddressRequest { subnet: None, wanted, purpose }
}

pub(crate) fn next(ipam: &dyn Ipam, pool: &str) -> Result<IpAddr> {
    now(ipam.request_address(pool, &endpoint(None))).map(|net| net.addr())
}

pub(crate) fn wish(ipam: &dyn Ipam, pool: &str, wanted: IpAddr) -> Result<IpAddr> {
    now(ipam.request_address(pool, &endpoint(Some(wanted)))).map(|net| net.addr())
}

pub(crate) fn gateway(ipam: &dyn Ipam, pool: &str) -> Result<IpAddr> {
    now(ipam.request_address(pool, &AddressRequest { subnet: None, wanted: None, purpose: Purpose::Gateway }))
        .map(|net| net.addr())
}

pub(crate) fn release(ipam: &dyn Ipam, pool: &str, address: IpAddr) {
    now(ipam.release_address(pool, address)).unwrap();
}

pub(crate) fn cancel(ipam: &dyn Ipam, pool: &str, address: IpAddr) {
    now(ipam.cancel_address(pool, address)).unwrap();
}
