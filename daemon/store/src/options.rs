//! Where the store keeps its files, and for which kernel.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the store keeps its files, and for which kernel.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of what is durable: `/var/lib/trestle`. Made if it is not there.
    pub data_root: PathBuf,
    /// The folder of what lives as long as the kernel's state, best on a tmpfs: `/run/trestle`. Made if it is not
    /// there; another one than the data root.
    pub exec_root: PathBuf,
    /// Whose kernel state the runtime file shall describe.
    pub stamp: Stamp,
}

/// Tells one life of the kernel's network state from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The network namespace's `SO_NETNS_COOKIE`.
    pub netns_cookie: u64,
}
