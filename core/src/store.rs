//! The store's contract: records that survive, and commits that are whole or not at all.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::endpoint::{Endpoint, Lifetime};
use crate::error::Result;
use crate::id::{EndpointId, NetworkId, SandboxId};
use crate::network::Network;
use crate::sandbox::Sandbox;

/// The version of the records below. A store refuses a newer one and brings an older one up to date.
///
/// 2 tells ports that follow each other as one; 1 told each.
pub const SCHEMA: u32 = 2;

/// Keeps records. A commit is whole or not at all, and survives the death of this process.
#[async_trait]
pub trait Store: Send + Sync {
    /// Commits all changes, or none.
    ///
    /// Each of `expected` says that a record has the revision that the caller last saw; if one has not, nothing is
    /// changed and the answer is a `Conflict`. Networks that only this host knows need none.
    async fn commit(&self, changes: &[Change], expected: &[(Key, Revision)]) -> Result<Revision>;

    /// Every record with its revision, in no order.
    async fn load(&self) -> Result<Vec<(Record, Revision)>>;
}

/// Grows with each commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision(pub u64);

/// One change of a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The record stands as given, whether it was there before or not.
    Put(Record),
    /// There is no such record, whether there was one or not.
    Remove(Key),
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// Durable.
    Network(Network),
    /// Its reservation is durable if its lifetime is explicit; its attachment lives as long as the kernel's state.
    Endpoint(Box<Endpoint>),
    /// Lives as long as the kernel's state.
    Sandbox(Sandbox),
}

/// Names a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A network's.
    Network(NetworkId),
    /// An endpoint's.
    Endpoint(EndpointId),
    /// A sandbox's.
    Sandbox(SandboxId),
}

impl Change {
    /// The record that it changes.
    pub fn key(&self) -> Key {
        match self {
            Self::Put(record) => record.key(),
            Self::Remove(key) => *key,
        }
    }
}

impl Record {
    /// What names it.
    pub fn key(&self) -> Key {
        match self {
            Self::Network(network) => Key::Network(network.id),
            Self::Endpoint(endpoint) => Key::Endpoint(endpoint.id),
            Self::Sandbox(sandbox) => Key::Sandbox(sandbox.id),
        }
    }

    /// The part that survives the machine's restart, and may be the whole.
    ///
    /// A store keeps it beside the records that live as long as the kernel's state, and at a start after a restart of
    /// the machine it is all there is.
    pub fn durable(&self) -> Option<Record> {
        match self {
            Self::Network(_) => Some(self.clone()),
            Self::Endpoint(endpoint) if endpoint.lifetime == Lifetime::Explicit => {
                Some(Self::Endpoint(Box::new(endpoint.reservation())))
            }
            Self::Endpoint(_) | Self::Sandbox(_) => None,
        }
    }
}
