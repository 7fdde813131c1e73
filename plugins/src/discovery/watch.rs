//! Waiting for plugins' files to come and go.
//!
//! Three system calls of inotify, which rustix has, are all that it takes; a crate for file watching would bring a
//! thread, and other systems' ways, to hear the same.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::net::unix::pipe;
use trestle_core::{Error, Result};

use super::Folders;

/// Tells when files in the folders may have changed. What has changed is seen by looking, not told: what is told can
/// be lost.
#[derive(Debug)]
pub struct Watch {
    folders: Folders,
    /// It is read like a pipe.
    inotify: pipe::Receiver,
}

/// What of a folder is worth a look.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

impl Watch {
    /// Begins to watch. Call it within a tokio runtime, and look after it: what changes from here on is told.
    ///
    /// # Errors
    /// `Exhausted` when the user has too many watches already.
    pub fn begin(folders: Folders) -> Result<Self> {
        let failed = |error: io::Error| Error::exhausted(format!("watching the plugin folders: {error}"));
        let inotify =
            inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let watch = Self { folders, inotify: pipe::Receiver::from_owned_fd_unchecked(inotify).map_err(failed)? };
        watch.look_out()?;
        Ok(watch)
    }

    /// Ends when something may have changed since the last time.
    ///
    /// # Errors
    /// As for [`Watch::begin`]; the next change may go unnoticed then.
    pub async fn changed(&mut self) -> Result<()> {
        let broken = |error: io::Error| Error::internal(format!("watching the plugin folders: {error}"));
        self.inotify.readable().await.map_err(broken)?;
        let mut events = [0; 4096];
        loop {
            match self.inotify.try_read(&mut events) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(error)),
            }
        }
        // Folders may have come, or others may stand in their place.
        self.look_out()
    }

    /// Watches every folder, those in it, and where a folder is missing, the one that it would appear in. What comes
    /// while we look is looked for once more.
    fn look_out(&self) -> Result<()> {
        let mut watched = BTreeSet::new();
        loop {
            let places = self.places();
            if places == watched {
                return Ok(());
            }
            for place in places.difference(&watched) {
                match inotify::add_watch(&self.inotify, place, CHANGES) {
                    Ok(_) => {}
                    // It went meanwhile, which the one above it tells; or we may not look into it.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
                    Err(error) => {
                        return Err(Error::exhausted(format!("watching {}: {error}", place.display())));
                    }
                }
            }
            watched = places;
        }
    }

    fn places(&self) -> BTreeSet<PathBuf> {
        let of = |folder: &Path| {
            let there = folder.ancestors().find(|ancestor| ancestor.is_dir()).map(Path::to_owned);
            there.into_iter().chain(subfolders(folder)).collect::<Vec<_>>()
        };
        self.folders.all().flat_map(of).collect()
    }
}

/// Most folders of plugins that are watched in one folder.
const MOST: usize = 1024;

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.is_dir()).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_and_folders_that_come_and_go_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path().join("etc/docker/plugins");
        let folders = Folders { sockets: Vec::new(), specs: vec![etc.clone()], libraries: Vec::new() };
        let mut watch = Watch::begin(folders).unwrap();
        for part in [folder.path().join("etc"), folder.path().join("etc/docker"), etc.clone()] {
            std::fs::create_dir(part).unwrap();
            watch.changed().await.unwrap();
        }
        std::fs::write(etc.join("weave.spec"), "tcp://localhost:1").unwrap();
        watch.changed().await.unwrap();
        std::fs::create_dir(etc.join("nested")).unwrap();
        watch.changed().await.unwrap();
        std::fs::write(etc.join("nested/nested.spec"), "").unwrap();
        watch.changed().await.unwrap();
        std::fs::remove_file(etc.join("weave.spec")).unwrap();
        watch.changed().await.unwrap();
    }
}
