//! Network namespaces: making and removing them, and reaching into them without ever leaving our own.
//!
//! A thread that enters a namespace does its one thing there and ends; what it opened belongs to that namespace for
//! ever and may be used from any thread.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use trestle_core::{Error, Result};

use crate::netlink::Socket;

/// How many sockets into sandboxes stay open between changes: an open one costs a file and keeps its namespace alive.
const KEPT_OPEN: usize = 64;

/// The thread that enters a namespace needs little more than a system call's room.
const STACK: usize = 128 << 10;

/// `NSFS_MAGIC` (linux/magic.h): what the file of a namespace says its file system is.
const NSFS: i128 = 0x6e73_6673;

/// The namespaces of sandboxes, as the worker reaches them.
pub(crate) struct Namespaces {
    folder: PathBuf,
    folder_ready: bool,
    open: BTreeMap<PathBuf, Entered>,
    clock: u64,
}

struct Entered {
    /// Device and inode of the namespace: a path may come to lead to another one.
    identity: (u64, u64),
    socket: Socket,
    used: u64,
}

impl Namespaces {
    /// Those that we make live in this folder.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, folder_ready: false, open: BTreeMap::new(), clock: 0 }
    }

    /// A socket in the namespace at this path; `None` if there is no namespace any more.
    pub(crate) fn socket(&mut self, path: &Path) -> Result<Option<&mut Socket>> {
        self.clock += 1;
        let Some(identity) = identity(path)? else {
            self.open.remove(path);
            return Ok(None);
        };
        if self.open.get(path).is_none_or(|entered| entered.identity != identity) {
            let socket = within(&open(path)?, Socket::open)??;
            self.open.insert(path.to_owned(), Entered { identity, socket, used: 0 });
        }
        let used = self.clock;
        Ok(self.open.get_mut(path).map(|entered| {
            entered.used = used;
            &mut entered.socket
        }))
    }

    /// Makes a namespace behind this file, if it is not there.
    pub(crate) fn make(&mut self, path: &Path) -> Result<()> {
        if is_namespace(path)? {
            return Ok(());
        }
        self.prepare_folder(path)?;
        OpenOptions::new().create(true).append(true).open(path).map_err(|cause| failed("making the file", cause))?;
        let target = path.to_owned();
        let made = in_thread(move || -> Result<Socket> {
            // SAFETY: only FILES could harm other threads, and it is not asked for.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.map_err(|cause| match cause {
                rustix::io::Errno::NOSPC => Error::exhausted(
                    "the limit of network namespaces is reached (see /proc/sys/user/max_net_namespaces)",
                ),
                cause => failed("making a network namespace", cause.into()),
            })?;
            rustix::mount::mount_bind("/proc/thread-self/ns/net", &target)
                .map_err(|cause| failed("binding the namespace to its file", cause.into()))?;
            Socket::open()
        })?;
        match (made, identity(path)?) {
            (Ok(socket), Some(identity)) => {
                self.open.insert(path.to_owned(), Entered { identity, socket, used: self.clock });
                Ok(())
            }
            (Ok(_), None) => Err(Error::internal("somebody unmounted the namespace at once")),
            (Err(error), _) => Err(error),
        }
    }

    /// Removes the namespace behind this file and the file. The kernel lets the namespace go when nobody uses it.
    pub(crate) fn remove(&mut self, path: &Path) -> Result<()> {
        self.open.remove(path);
        // One mount may lie over another: somebody who bound twice is undone twice.
        while is_namespace(path)? {
            rustix::mount::unmount(path, UnmountFlags::DETACH)
                .map_err(|cause| failed("unmounting the namespace", cause.into()))?;
        }
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed("removing the file", cause)),
            _ => Ok(()),
        }
    }

    /// Lets go of sockets into namespaces that are not ours, for those would keep them alive, and of the longest
    /// unused ones of ours.
    pub(crate) fn settle(&mut self) {
        self.open.retain(|path, _| path.starts_with(&self.folder));
        while self.open.len() > KEPT_OPEN {
            let Some(oldest) = self.open.iter().min_by_key(|(_, it)| it.used).map(|(path, _)| path.clone()) else {
                return;
            };
            self.open.remove(&oldest);
        }
    }

    /// Every namespace of our folder.
    pub(crate) fn all(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(failed("reading the folder of namespaces", cause)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|cause| failed("reading the folder of namespaces", cause))?.path());
        }
        paths.sort();
        Ok(paths)
    }

    /// Makes the folder, once, and a shared mount of it: what is unmounted here is then unmounted in every mount
    /// namespace that received a copy, and no forgotten copy keeps a namespace alive.
    fn prepare_folder(&mut self, path: &Path) -> Result<()> {
        let Some(folder) = path.parent() else {
            return Err(Error::invalid(format!("{} can't be the file of a namespace", path.display())));
        };
        if self.folder_ready && folder == self.folder {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(|cause| failed("making the folder of namespaces", cause))?;
        if folder != self.folder {
            return Ok(());
        }
        if let Err(cause) = rustix::mount::mount_change(folder, MountPropagationFlags::SHARED) {
            if cause != rustix::io::Errno::INVAL {
                return Err(failed("sharing the folder of namespaces", cause.into()));
            }
            rustix::mount::mount_bind(folder, folder)
                .and_then(|()| rustix::mount::mount_change(folder, MountPropagationFlags::SHARED))
                .map_err(|cause| failed("sharing the folder of namespaces", cause.into()))?;
        }
        self.folder_ready = true;
        Ok(())
    }
}

/// Opens the namespace behind a path.
pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("there is no network namespace at {}", path.display())),
        _ => failed(&format!("opening the network namespace {}", path.display()), cause),
    })
}

/// Does something in a namespace, on a thread of its own that ends after it.
pub(crate) fn within<T: Send>(namespace: &File, act: impl FnOnce() -> T + Send) -> Result<T> {
    in_thread(|| -> Result<T> {
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map_err(
            |cause| match cause {
                rustix::io::Errno::INVAL => Error::invalid("the file is not a network namespace"),
                cause => failed("entering the network namespace", cause.into()),
            },
        )?;
        Ok(act())
    })?
}

fn in_thread<T: Send>(act: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("trestle-netns".into()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, act).map_err(|cause| failed("starting a thread", cause))?;
        thread.join().map_err(|_| Error::internal("a thread in a network namespace panicked"))
    })
}

/// Whether a namespace is mounted there.
pub(crate) fn is_namespace(path: &Path) -> Result<bool> {
    match rustix::fs::statfs(path) {
        Ok(found) => Ok(i128::from(found.f_type) == NSFS),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(false),
        Err(cause) => Err(failed("looking at the file of a namespace", cause.into())),
    }
}

/// Device and inode; `None` if there is no namespace there.
fn identity(path: &Path) -> Result<Option<(u64, u64)>> {
    if !is_namespace(path)? {
        return Ok(None);
    }
    let found = fs::metadata(path).map_err(|cause| failed("looking at the file of a namespace", cause))?;
    Ok(Some((found.dev(), found.ino())))
}

fn failed(doing: &str, cause: io::Error) -> Error {
    Error::internal(cause.to_string()).doing(doing)
}
