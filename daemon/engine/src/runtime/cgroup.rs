//! Control groups that a runtime left behind: one that was killed while it made a container does not know of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use trestle_core::{Error, Result};

use super::monitor::Process;

/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// Removes a container's control group from every hierarchy, and ends what is in it. It may be gone already.
///
/// # Errors
/// `Internal`, with the path.
pub async fn remove(group: &str) -> Result<()> {
    for folder in places(group)? {
        for inner in descendants(&folder)? {
            remove_one(&inner).await?;
        }
    }
    Ok(())
}

/// The folders of a group: below the root, and below that of each controller.
fn places(group: &str) -> Result<Vec<PathBuf>> {
    let group = group.trim_start_matches('/');
    let roots = folders(Path::new(ROOT))?.into_iter().chain([PathBuf::from(ROOT)]);
    Ok(roots.map(|root| root.join(group)).filter(|folder| folder.is_dir()).collect())
}

/// A group and those in it, the innermost first.
fn descendants(group: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for inner in folders(group)? {
        found.extend(descendants(&inner)?);
    }
    found.push(group.to_owned());
    Ok(found)
}

async fn remove_one(group: &Path) -> Result<()> {
    let read = match fs::read_to_string(group.join("cgroup.procs")) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|cause| failed("reading", group, &cause))?,
    };
    for pid in read.lines().filter_map(|pid| pid.parse().ok()) {
        let Some(process) = Process::open(pid)? else { continue };
        if process.signal(Signal::KILL)? {
            process.ended().await?;
        }
    }
    match fs::remove_dir(group) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed("removing", group, &cause)),
        _ => Ok(()),
    }
}

/// The folders in a folder that may go while they are looked at.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|cause| failed("reading", folder, &cause))?,
    };
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

fn failed(doing: &str, path: &Path, cause: &io::Error) -> Error {
    Error::internal(format!("{doing} the control group {}: {cause}", path.display()))
}
