//! Removing networks: one, or all that nobody uses.

use trestle_core::endpoint::Endpoint;
use trestle_core::network::Network;
use trestle_core::{Error, Result};

use super::{Networks, PREDEFINED};

impl Networks {
    /// Removes a network that no container is on.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` for one of the predefined ones, and, naming its endpoints, for one that is in use.
    pub async fn remove(&self, reference: &str) -> Result<()> {
        let network = self.find(reference)?;
        if PREDEFINED.contains(&network.name.as_str()) {
            return Err(Error::forbidden(format!("{} is a pre-defined network and cannot be removed", network.name)));
        }
        let active: Vec<String> = self
            .endpoints_on(&network)
            .iter()
            .map(|endpoint| format!("name:{:?} id:{:?}", endpoint.name.as_str(), endpoint.id.short()))
            .collect();
        if !active.is_empty() {
            return Err(Error::forbidden(format!(
                "error while removing network: network {} has active endpoints ({})",
                network.name,
                active.join(", ")
            )));
        }
        self.controller.delete_network(&network.id.to_string()).await?;
        self.tell("destroy", &network, None);
        Ok(())
    }

    /// Removes every network of the users' own that no container is on and that is `meant`; answers with their names.
    ///
    /// # Errors
    /// `Conflict` while another prune runs.
    pub async fn prune(&self, meant: impl Fn(&Network) -> bool) -> Result<Vec<String>> {
        let Ok(_pruning) = self.pruning.try_lock() else {
            return Err(Error::conflict("a prune operation is already running"));
        };
        let mut gone = Vec::new();
        for network in self.list() {
            let is_users = !PREDEFINED.contains(&network.name.as_str());
            if !is_users || !meant(&network) || !self.endpoints_on(&network).is_empty() {
                continue;
            }
            match self.remove(&network.id.to_string()).await {
                Ok(()) => gone.push(network.name.to_string()),
                // Somebody may have come, or removed it, meanwhile.
                Err(error) => tracing::info!(%error, network = %network.name, "not pruned"),
            }
        }
        self.events.tell(crate::event::Noun::Network, "prune", "", [("reclaimed", "0".to_owned())]);
        Ok(gone)
    }

    /// The endpoints of a network that are not on their way out for good.
    pub fn endpoints_on(&self, network: &Network) -> Vec<std::sync::Arc<Endpoint>> {
        let mut endpoints = self.controller.endpoints();
        endpoints.retain(|endpoint| endpoint.network == network.id && !endpoint.state.is_leaving_for_good());
        endpoints.sort_by(|one, other| one.name.cmp(&other.name));
        endpoints
    }
}
