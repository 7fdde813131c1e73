//! A folder that paths are resolved within.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What folders get that an archive forgot.
const FOLDER: Mode = Mode::from_raw_mode(0o755);

/// A folder that is the root of all that is done through it: no path and no link leads out of it.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    handle: OwnedFd,
}

impl Root {
    /// The folder at that path, which must be there.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())?;
        let path = fs::read_link(by_descriptor(&handle))?;
        Ok(Self { path, handle })
    }

    /// A folder inside. Links are followed, as if this were `/`.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The same; folders that are missing are made.
    ///
    /// # Errors
    /// As `openat2(2)` and `mkdirat(2)`.
    pub fn make_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.folder(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let mut made = PathBuf::new();
        for name in path.components() {
            let parent = self.folder(&made)?;
            made.push(name);
            match rustix::fs::mkdirat(&parent, name.as_os_str(), FOLDER) {
                Ok(()) => rustix::fs::chmodat(&parent, name.as_os_str(), FOLDER, rustix::fs::AtFlags::empty())?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.folder(path)
    }

    /// A file inside, to be read. Links are followed, as if this were `/`.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn read(&self, path: &Path) -> io::Result<File> {
        Ok(self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?.into())
    }

    /// Where a folder that was opened in here lies, with all links resolved, relative to the root.
    ///
    /// # Errors
    /// As `readlink(2)`; `InvalidData` if it was moved out of the root meanwhile.
    pub fn place(&self, folder: &OwnedFd) -> io::Result<PathBuf> {
        let place = fs::read_link(by_descriptor(folder))?;
        let inside = place.strip_prefix(&self.path).map(Path::to_owned);
        inside.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the folder lies outside its root"))
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.handle, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // Something was renamed on the way; openat2(2) says to try again.
                Err(Errno::AGAIN) => {}
                opened => return Ok(opened?),
            }
        }
    }
}

/// A path to a name in a folder that is open, for calls that take only paths.
pub(crate) fn in_folder(folder: &OwnedFd, name: &OsStr) -> PathBuf {
    by_descriptor(folder).join(name)
}

fn by_descriptor(handle: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd()).into()
}
