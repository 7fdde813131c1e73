//! Finding an object by what a person types: its id, its name, or the beginning of its id.

use std::sync::Arc;

use super::state::State;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::sandbox::{Sandbox, SandboxState};

impl State {
    /// By full id, then name, then beginning of an id.
    pub(super) fn find_network(&self, reference: &str) -> Result<Arc<Network>> {
        if let Some(network) = reference.parse().ok().and_then(|id| self.networks.get(&id)) {
            return Ok(Arc::clone(network));
        }
        let all = || self.networks.values();
        let name = |network: &&Arc<Network>| network.name.as_str() == reference;
        find("network", reference, all, |network| network.id.to_string(), name)
    }

    /// By full id, then `network/name` or name, then beginning of an id. An endpoint that is leaving for good is not found.
    pub(super) fn find_endpoint(&self, reference: &str) -> Result<Arc<Endpoint>> {
        let all = || self.endpoints.values().filter(|endpoint| !endpoint.state.is_leaving_for_good());
        if let Some((network, name)) = reference.split_once('/') {
            let network = self.find_network(network)?;
            let named = |endpoint: &&Arc<Endpoint>| endpoint.network == network.id && endpoint.name.as_str() == name;
            return all()
                .find(named)
                .cloned()
                .ok_or_else(|| Error::not_found(format!("endpoint {name:?} not found on network {}", network.name)));
        }
        let found = reference.parse().ok().and_then(|id| self.endpoints.get(&id));
        if let Some(endpoint) = found.filter(|it| !it.state.is_leaving_for_good()) {
            return Ok(Arc::clone(endpoint));
        }
        let name = |endpoint: &&Arc<Endpoint>| endpoint.name.as_str() == reference;
        find("endpoint", reference, all, |endpoint| endpoint.id.to_string(), name)
    }

    /// By full id, then name, then beginning of an id.
    pub(super) fn find_sandbox(&self, reference: &str) -> Result<Arc<Sandbox>> {
        let found = reference.parse().ok().and_then(|id| self.sandboxes.get(&id));
        if let Some(sandbox) = found.filter(|it| !matches!(it.state, SandboxState::Spare { .. })) {
            return Ok(Arc::clone(sandbox));
        }
        let all = || self.listed_sandboxes();
        let name = |sandbox: &&Arc<Sandbox>| sandbox.name.as_str() == reference;
        find("sandbox", reference, all, |sandbox| sandbox.id.to_string(), name)
    }
}

/// By name, then beginning of an id; a full id was looked up by who asks.
fn find<'a, T: 'a, I: Iterator<Item = &'a Arc<T>>>(
    noun: &str,
    reference: &str,
    all: impl Fn() -> I,
    id: impl Fn(&T) -> String,
    is_name: impl Fn(&&'a Arc<T>) -> bool,
) -> Result<Arc<T>> {
    let missing = || Error::not_found(format!("{noun} {reference:?} not found"));
    let may_be_id = (1..=64).contains(&reference.len()) && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    let named: Vec<&Arc<T>> = all().filter(|it| is_name(it)).collect();
    let begun: Vec<&Arc<T>> = match named.is_empty() && may_be_id {
        true => all().filter(|it| id(it).starts_with(reference)).collect(),
        false => Vec::new(),
    };
    match (&named[..], &begun[..]) {
        ([one], _) | ([], [one]) => Ok(Arc::clone(one)),
        ([], []) => Err(missing()),
        ([], many) => Err(Error::invalid(format!(
            "{reference:?} is ambiguous: the ids of {} {noun}s begin with it; give more digits",
            many.len()
        ))),
        (many, _) => Err(Error::invalid(format!(
            "{reference:?} is ambiguous: {} {noun}s bear that name; give an id or NETWORK/NAME",
            many.len()
        ))),
    }
}
