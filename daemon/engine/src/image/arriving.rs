//! Blobs that are being fetched: one fetch of each at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Mutex as AsyncMutex;

use super::digest::Digest;

/// Who fetches which blob.
#[derive(Debug, Default)]
pub(super) struct Arriving(Mutex<HashMap<Digest, Weak<AsyncMutex<()>>>>);

impl Arriving {
    /// What whoever fetches that blob holds locked.
    pub(super) fn of(&self, blob: Digest) -> Arc<AsyncMutex<()>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = known.get(&blob).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        known.insert(blob, Arc::downgrade(&lock));
        lock
    }
}
