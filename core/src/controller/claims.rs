//! Who has an object in hand. A claim excludes others from changing it, never from reading it.
//!
//! Claims are taken in the order of the variants below, so nobody waits for someone who waits for him. The mutex of
//! the state is held for the taking only.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::Inner;
use crate::id::{EndpointId, NetworkId, SandboxId};
use crate::mac::MacAddress;
use crate::name::{EndpointName, NetworkName, SandboxName};

/// What can be in somebody's hand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// A name that a network is about to have.
    NetworkName(NetworkName),
    /// A network that is about to go.
    Network(NetworkId),
    /// A name that an endpoint is about to have.
    EndpointName(NetworkId, EndpointName),
    /// A MAC address that an endpoint is about to have.
    Mac(NetworkId, MacAddress),
    /// An endpoint that changes.
    Endpoint(EndpointId),
    /// A name that a sandbox is about to have.
    SandboxName(SandboxName),
    /// A sandbox that changes, or an endpoint in it does.
    Sandbox(SandboxId),
    /// What networks share in the kernel.
    Shared,
}

/// A claim in hand; given back when dropped.
pub(super) struct Held {
    claim: Claim,
    inner: Arc<Inner>,
}

impl Inner {
    /// Waits until nobody has it, and takes it.
    pub(super) async fn take(self: &Arc<Self>, claim: Claim) -> Held {
        loop {
            let freed = match self.state().claims.entry(claim.clone()) {
                Entry::Vacant(free) => {
                    free.insert(Arc::default());
                    return Held { claim, inner: Arc::clone(self) };
                }
                Entry::Occupied(held) => Arc::clone(held.get()).notified_owned(),
            };
            freed.await;
        }
    }

    /// Takes it if nobody has it.
    pub(super) fn try_take(self: &Arc<Self>, claim: Claim) -> Option<Held> {
        match self.state().claims.entry(claim.clone()) {
            Entry::Vacant(free) => drop(free.insert(Arc::default())),
            Entry::Occupied(_) => return None,
        }
        Some(Held { claim, inner: Arc::clone(self) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whoever waits for another claim sleeps on: thousands may.
        let freed = self.inner.state().claims.remove(&self.claim);
        freed.iter().for_each(|freed| freed.notify_waiters());
        self.inner.freed.notify_waiters();
    }
}
