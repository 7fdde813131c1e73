//! Waits until a file may have grown.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use trestle_core::{Error, Result};

use crate::readiness::watched;

/// A file that is watched.
pub(super) struct Growth(AsyncFd<OwnedFd>);

impl Growth {
    /// Watches a file from now on: what is written after this is told.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let watch = || {
            let file = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            inotify::add_watch(&file, path, WatchFlags::MODIFY | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF)?;
            watched(file, Interest::READABLE)
        };
        watch().map(Self).map_err(|cause: io::Error| failed(path, &cause))
    }

    /// Waits until something was written since the last time.
    pub(super) async fn happens(&self) -> Result<()> {
        let mut ready = self.0.readable().await.map_err(|cause| failed(Path::new("a log"), &cause))?;
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut told = inotify::Reader::new(self.0.get_ref(), &mut room);
        // One wake-up stands for all that was written.
        while told.next().is_ok() {}
        ready.clear_ready();
        Ok(())
    }
}

fn failed(path: &Path, cause: &io::Error) -> Error {
    Error::internal(format!("watching {}: {cause}", path.display()))
}
