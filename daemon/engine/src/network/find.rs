//! Which network is meant: a full id, then a name, then the beginning of an id, told in Docker's words.

use std::sync::Arc;

use trestle_core::network::{Network, NetworkState};
use trestle_core::{Error, Result};

use super::Networks;

impl Networks {
    /// Every network, oldest first.
    pub fn list(&self) -> Vec<Arc<Network>> {
        let mut networks = self.controller.networks();
        networks.retain(|network| !matches!(network.state, NetworkState::Creating { .. }));
        networks.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
        networks
    }

    /// One network.
    ///
    /// # Errors
    /// `NotFound`, and `Invalid` for what several are meant by.
    pub fn find(&self, reference: &str) -> Result<Arc<Network>> {
        let networks = self.list();
        let is_id = |network: &&Arc<Network>| network.id.to_string() == reference;
        let is_name = |network: &&Arc<Network>| network.name.as_str() == reference;
        if let Some(network) = networks.iter().find(is_id).or_else(|| networks.iter().find(is_name)) {
            return Ok(Arc::clone(network));
        }
        let begins = |network: &&Arc<Network>| !reference.is_empty() && network.id.to_string().starts_with(reference);
        let begun: Vec<&Arc<Network>> = networks.iter().filter(begins).collect();
        match begun.as_slice() {
            [] => Err(Error::not_found(format!("network {reference} not found"))),
            [one] => Ok(Arc::clone(one)),
            several => Err(Error::invalid(format!(
                "network {reference} is ambiguous ({} matches found based on ID prefix)",
                several.len()
            ))),
        }
    }
}
