//! How many files this process may have open: each held port is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use trestle_core::{Error, Result};

/// Lets this process have as many files open as the system allows it at most (its hard limit). Programs start with far
/// fewer, for the sake of old ones that use `select`.
///
/// # Errors
/// When the system refuses; the limit is as it was then.
pub fn raise_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .map_err(|cause| Error::internal(format!("raising the limit of open files: {cause}")))
}
