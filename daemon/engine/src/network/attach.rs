//! A container's way onto its networks and off them: one sandbox, made with everything that it is attached to.

use std::path::PathBuf;
use std::sync::Arc;

use trestle_core::controller::request::{EndpointRequest, NetnsRequest, SandboxRequest};
use trestle_core::kernel::is_port_taken;
use trestle_core::network::Network;
use trestle_core::{Error, ErrorKind, Result};

use super::endpoint;
use super::ports;
use super::{DEFAULT, Member, Networks};
use crate::container::config::{EndpointSettings, HostConfig, NetworkMode, NetworkingConfig};

/// Where a container's processes live, as far as the network is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a network namespace of its own, bound to this file.
    Own(PathBuf),
    /// In the host's.
    Host,
    /// In that of another container, which is named as the user named it.
    Peer(String),
}

impl Networks {
    /// What a new container's networks come to: each by its name, the one of its mode among them.
    ///
    /// # Errors
    /// `Invalid` with everything that is wrong. A network that is not there is no error: it may come before the start.
    pub fn settled(&self, host: &HostConfig, asked: &NetworkingConfig) -> Result<NetworkingConfig> {
        let Some(main) = self.main(host) else { return Ok(NetworkingConfig::default()) };
        let mut settled = NetworkingConfig::default();
        for (reference, settings) in asked.endpoints.iter() {
            let settings = settings.clone().unwrap_or_default();
            let (name, network) = self.name_of(reference);
            endpoint::check(&name, network.as_deref(), &settings)?;
            settled.endpoints.to_mut().insert(name, Some(settings));
        }
        if !settled.endpoints.is_empty() && matches!(host.network_mode, NetworkMode::None | NetworkMode::Host) {
            settled.endpoints.to_mut().retain(|name, _| *name == main);
        }
        settled.endpoints.to_mut().entry(main).or_insert_with(|| Some(EndpointSettings::default()));
        Ok(settled)
    }

    /// The name of the network of a container's mode; `None` for one that shares another's.
    fn main(&self, host: &HostConfig) -> Option<String> {
        match &host.network_mode {
            NetworkMode::Default | NetworkMode::Bridge => Some(DEFAULT.to_owned()),
            NetworkMode::None => Some("none".to_owned()),
            NetworkMode::Host => Some("host".to_owned()),
            NetworkMode::Container(_) => None,
            NetworkMode::Named(reference) => Some(self.name_of(reference).0),
        }
    }

    fn name_of(&self, reference: &str) -> (String, Option<Arc<Network>>) {
        match self.find(if reference == "default" { DEFAULT } else { reference }) {
            Ok(network) => (network.name.to_string(), Some(network)),
            Err(_) => (reference.to_owned(), None),
        }
    }

    /// Makes a container's sandbox with everything that it is attached to, or nothing at all. What an earlier start left
    /// behind goes first.
    ///
    /// # Errors
    /// `NotFound` for a network that is not there, `Forbidden` for an address that is taken, `Internal` for a port that
    /// is, as Docker tells it.
    pub async fn attach(&self, member: &Member<'_>) -> Result<Place> {
        if let NetworkMode::Container(peer) = &member.host_config.network_mode {
            return Ok(Place::Peer(peer.clone()));
        }
        self.detach(member.id).await?;
        let is_host = member.host_config.network_mode == NetworkMode::Host;
        let netns = if is_host { NetnsRequest::Host } else { NetnsRequest::Make };
        let mut request = SandboxRequest::new(netns);
        request.name = Some(member.id.try_into()?);
        let networks = self.networks_of(member)?;
        request.endpoints = self.requests(member, &networks)?;
        let sandbox = self.controller.create_sandbox(request).await.map_err(|error| worded(error, member))?;
        networks.iter().for_each(|network| self.tell("connect", network, Some(member.id)));
        Ok(match is_host {
            true => Place::Host,
            false => Place::Own(self.path_of(&sandbox)),
        })
    }

    /// Takes a container off all its networks and removes its sandbox, if it has one.
    pub async fn detach(&self, id: &str) -> Result<()> {
        let Ok(sandbox) = self.controller.sandbox(id) else { return Ok(()) };
        if sandbox.name.as_str() != id {
            return Ok(());
        }
        let inside = self.controller.endpoints_in(sandbox.id);
        self.controller.delete_sandbox(&sandbox.id.to_string()).await?;
        let of = |endpoint: &trestle_core::endpoint::Endpoint| self.find(&endpoint.network.to_string());
        for network in inside.iter().filter(|it| it.state.attachment().is_some()).filter_map(|it| of(it).ok()) {
            self.tell("disconnect", &network, Some(id));
        }
        Ok(())
    }

    /// The namespace of a container that is attached: also after the daemon was started again.
    pub fn namespace(&self, id: &str) -> Option<PathBuf> {
        let sandbox = self.controller.sandbox(id).ok().filter(|sandbox| sandbox.name.as_str() == id)?;
        Some(self.path_of(&sandbox))
    }

    /// Removes the sandboxes of containers that are none any more. Goes on over errors.
    pub async fn sweep(&self, is_known: impl Fn(&str) -> bool) -> Result<()> {
        let is_container = |name: &str| name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
        let mut errors = Vec::new();
        for sandbox in self.controller.sandboxes() {
            let name = sandbox.name.as_str();
            if is_container(name) && !is_known(name) {
                errors.extend(self.detach(name).await.err());
            }
        }
        Error::several(errors).map_or(Ok(()), Err)
    }

    fn path_of(&self, sandbox: &trestle_core::sandbox::Sandbox) -> PathBuf {
        use trestle_core::sandbox::SandboxNetns;
        match &sandbox.netns {
            SandboxNetns::Made { path } | SandboxNetns::Given { path, .. } => path.clone(),
            SandboxNetns::Host => "/proc/1/ns/net".into(),
        }
    }

    /// A container's networks, that of its mode first, then by name.
    fn networks_of(&self, member: &Member<'_>) -> Result<Vec<Arc<Network>>> {
        if member.config.network_disabled {
            return Ok(Vec::new());
        }
        let main = self.main(member.host_config);
        let mut names: Vec<&String> = member.networking.endpoints.keys().collect();
        names.sort_by_key(|name| (Some(*name) != main.as_ref(), *name));
        names.into_iter().map(|name| self.find(name)).collect()
    }

    fn requests(&self, member: &Member<'_>, networks: &[Arc<Network>]) -> Result<Vec<EndpointRequest>> {
        let main = self.main(member.host_config);
        let mut requests = Vec::with_capacity(networks.len());
        for network in networks {
            let asked = member.networking.endpoints.get(network.name.as_str()).cloned().flatten().unwrap_or_default();
            let primary = Some(network.name.as_str()) == main.as_deref();
            requests.push(endpoint::request(network, member, &asked, primary)?);
        }
        // One endpoint carries the ports, and it keeps them whichever owns the default route.
        if let Some(carrier) = networks.iter().position(|network| can_carry(network)) {
            requests[carrier].exposed = ports::exposed(member.config, member.host_config)?;
            requests[carrier].ports = ports::requests(member.config, member.host_config)?;
        }
        Ok(requests)
    }
}

/// Whether ports can be published on a network: it has a way in.
pub(super) fn can_carry(network: &Network) -> bool {
    !network.internal && !matches!(network.driver.as_str(), "host" | "null")
}

/// A refused attach in Docker's words.
pub(super) fn worded(error: Error, member: &Member<'_>) -> Error {
    let cause = error.cause();
    if cause.starts_with("publishing ") || is_port_taken(&error) {
        let taken = taken_port(cause).unwrap_or_default();
        return Error::internal(format!(
            "failed to set up container networking: driver failed programming external connectivity on endpoint {} \
             ({}): Bind for {taken} failed: port is already allocated ({cause})",
            member.name, member.id
        ));
    }
    match error.kind() {
        ErrorKind::Conflict if cause.starts_with("endpoint with name ") => Error::forbidden(cause.to_owned()),
        ErrorKind::Conflict if cause.starts_with("address ") => {
            Error::forbidden(format!("failed to set up container networking: Address already in use ({cause})"))
        }
        ErrorKind::Conflict => Error::forbidden(format!("failed to set up container networking: {error}")),
        _ => error.doing("failed to set up container networking"),
    }
}

/// The address and port of the host that a refusal is about: `publishing 127.0.0.1:80:80/tcp: …`, `port 0.0.0.0:80/tcp …`.
fn taken_port(cause: &str) -> Option<String> {
    if let Some(rest) = cause.strip_prefix("port ") {
        return rest.split('/').next().map(str::to_owned);
    }
    let asked = cause.strip_prefix("publishing ")?.split_once(": ")?.0;
    let request: trestle_core::port::PortRequest = asked.parse().ok()?;
    let address = request.address.map_or_else(
        || "0.0.0.0".to_owned(),
        |address| match address {
            std::net::IpAddr::V4(address) => address.to_string(),
            std::net::IpAddr::V6(address) => format!("[{address}]"),
        },
    );
    Some(match request.host {
        trestle_core::port::HostPorts::Within(range) => format!("{address}:{range}"),
        trestle_core::port::HostPorts::Ephemeral => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::Config;

    fn told(error: Error) -> (ErrorKind, String) {
        let (config, host_config, networking) = (Config::default(), HostConfig::default(), NetworkingConfig::default());
        let member =
            Member { id: "12ab", name: "web", config: &config, host_config: &host_config, networking: &networking };
        let error = worded(error, &member);
        (error.kind(), error.to_string())
    }

    #[test]
    fn a_taken_port_is_told_as_docker_tells_it() {
        for (cause, bind) in [
            ("publishing 8080:80/tcp: the port is endpoint a on network b's already", "Bind for 0.0.0.0:8080 failed"),
            ("publishing [::1]:8080:80/tcp: the port is taken", "Bind for [::1]:8080 failed"),
            ("port 127.0.0.1:80/tcp is taken by nginx (pid 7)", "Bind for 127.0.0.1:80 failed"),
        ] {
            let (kind, told) = told(Error::conflict(cause).doing("attaching web"));
            assert_eq!(kind, ErrorKind::Internal);
            assert!(told.contains(&format!("on endpoint web (12ab): {bind}: port is already allocated")), "{told}");
        }
    }

    #[test]
    fn a_taken_address_is_forbidden() {
        let (kind, told) =
            told(Error::conflict("address 10.0.0.2 on network b is endpoint a's").doing("attaching web"));
        assert_eq!(kind, ErrorKind::Forbidden);
        assert!(told.contains("Address already in use"), "{told}");
    }
}
