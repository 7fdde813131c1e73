//! One more network for a container, or one less: while it runs, or for its next start.

use trestle_core::network::Network;
use trestle_core::{Doing, Error, Result};

use super::attach::{can_carry, worded};
use super::{Member, Networks, endpoint, ports};
use crate::container::config::{EndpointSettings, NetworkMode, NetworkingConfig};

/// Whether a container runs, so that what changes is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// It has a sandbox.
    Yes,
    /// What changes is kept for its next start.
    No,
}

impl Networks {
    /// Connects a container to one more network; answers with what its record has to say from now on.
    ///
    /// # Errors
    /// `Invalid` for what its mode excludes and for wrong settings, `Forbidden` for a network that it is on already.
    pub async fn connect(
        &self,
        member: &Member<'_>,
        reference: &str,
        asked: EndpointSettings,
        running: Running,
    ) -> Result<NetworkingConfig> {
        let network = self.find(reference)?;
        check_connect(member, &network)?;
        endpoint::check(network.name.as_str(), Some(&network), &asked)?;
        if running == Running::Yes {
            let mut request = endpoint::request(&network, member, &asked, false)?;
            if can_carry(&network) && !self.carries_ports(member) {
                request.exposed = ports::exposed(member.config, member.host_config)?;
                request.ports = ports::requests(member.config, member.host_config)?;
            }
            self.controller.connect(member.id, request).await.map_err(|error| worded(error, member))?;
            self.tell("connect", &network, Some(member.id));
        }
        let mut networking = member.networking.clone();
        networking.endpoints.to_mut().insert(network.name.to_string(), Some(asked));
        Ok(networking)
    }

    /// Takes a container off a network; answers with what its record has to say from now on. Ports that were published
    /// there are published on another of its networks, if there is one that can carry them.
    ///
    /// # Errors
    /// `Internal` for a network that it is not on, as Docker has it.
    pub async fn disconnect(
        &self,
        member: &Member<'_>,
        reference: &str,
        force: bool,
        running: Running,
    ) -> Result<NetworkingConfig> {
        let network = self.find(reference)?;
        if member.host_config.network_mode == NetworkMode::Host {
            let told = "cannot disconnect container from host network - container was created in host network mode";
            return Err(Error::invalid(told));
        }
        let mut networking = member.networking.clone();
        let was_on = networking.endpoints.to_mut().remove(network.name.as_str()).is_some();
        if !was_on && !force {
            let told = format!("container {} is not connected to network {}", member.id, network.name);
            return Err(Error::internal(told));
        }
        if running == Running::Yes && was_on {
            self.controller.disconnect(member.id, &network.id.to_string()).await?;
            self.tell("disconnect", &network, Some(member.id));
            self.move_ports(member).await.doing(|| "publishing its ports on another network")?;
        }
        if !was_on {
            self.disconnect_stranger(&network, member.name).await?;
        }
        Ok(networking)
    }

    /// Takes an endpoint off a network by its name, whatever it belongs to: what is left of a container that is gone.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn disconnect_stranger(&self, network: &Network, name: &str) -> Result<()> {
        let endpoint = self.endpoints_on(network).into_iter().find(|endpoint| endpoint.name.as_str() == name);
        let missing = || Error::not_found(format!("endpoint {name} not found"));
        let endpoint = endpoint.ok_or_else(missing)?;
        self.controller.delete_endpoint(&endpoint.id.to_string(), true).await?;
        self.tell("disconnect", network, Some(name));
        Ok(())
    }

    /// Whether an endpoint of a running container has its published ports.
    fn carries_ports(&self, member: &Member<'_>) -> bool {
        let Ok(sandbox) = self.controller.sandbox(member.id) else { return false };
        self.controller.endpoints_in(sandbox.id).iter().any(|endpoint| !endpoint.wanted.is_empty())
    }

    /// Publishes a running container's ports where nothing carries them any more.
    async fn move_ports(&self, member: &Member<'_>) -> Result<()> {
        let wanted = ports::requests(member.config, member.host_config)?;
        if wanted.is_empty() || self.carries_ports(member) {
            return Ok(());
        }
        let Ok(sandbox) = self.controller.sandbox(member.id) else { return Ok(()) };
        let mut inside = self.controller.endpoints_in(sandbox.id);
        inside.retain(|endpoint| endpoint.state.attachment().is_some());
        inside.sort_by_key(|endpoint| !endpoint.primary);
        let on = |endpoint: &&trestle_core::endpoint::Endpoint| {
            self.find(&endpoint.network.to_string()).is_ok_and(|network| can_carry(&network))
        };
        match inside.iter().find(on) {
            Some(endpoint) => self.controller.publish(&endpoint.id.to_string(), wanted).await.map(drop),
            None => Ok(()),
        }
    }
}

/// Refuses what a container's mode, or the networks it is on, exclude.
fn check_connect(member: &Member<'_>, network: &Network) -> Result<()> {
    let on = |name: &str| member.networking.endpoints.get(name).is_some();
    if !member.host_config.network_mode.is_private() {
        return Err(Error::invalid(
            "container sharing network namespace with another container or host cannot be connected to any other network",
        ));
    }
    if network.driver == "host" {
        let told = "cannot connect container to host network - container must be created in host network mode";
        return Err(Error::invalid(told));
    }
    if on(network.name.as_str()) {
        let told = format!("endpoint with name {} already exists in network {}", member.name, network.name);
        return Err(Error::forbidden(told));
    }
    if on("none") || (network.driver == "null" && !member.networking.endpoints.is_empty()) {
        return Err(Error::invalid(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        ));
    }
    Ok(())
}
