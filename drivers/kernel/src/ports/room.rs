//! How much may be relayed at once. What is relayed takes files, and so do holding ports and attaching: together
//! connections (two files each) and flows (one each) take three eighths of what this process may open at most.
//!
//! One published port never has more than a quarter of all places, so that a busy one leaves the others theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

use super::binding::Binding;

/// How many connections, and how many flows, there may be if files are plenty.
const MOST: usize = 4096;

/// How many connections there may be now, and how many flows.
pub(super) fn most() -> usize {
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    (files.unwrap_or(usize::MAX) / 8).clamp(4, MOST)
}

/// How many of them one published port may have.
pub(super) fn most_of_one() -> usize {
    most() / 4
}

/// Counts the connections of all ports.
#[derive(Clone, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// A connection's place, given back when dropped.
pub(super) struct Place {
    room: Room,
    binding: Arc<Binding>,
}

impl Room {
    /// A place for one more connection of a port; `None` if the port, or the room, is full. One task takes all places,
    /// so nobody comes between looking and taking.
    pub(super) fn take(&self, binding: &Arc<Binding>) -> Option<Place> {
        let is_full = self.0.load(Ordering::Relaxed) >= most() || binding.connections() >= most_of_one();
        if is_full {
            return None;
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        binding.connection_comes();
        Some(Place { room: self.clone(), binding: binding.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.0.fetch_sub(1, Ordering::Relaxed);
        self.binding.connection_goes();
    }
}
