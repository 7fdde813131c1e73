//! hosts, hostname and resolv.conf of each sandbox that wants names.
//!
//! | to find | look in |
//! |---|---|
//! | what they say | `hosts`, `resolv` |
//! | what of a file is ours, and what its user's | [`part`] |
//! | writing them | [`clerk`] |

pub mod clerk;
mod hosts;
pub mod part;
mod resolv;

use std::path::{Path, PathBuf};

use trestle_core::id::SandboxId;

pub use clerk::{Clerk, HostFiles};

/// Where the files of a sandbox are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// For `/etc/hosts`.
    pub hosts: PathBuf,
    /// For `/etc/hostname`.
    pub hostname: PathBuf,
    /// For `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
}

impl Files {
    /// Those of one sandbox, below the folder of all.
    pub fn of(folder: &Path, sandbox: SandboxId) -> Self {
        let own = folder.join(sandbox.short());
        Self { hosts: own.join("hosts"), hostname: own.join("hostname"), resolv_conf: own.join("resolv.conf") }
    }
}
