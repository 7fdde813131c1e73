//! What happened, for whoever listens.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Something that happened to a network, endpoint or sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// To what kind of thing.
    pub subject: Subject,
    /// What.
    pub action: Action,
    /// The id of the thing.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What else there is to know: `network`, `endpoint`, `sandbox`, `ports`, `error`.
    pub attributes: BTreeMap<String, String>,
}

/// What kind of thing an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A network.
    Network,
    /// An endpoint.
    Endpoint,
    /// A sandbox.
    Sandbox,
}

/// What happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It came to be.
    Create,
    /// The endpoint was attached to a sandbox.
    Connect,
    /// The endpoint was cut off from its sandbox.
    Disconnect,
    /// The endpoint's published ports changed.
    Publish,
    /// What somebody else changed in the kernel was made right.
    Repair,
    /// It is gone.
    Destroy,
}
