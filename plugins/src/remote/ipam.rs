//! A plugin as an address manager.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::IpNet;
use trestle_core::ipam::{AddressRequest, Family, Ipam, PoolLease, PoolRequest, Purpose};
use trestle_core::{Doing, Error, Result};

use super::address::{host_address, subnet};
use crate::client::shown;
use crate::registry::Plugin;
use crate::wire::Call;
use crate::wire::ipam::*;
use crate::wire::options::{ENDPOINT_NAME, MAC_ADDRESS};

/// A plugin as an address manager. It need not be up, as [`super::RemoteDriver`] need not.
#[derive(Debug)]
pub struct RemoteIpam {
    plugin: Arc<Plugin>,
}

/// How many pools that the host has no room for are taken before we give up, and the longest name of a pool in bytes.
const MOST_TRIES: usize = 16;
const LONGEST_ID: usize = 4096;

impl RemoteIpam {
    pub(crate) fn new(plugin: Arc<Plugin>) -> Self {
        Self { plugin }
    }

    async fn ask<C: Call>(&self, request: &C) -> Result<C::Reply> {
        self.plugin.ask(request).await.map_err(|failure| self.plugin.failed::<C>(failure))
    }

    async fn let_go<C: Call>(&self, request: &C, of: &str) -> Result<()> {
        let outcome = self.plugin.ask_to_let_go(request, of).await;
        outcome.map(drop).map_err(|failure| self.plugin.failed::<C>(failure))
    }

    /// The pool that an answer tells. What can't be used is given back.
    async fn take(&self, request: &PoolRequest, answer: PoolLeased) -> Result<PoolLease> {
        match lease(request, &answer) {
            Ok(lease) => Ok(lease),
            Err(cause) => {
                let rolled_back = match answer.id.is_empty() {
                    true => String::new(),
                    false => self.plugin.roll_back(ReleasePool { id: answer.id.clone() }, &answer.id, true).await,
                };
                let told = Error::new(cause.kind(), format!("{cause}{rolled_back}"));
                Err(told.doing(RequestPool::METHOD).doing(format!("plugin {}", self.plugin.name())))
            }
        }
    }

    /// Asks until a pool keeps clear of what is to be avoided. The others are held meanwhile, so that the plugin does
    /// not give them again, and given back by the caller.
    async fn search(&self, request: &PoolRequest, ask: &RequestPool, held: &mut Vec<PoolLease>) -> Result<PoolLease> {
        loop {
            let answer = self.ask(ask).await?;
            let lease = self.take(request, answer).await?;
            let in_the_way = request.avoid.iter().find(|taken| overlap(taken, &lease.subnet));
            // A pool of everything is a plugin's way to say that it has no addresses.
            let Some(in_the_way) = in_the_way.filter(|_| request.subnet.is_none() && lease.subnet.prefix_len() > 0)
            else {
                if held.iter().any(|other| other.id == lease.id) {
                    return Err(self.gives_up(format!("it gives out pool {:?} twice", shown(&lease.id))));
                }
                return Ok(lease);
            };
            let subnet = lease.subnet;
            let again = held.iter().any(|other| other.id == lease.id || other.subnet == subnet);
            if !held.iter().any(|other| other.id == lease.id) {
                held.push(lease);
            }
            if again {
                return Err(self.gives_up(format!(
                    "it offers {subnet} again, which overlaps {in_the_way} on this host; ask it for a subnet by name"
                )));
            }
            if held.len() >= MOST_TRIES {
                return Err(self.gives_up(format!(
                    "each of {MOST_TRIES} pools that it offered overlaps something on this host, the last ({subnet}) \
                     {in_the_way}; ask it for a subnet by name"
                )));
            }
        }
    }

    fn gives_up(&self, why: String) -> Error {
        Error::exhausted(why).doing(RequestPool::METHOD).doing(format!("plugin {}", self.plugin.name()))
    }
}

#[async_trait]
impl Ipam for RemoteIpam {
    fn needs_replay(&self) -> bool {
        let known = self.plugin.known();
        known.and_then(|contact| contact.ipam().ok()).is_some_and(|needs| needs.requires_replay)
    }

    fn external(&self) -> bool {
        true
    }

    async fn greet(&self) -> Result<()> {
        self.plugin.contact().await.map(drop).map_err(|failure| self.plugin.told(failure))
    }

    async fn request_pool(&self, request: &PoolRequest) -> Result<PoolLease> {
        let spaces = self.ask(&GetDefaultAddressSpaces {}).await?;
        let written = |net: Option<IpNet>| net.map(|net| net.to_string()).unwrap_or_default();
        let ask = RequestPool {
            address_space: spaces.local,
            pool: written(request.subnet),
            sub_pool: written(request.range),
            options: Some(request.options.clone()),
            v6: request.family == Family::V6,
        };
        let mut held = Vec::new();
        let outcome = self.search(request, &ask, &mut held).await;
        for lease in held {
            let told = self.plugin.roll_back(ReleasePool { id: lease.id.clone() }, &lease.id, true).await;
            tracing::debug!(pool = lease.id, subnet = %lease.subnet, told, "a pool that can't be used here");
        }
        outcome
    }

    async fn release_pool(&self, pool: &str) -> Result<()> {
        self.let_go(&ReleasePool { id: pool.to_owned() }, pool).await
    }

    async fn request_address(&self, pool: &str, request: &AddressRequest) -> Result<IpNet> {
        let contact = self.plugin.contact().await.map_err(|failure| self.plugin.told(failure))?;
        let needs_mac = contact.ipam()?.requires_mac;
        let ask = RequestAddress {
            id: pool.to_owned(),
            address: request.wanted.map(|address| address.to_string()).unwrap_or_default(),
            options: address_options(&request.purpose, needs_mac),
        };
        let answer = self.ask(&ask).await?;
        let (cause, address) = match address(&answer.address, request.wanted, request.subnet) {
            Ok(address) => return Ok(address),
            Err(refused) => refused,
        };
        let rolled_back = match address {
            None => String::new(),
            Some(address) => {
                let release = ReleaseAddress { id: pool.to_owned(), address: address.addr().to_string() };
                self.plugin.roll_back(release, &format!("{pool} {address}"), true).await
            }
        };
        let told = Error::new(cause.kind(), format!("{cause}{rolled_back}"));
        Err(told.doing(RequestAddress::METHOD).doing(format!("plugin {}", self.plugin.name())))
    }

    async fn release_address(&self, pool: &str, address: IpAddr) -> Result<()> {
        let request = ReleaseAddress { id: pool.to_owned(), address: address.to_string() };
        self.let_go(&request, &format!("{pool} {address}")).await
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// The pool that an answer tells, if it is what was asked for.
fn lease(request: &PoolRequest, answer: &PoolLeased) -> Result<PoolLease> {
    if answer.id.is_empty() || answer.id.len() > LONGEST_ID {
        let length = answer.id.len();
        return Err(Error::internal(format!("PoolID is {length} bytes long: 1 to {LONGEST_ID} are expected")));
    }
    let pool = subnet(&answer.pool, "Pool")?;
    let is_v6 = matches!(pool, IpNet::V6(_));
    if is_v6 != (request.family == Family::V6) {
        return Err(Error::internal(format!("Pool is {pool}: a subnet of the other family is expected")));
    }
    // 0.0.0.0/24 asks for any pool of that length.
    let wanted = request.subnet.filter(|wanted| !wanted.addr().is_unspecified());
    if let Some(wanted) = wanted.filter(|wanted| wanted.trunc() != pool) {
        return Err(Error::internal(format!("Pool is {pool}, and {wanted} was asked for")));
    }
    let is_unusable = pool.addr().is_loopback() || pool.addr().is_multicast();
    if is_unusable {
        return Err(Error::internal(format!("Pool is {pool}: no network can have it")));
    }
    let gateway = answer.data.get(GATEWAY).filter(|text| !text.is_empty());
    let gateway = gateway.map(|text| host_address(text, GATEWAY, is_v6)).transpose()?.flatten();
    match gateway.filter(|gateway| !pool.contains(&gateway.addr())) {
        Some(gateway) => Err(Error::internal(format!("{GATEWAY} is {gateway}, which is not in {pool}"))),
        None => Ok(PoolLease { id: answer.id.clone(), subnet: pool, gateway: gateway.map(|it| it.addr()) }),
    }
}

/// An address of the pool; with the error comes the one to give back, if it is one.
fn address(text: &str, wanted: Option<IpAddr>, pool: Option<IpNet>) -> Result<IpNet, (Error, Option<IpNet>)> {
    if text.is_empty() {
        return Err((Error::internal("no address returned"), None));
    }
    let read: Option<IpNet> = text.parse().ok();
    let is_v6 = text.contains(':');
    let address = match host_address(text, "Address", is_v6).doing(|| "reading the answer") {
        Ok(Some(address)) => address,
        Ok(None) => return Err((Error::internal("no address returned"), None)),
        Err(cause) => return Err((cause, read)),
    };
    let refuse = |why: String| Err((Error::internal(format!("Address is {address}: {why}")), Some(address)));
    if let Some(wanted) = wanted.filter(|wanted| *wanted != address.addr()) {
        return refuse(format!("{wanted} was asked for"));
    }
    match pool {
        Some(pool) if !pool.contains(&address.addr()) => refuse(format!("it is not in the pool {pool}")),
        Some(pool) if address.prefix_len() < pool.prefix_len() => {
            refuse(format!("its prefix says more is on the link than the pool {pool}"))
        }
        _ => Ok(address),
    }
}

fn address_options(purpose: &Purpose, needs_mac: bool) -> Option<BTreeMap<String, String>> {
    match purpose {
        Purpose::Gateway => Some(BTreeMap::from([(REQUEST_ADDRESS_TYPE.to_owned(), GATEWAY.to_owned())])),
        Purpose::Auxiliary => None,
        Purpose::Endpoint { mac, name } => {
            let mut options = BTreeMap::from([(ENDPOINT_NAME.to_owned(), name.clone())]);
            if needs_mac {
                options.insert(MAC_ADDRESS.to_owned(), mac.to_string());
            }
            Some(options)
        }
    }
}
