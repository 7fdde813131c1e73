//! A container's root file system: its image's layers, with a layer of its own above them.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount, move_mount, unmount,
};
use trestle_core::{Doing, Error, Result};

use crate::durable;

/// The most that `mount(2)` takes as options, in bytes: a page less its closing NUL.
const LONGEST_OPTIONS: usize = 4095;

/// Where a container's own layer lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upper {
    /// What it has written.
    pub upper: PathBuf,
    /// What overlayfs needs beside it.
    pub work: PathBuf,
}

impl Upper {
    /// The layer in a container's folder.
    pub fn of(folder: &Path) -> Self {
        Self { upper: folder.join("upper"), work: folder.join("work") }
    }

    /// Makes its folders.
    ///
    /// # Errors
    /// `Internal`, with the path.
    pub fn make(&self) -> Result<()> {
        durable::make_folder(&self.upper)?;
        durable::make_folder(&self.work)?;
        // The root of a container is for everybody to enter.
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&self.upper, readable).map_err(|cause| failed("opening", &self.upper, &cause))
    }
}

/// What lies beneath a container's own layer: its image's layers, or an empty folder for an image that has none.
///
/// # Errors
/// `Internal`, with the path.
pub fn lower(layers: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>> {
    if !layers.is_empty() {
        return Ok(layers.to_vec());
    }
    let empty = folder.join("empty");
    durable::make_folder(&empty)?;
    Ok(vec![empty])
}

/// Mounts the layers, lowest first, with the container's own above, at `target`.
///
/// # Errors
/// `Unsupported` where the kernel can't lay them over each other, `Internal` for what else fails.
pub fn mount_at(layers: &[PathBuf], own: &Upper, target: &Path) -> Result<()> {
    durable::make_folder(target)?;
    let result = match options(layers, own) {
        Some(options) => {
            let options = std::ffi::CString::new(options).map_err(|_| Error::internal("a path has a NUL"))?;
            mount("overlay", target, "overlay", MountFlags::empty(), Some(options.as_c_str()))
        }
        None => mount_many(layers, own, target),
    };
    result
        .map_err(|cause| match cause {
            rustix::io::Errno::NODEV => Error::unsupported("this kernel has no overlayfs: load the module overlay"),
            other => Error::internal(other.to_string()),
        })
        .doing(|| format!("mounting {}", target.display()))
}

/// The options of `mount(2)`; `None` where they are too long, or a path would be read as more than one.
fn options(layers: &[PathBuf], own: &Upper) -> Option<Vec<u8>> {
    let paths = layers.iter().chain([&own.upper, &own.work]);
    if paths.clone().any(|path| path.as_os_str().as_bytes().iter().any(|byte| b":,\\".contains(byte))) {
        return None;
    }
    let lower: Vec<&[u8]> = layers.iter().rev().map(|layer| layer.as_os_str().as_bytes()).collect();
    let mut options = b"lowerdir=".to_vec();
    options.extend(lower.join(&b':'));
    for (name, path) in [(",upperdir=", &own.upper), (",workdir=", &own.work)] {
        options.extend_from_slice(name.as_bytes());
        options.extend_from_slice(path.as_os_str().as_bytes());
    }
    (options.len() <= LONGEST_OPTIONS).then_some(options)
}

/// One by one, for which the kernel has to be 6.7 or newer.
fn mount_many(layers: &[PathBuf], own: &Upper, target: &Path) -> rustix::io::Result<()> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in layers.iter().rev() {
        fsconfig_set_string(&context, "lowerdir+", layer)?;
    }
    fsconfig_set_string(&context, "upperdir", &own.upper)?;
    fsconfig_set_string(&context, "workdir", &own.work)?;
    fsconfig_create(&context)?;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    move_mount(&mounted, "", rustix::fs::CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Takes a mount away. It may be gone already.
///
/// # Errors
/// `Internal`, with the path.
pub fn unmount_at(target: &Path) -> Result<()> {
    match unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // Not mounted, or not there.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(cause) => Err(failed("unmounting", target, &cause.into())),
    }
}

fn failed(doing: &str, path: &Path, cause: &io::Error) -> Error {
    Error::internal(cause.to_string()).doing(format!("{doing} {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_layer_comes_first_and_what_does_not_fit_is_given_one_by_one() {
        let own = Upper::of(Path::new("/c"));
        let options_of = |layers: &[&str]| options(&layers.iter().map(PathBuf::from).collect::<Vec<_>>(), &own);
        let told = options_of(&["/1", "/2"]).unwrap();
        assert_eq!(String::from_utf8(told).unwrap(), "lowerdir=/2:/1,upperdir=/c/upper,workdir=/c/work");
        assert_eq!(options_of(&["/a:b"]), None);
        assert_eq!(options_of(&[&"/x".repeat(3000)]), None);
    }
}
