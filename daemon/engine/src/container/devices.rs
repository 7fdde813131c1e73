//! The host's devices that a container asks for.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use trestle_core::{Error, Result};

use super::config::{Device, DevicePermissions, HostConfig};
use crate::runtime::spec::Node;

/// Every device that is asked for: a folder is walked, and of two with the same path in the container the later wins.
pub(super) fn find(asked: &HostConfig) -> Result<Vec<Node>> {
    let mut found: Vec<Node> = Vec::new();
    let mut add = |node: Node| {
        found.retain(|it| it.path != node.path);
        found.push(node);
    };
    if asked.privileged {
        walk(Path::new("/dev"), "/dev", DevicePermissions::default(), &mut add)?;
    }
    for device in &asked.devices {
        let outside = Path::new(&device.path_on_host);
        let inside = inside(device);
        let about = fs::metadata(outside).map_err(|cause| refused(device, &cause.to_string()))?;
        if about.is_dir() {
            walk(outside, inside, device.permissions, &mut add)?;
        } else {
            add(node(&about, inside, device.permissions).ok_or_else(|| refused(device, "it is not a device node"))?);
        }
    }
    Ok(found)
}

fn inside(device: &Device) -> &str {
    if device.path_in_container.is_empty() { &device.path_on_host } else { &device.path_in_container }
}

fn refused(device: &Device, why: &str) -> Error {
    Error::invalid(format!(
        "error gathering device information while adding custom device \"{}\": {why}",
        device.path_on_host
    ))
}

/// Every device beneath a folder. What is none is passed over, and so is what a container has of its own.
fn walk(folder: &Path, inside: &str, permissions: DevicePermissions, add: &mut impl FnMut(Node)) -> Result<()> {
    let failed = |cause: std::io::Error| Error::internal(format!("reading {}: {cause}", folder.display()));
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        let Some(name) = name.to_str() else { continue };
        if ["pts", "shm", "fd", "mqueue", "console", "ptmx", ".lxc", "lxd", ".udev"].contains(&name) {
            continue;
        }
        // It may go while it is looked at.
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        let place = format!("{}/{name}", inside.trim_end_matches('/'));
        if about.is_dir() {
            walk(&path, &place, permissions, add)?;
        } else if let Some(node) = node(&about, &place, permissions) {
            add(node);
        }
    }
    Ok(())
}

fn node(about: &fs::Metadata, inside: &str, permissions: DevicePermissions) -> Option<Node> {
    let kind = about.file_type();
    if !kind.is_block_device() && !kind.is_char_device() {
        return None;
    }
    Some(Node {
        path: inside.to_owned(),
        block: kind.is_block_device(),
        major: rustix::fs::major(about.rdev()),
        minor: rustix::fs::minor(about.rdev()),
        mode: about.mode() & 0o7777,
        uid: about.uid(),
        gid: about.gid(),
        permissions,
    })
}
