//! A folder of ours, which one process at a time may have.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use trestle_core::error::{Error, Result};

/// A folder that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    file_name: &'static str,
    handle: OwnedFd,
}

impl Folder {
    /// Makes the folder if it is not there, and takes it, and what is kept in the file of that name.
    ///
    /// # Errors
    /// `Conflict` if another process has it.
    pub(crate) fn take(path: &Path, file_name: &'static str) -> Result<Self> {
        let unusable = |cause: io::Error| Error::internal(format!("{} can't be used: {cause}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty()).map_err(|cause| unusable(cause.into()))?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), file_name, handle }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = holder(path).map(|pid| format!("process {pid}"));
                let holder = holder.unwrap_or_else(|| "another process".into());
                let file = path.join(file_name);
                Err(Error::conflict(format!("{} is in use by {holder}; stop it first", file.display())))
            }
            Err(cause) => Err(unusable(cause.into())),
        }
    }

    /// The file that records are kept in.
    pub(crate) fn file(&self) -> PathBuf {
        self.path.join(self.file_name)
    }

    /// Makes renamings in it survive the machine.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.handle)?)
    }
}

/// Closing it would let go as well, but not while a child that was forked at this moment has it open too.
impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = rustix::fs::flock(&self.handle, FlockOperation::Unlock) {
            tracing::warn!(%error, folder = %self.path.display(), "the lock of a folder could not be let go");
        }
    }
}

/// The process that holds the lock of a folder, if the kernel tells: lines of `/proc/locks` are
/// `1: FLOCK  ADVISORY  WRITE 708 00:13:1234 0 EOF`.
fn holder(path: &Path) -> Option<u32> {
    let inode = format!(":{}", fs::metadata(path).ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[_, "FLOCK", _, "WRITE", pid, place, ..] = &fields[..] else {
            return None;
        };
        place.ends_with(&inode).then(|| pid.parse().ok().filter(|pid| *pid > 0))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_free_at_once_although_a_child_of_ours_has_inherited_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::take(place.path(), "file").unwrap();
        // What a child has between its fork and its exec, which closes it.
        let inherited = folder.handle.try_clone().unwrap();
        drop(folder);
        Folder::take(place.path(), "file").unwrap();
        drop(inherited);
    }
}
