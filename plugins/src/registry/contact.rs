//! A plugin that shook hands: how it is asked, and what it says it can do.

use std::time::SystemTime;

use serde::Serialize;
use trestle_core::network::Scope;
use trestle_core::{Error, Result};

use crate::client::{Client, Failure, Limits};
use crate::discovery::Definition;
use crate::wire::{Activate, Call, IPAM_DRIVER, NETWORK_DRIVER, ipam, network};

/// A plugin that shook hands.
#[derive(Debug)]
pub struct Contact {
    /// The file that it was found by.
    pub definition: Definition,
    /// Who asks it.
    pub client: Client,
    /// What it says it is.
    pub implements: Vec<String>,
    /// When it said so.
    pub since: SystemTime,
    network: Option<Result<NetworkCapability, String>>,
    ipam: Option<ipam::Capabilities>,
}

/// What a network driver says it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkCapability {
    /// How far its networks reach.
    pub scope: Scope,
    /// How far packets on them reach.
    pub connectivity: Scope,
    /// Whether it says which gateways are not needed.
    pub checks_gateways: bool,
    /// Whether it maps published ports itself.
    pub maps_ports: bool,
}

impl Contact {
    /// Shakes hands with a plugin.
    ///
    /// # Errors
    /// What goes wrong is told with what was being done.
    pub(super) async fn make(definition: Definition, limits: Limits) -> Result<Self> {
        let (definition, client) = super::aside(move || {
            let client = definition.address().and_then(|address| Client::new(address, limits));
            (definition, client)
        })
        .await
        .ok_or_else(|| Error::internal("reading the plugin's file failed"))?;
        let client = client?;
        let manifest = client.call(&Activate {}).await.map_err(|failure| failure.of(Activate::METHOD))?;
        let implements: Vec<String> =
            manifest.implements.iter().take(MOST_KINDS).map(|kind| crate::client::shown(kind)).collect();
        let is = |kind: &str| implements.iter().any(|it| it == kind);
        let network = match is(NETWORK_DRIVER) {
            true => Some(capability(client.call(&network::GetCapabilities {}).await)),
            false => None,
        };
        let ipam = match is(IPAM_DRIVER) {
            // An address manager that can't say what it needs, needs nothing.
            true => Some(client.call(&ipam::GetCapabilities {}).await.unwrap_or_default()),
            false => None,
        };
        Ok(Self { definition, client, implements, since: SystemTime::now(), network, ipam })
    }

    /// What it can do as a network driver.
    ///
    /// # Errors
    /// `Invalid` if it is none; `Unavailable` if it could not say.
    pub fn network(&self) -> Result<&NetworkCapability> {
        match &self.network {
            Some(Ok(capability)) => Ok(capability),
            Some(Err(why)) => Err(Error::unavailable(why.clone())),
            None => Err(self.is_no(NETWORK_DRIVER)),
        }
    }

    /// What it needs as an address manager.
    ///
    /// # Errors
    /// `Invalid` if it is none.
    pub fn ipam(&self) -> Result<ipam::Capabilities> {
        self.ipam.ok_or_else(|| self.is_no(IPAM_DRIVER))
    }

    fn is_no(&self, kind: &str) -> Error {
        let (name, implements) = (&self.definition.name, self.implements.join(", "));
        Error::invalid(format!(
            "plugin {name} does not implement the requested driver: {kind} is wanted, and it is: {implements}"
        ))
    }
}

/// More kinds than this no plugin is.
const MOST_KINDS: usize = 32;

fn capability(answer: Result<network::Capabilities, Failure>) -> Result<NetworkCapability, String> {
    let answer = answer.map_err(|failure| failure.of(network::GetCapabilities::METHOD).to_string())?;
    let scope = |text: &str, field: &str| match text {
        "local" => Ok(Scope::Local),
        "global" => Ok(Scope::Global),
        other => Err(format!(
            "{}: {field} is {:?}, and local or global is expected",
            network::GetCapabilities::METHOD,
            crate::client::shown(other)
        )),
    };
    let reach = scope(&answer.scope, "Scope")?;
    let connectivity = match answer.connectivity_scope.as_str() {
        "" => reach,
        other => scope(other, "ConnectivityScope")?,
    };
    Ok(NetworkCapability {
        scope: reach,
        connectivity,
        checks_gateways: answer.gw_alloc_checker,
        maps_ports: answer.port_mapping,
    })
}
