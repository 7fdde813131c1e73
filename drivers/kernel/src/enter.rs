//! Moving a process into a sandbox, for a command that is to run there.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Moves the calling thread into the network namespace that a file is bound to. Call it from a process's only thread:
/// the others would stay behind.
///
/// # Errors
/// The system's: no such file, no network namespace, or not allowed.
pub fn enter(namespace: &Path) -> io::Result<()> {
    let file = File::open(namespace)?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(io::Error::from)
}

/// Shows a file at the place of another one, which stays as it is beneath. Only for a thread that has a mount namespace
/// of its own, such as [`renew_sys`] gives it: others would see it too.
///
/// # Errors
/// The system's.
pub fn show(file: &Path, at: &Path) -> io::Result<()> {
    mount_bind(file, at).map_err(io::Error::from)
}

/// Gives the calling thread a mount namespace of its own, in which `/sys` shows the network namespace that it is in,
/// and not the one of whoever mounted it. Nobody else sees the change.
///
/// # Errors
/// The system's; whoever may not mount still has the `/sys` of before.
pub fn renew_sys() -> io::Result<()> {
    // SAFETY: only CLONE_FILES makes descriptors that others rely on come apart, and it is not asked for.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    // What others mount and unmount from here on still reaches us, as it would have; nothing of ours reaches them.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let read_only = statvfs("/sys")?.f_flag.contains(StatVfsMountFlags::RDONLY);
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let flags = if read_only { plain | MountFlags::RDONLY } else { plain };
    mount("sysfs", "/sys", "sysfs", flags, None).map_err(io::Error::from)
}
