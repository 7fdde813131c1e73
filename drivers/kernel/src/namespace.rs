//! Network namespaces: making and removing them, and reaching into them without ever leaving our own.
//!
//! A thread that enters a namespace does its one thing there and ends; what it opened belongs to that namespace for
//! ever and may be used from any thread.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::LinkNameSpaceType;
use trestle_core::error::ErrorKind;
use trestle_core::resource::Namespace;
use trestle_core::{Doing, Error, Result, failpoint};

use crate::netlink::Socket;
use crate::nursery::{Newborn, Nursery, STACK, THIS};

/// How many sockets into sandboxes stay open between changes: an open one costs a file and keeps its namespace alive.
const KEPT_OPEN: usize = 64;

/// `NSFS_MAGIC` (linux/magic.h): what the file of a namespace says its file system is.
const NSFS: i128 = 0x6e73_6673;

/// `NS_GET_NSTYPE` (linux/nsfs.h): of which kind a namespace is, as the flag that makes one.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;

/// The calling thread's own namespace, which is the host's: no thread that goes on ever leaves it.
pub(crate) fn own() -> Result<File> {
    File::open(THIS).map_err(|error| Error::internal(format!("{THIS}: {error}")))
}

/// The namespaces of sandboxes, as the worker reaches them.
pub(crate) struct Namespaces {
    folder: PathBuf,
    folder_ready: bool,
    nursery: Nursery,
    open: BTreeMap<PathBuf, Entered>,
    /// Of namespaces that were removed; closed when nobody waits.
    closing: Vec<Entered>,
    clock: u64,
}

struct Entered {
    /// Device and inode of the namespace: a path may come to lead to another one. Nobody else has them while our socket
    /// keeps the namespace alive.
    identity: (u64, u64),
    cookie: u64,
    socket: Socket,
    used: u64,
    /// What was found at the path, until [`Namespaces::settle`]: it is looked at once in each piece of work.
    file: Option<Arc<File>>,
}

impl Namespaces {
    /// Those that we make live in this folder, and may be on their way already.
    pub(crate) fn new(folder: PathBuf, nursery: Nursery) -> Self {
        Self { folder, folder_ready: false, nursery, open: BTreeMap::new(), closing: Vec::new(), clock: 0 }
    }

    /// A socket in a sandbox's namespace.
    ///
    /// # Errors
    /// `NotFound` if it is gone, or if another one is at the path of one that was given.
    pub(crate) fn socket(&mut self, namespace: &Namespace) -> Result<&mut Socket> {
        self.enter(namespace).map(|entered| &mut entered.socket)
    }

    /// The open file of a sandbox's namespace.
    ///
    /// # Errors
    /// As [`Namespaces::socket`].
    pub(crate) fn file(&mut self, namespace: &Namespace) -> Result<Arc<File>> {
        let file = self.enter(namespace)?.file.clone();
        file.ok_or_else(|| Error::internal("the file of a namespace was closed while it is needed"))
    }

    /// Which namespace is at a path.
    ///
    /// # Errors
    /// `NotFound` if nothing is there, `Invalid` if it is something else.
    pub(crate) fn cookie(&mut self, path: &Path) -> Result<u64> {
        match self.enter(&Namespace::At(path.to_owned())) {
            Ok(entered) => Ok(entered.cookie),
            Err(error) if error.kind() == ErrorKind::NotFound && path.exists() => {
                Err(Error::invalid(format!("{} is no network namespace", path.display())))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the file once, so that what is looked at is what is entered.
    fn enter(&mut self, namespace: &Namespace) -> Result<&mut Entered> {
        let (path, wanted) = match namespace {
            Namespace::Host => return Err(Error::internal("the host's own namespace is no sandbox's")),
            Namespace::At(path) => (path, None),
            Namespace::Given { path, cookie } => (path, Some(*cookie)),
        };
        self.clock += 1;
        let used = self.clock;
        let entered = match self.open.remove(path) {
            Some(entered) if entered.file.is_some() => entered,
            known => {
                let Some(file) = open(path)? else {
                    return Err(Error::not_found(format!("there is no network namespace at {}", path.display())));
                };
                let identity = identity(&file)?;
                match known.filter(|entered| entered.identity == identity) {
                    Some(entered) => Entered { used, file: Some(file.into()), ..entered },
                    None => {
                        let socket = within(&file, Socket::open).and_then(|opened| opened);
                        let socket = socket.doing(|| format!("entering the namespace {}", path.display()))?;
                        Entered { identity, cookie: socket.cookie()?, socket, used, file: Some(file.into()) }
                    }
                }
            }
        };
        if wanted.is_some_and(|wanted| wanted != entered.cookie) {
            return Err(Error::not_found(format!(
                "the network namespace of {} is gone: another one is at its path",
                path.display()
            )));
        }
        Ok(self.open.entry(path.clone()).or_insert(entered))
    }

    /// Makes a namespace behind this file, if it is not there.
    pub(crate) fn make(&mut self, path: &Path) -> Result<()> {
        if is_namespace(path)? {
            return Ok(());
        }
        self.prepare_folder(path)?;
        OpenOptions::new().create(true).append(true).open(path).map_err(|cause| failed("making the file", cause))?;
        failpoint!("kernel.namespace-file-made");
        let Newborn { file, socket } = match self.nursery.take() {
            Some(born) => born?,
            None => in_thread(Newborn::on_this_thread)??,
        };
        rustix::mount::mount_bind(format!("/proc/thread-self/fd/{}", file.as_raw_fd()), path)
            .map_err(|cause| failed("binding the namespace to its file", cause.into()))?;
        failpoint!("kernel.namespace-bound");
        let (identity, cookie) = (identity(&file)?, socket.cookie()?);
        let entered = Entered { identity, cookie, socket, used: self.clock, file: Some(file.into()) };
        self.open.insert(path.to_owned(), entered);
        Ok(())
    }

    /// Removes the namespace behind this file and the file. The kernel lets the namespace go when nobody uses it.
    pub(crate) fn remove(&mut self, path: &Path) -> Result<()> {
        self.closing.extend(self.open.remove(path));
        // One mount may lie over another: somebody who bound twice is undone twice.
        while is_namespace(path)? {
            rustix::mount::unmount(path, UnmountFlags::DETACH)
                .map_err(|cause| failed("unmounting the namespace", cause.into()))?;
            failpoint!("kernel.namespace-unmounted");
        }
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed("removing the file", cause)),
            _ => Ok(()),
        }
    }

    /// The end of a piece of work: what is at a path may be another namespace next time. Lets go of sockets into
    /// namespaces that are not ours, for those would keep them alive, and of the longest unused ones of ours. The next
    /// one may be begun.
    pub(crate) fn settle(&mut self) {
        self.closing.clear();
        self.nursery.make_ready();
        self.open.retain(|path, _| path.starts_with(&self.folder));
        self.open.values_mut().for_each(|entered| entered.file = None);
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
        // Somebody may have removed it since, with everything in it.
        if self.folder_ready && folder == self.folder && folder.is_dir() {
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
                .map_err(|cause| failed("mounting the folder of namespaces", cause.into()))?;
            failpoint!("kernel.namespace-folder-mounted");
            rustix::mount::mount_change(folder, MountPropagationFlags::SHARED)
                .map_err(|cause| failed("sharing the folder of namespaces", cause.into()))?;
        }
        self.folder_ready = true;
        Ok(())
    }
}

/// What opening says of a path that leads nowhere, of a process that is gone, and of a socket.
const NO_NAMESPACE: [i32; 6] = [libc::ENOENT, libc::ENOTDIR, libc::ESRCH, libc::ENAMETOOLONG, libc::ELOOP, libc::ENXIO];

/// Opens the namespace behind a path; `None` if there is nothing, or something else. Doesn't wait for whoever may be at
/// the other end of something else.
fn open(path: &Path) -> Result<Option<File>> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(cause) if cause.raw_os_error().is_some_and(|code| NO_NAMESPACE.contains(&code)) => return Ok(None),
        Err(cause) => return Err(failed(&format!("opening the network namespace {}", path.display()), cause)),
    };
    let found = rustix::fs::fstatfs(&file);
    let found = found.map_err(|cause| failed("looking at the file of a namespace", cause.into()))?;
    // SAFETY: this question to a file of that file system takes no argument and writes nothing.
    let kind = || unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) };
    let is_network = i128::from(found.f_type) == NSFS && kind() == libc::CLONE_NEWNET;
    Ok(is_network.then_some(file))
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

/// Whether what is in our folder may be of our making: a namespace, or the empty file that one was to be bound to.
pub(crate) fn may_be_ours(path: &Path) -> Result<bool> {
    if is_namespace(path)? {
        return Ok(true);
    }
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(failed("looking at the file of a namespace", cause)),
    };
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let is_short_id = name.len() == 12 && name.iter().all(u8::is_ascii_hexdigit);
    Ok(found.is_file() && found.len() == 0 && is_short_id)
}

/// Device and inode.
fn identity(file: &File) -> Result<(u64, u64)> {
    let found = file.metadata().map_err(|cause| failed("looking at the file of a namespace", cause))?;
    Ok((found.dev(), found.ino()))
}

fn failed(doing: &str, cause: io::Error) -> Error {
    Error::internal(cause.to_string()).doing(doing)
}
