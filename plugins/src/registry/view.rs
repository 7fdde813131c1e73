//! What people see of plugins.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use super::{Debt, NetworkCapability, Plugin};
use crate::client::Address;
use crate::discovery::Definition;
use crate::wire::ipam;

/// One plugin in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// What it says it is.
    pub implements: Vec<String>,
    /// Its file, if there is one.
    pub path: Option<PathBuf>,
    /// How the last handshake failed, if it did.
    pub error: Option<String>,
}

/// Where a plugin stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// There is a file, and nobody asked yet.
    Found,
    /// A handshake is under way.
    Activating,
    /// It shook hands.
    Active,
    /// It did not.
    Failed,
    /// There is no file.
    Missing,
}

/// All that is known of one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// As in the list.
    #[serde(flatten)]
    pub summary: Summary,
    /// Where it is, once it shook hands.
    pub address: Option<String>,
    /// Whether we know that it is who it says it is: by its certificate, or because its socket is on this host.
    pub verified: bool,
    /// When it shook hands.
    pub since: Option<SystemTime>,
    /// What it can do as a network driver.
    pub network: Option<NetworkCapability>,
    /// What it needs as an address manager.
    pub ipam: Option<ipam::Capabilities>,
    /// What it was asked to give up and did not. It is asked again.
    pub owes: Vec<Debt>,
}

impl Summary {
    pub(super) fn of(plugin: &Plugin, found: Option<&Definition>) -> Self {
        let state = plugin.state();
        let contact = state.contact.as_ref();
        let phase = match (contact, state.activating, &state.failure) {
            (Some(_), ..) => Phase::Active,
            (None, true, _) => Phase::Activating,
            (None, false, _) if found.is_none() => Phase::Missing,
            (None, false, Some(_)) => Phase::Failed,
            (None, false, None) => Phase::Found,
        };
        let path = found.or(contact.map(|contact| &contact.definition)).map(|it| it.path.clone());
        Self {
            name: plugin.name().to_string(),
            phase,
            implements: contact.map_or_else(Vec::new, |contact| contact.implements.clone()),
            path,
            error: state.failure,
        }
    }
}

impl Inspection {
    pub(super) fn of(plugin: &Plugin) -> Self {
        let state = plugin.state();
        let contact = state.contact.as_ref();
        let verified = match contact.map(|contact| contact.client.address()) {
            Some(Address::Unix(_) | Address::Library(_)) => true,
            Some(Address::Tls { files, .. }) => files.authorities.is_some(),
            Some(Address::Tcp { .. }) | None => false,
        };
        Self {
            address: contact.map(|contact| contact.client.address().to_string()),
            verified,
            since: contact.map(|contact| contact.since),
            network: contact.and_then(|contact| contact.network().ok().cloned()),
            ipam: contact.and_then(|contact| contact.ipam().ok()),
            owes: plugin.debts(),
            summary: Summary::of(plugin, contact.map(|contact| &contact.definition)),
        }
    }
}
