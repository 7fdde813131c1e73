//! Keeps the files as the records have it.
//!
//! A file is made whole under another name and then given its own. From then on it is changed where it is, for it may be
//! mounted in a container, and a mount keeps showing the file that it was made of: all of the new text in one write.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;
use trestle_core::id::{NetworkId, SandboxId};
use trestle_core::store::{Change, Key, Record};
use trestle_core::witness::Witness;
use trestle_core::{Error, Result};

use super::part::renewed;
use super::{Files, hosts, resolv};
use crate::directory::Directory;
use crate::upstream::Defaults;
use crate::upstream::resolv_conf::{HostFile, ResolvConf};

/// The host's own files.
#[derive(Clone, Debug)]
pub struct HostFiles {
    /// Its hosts file.
    pub hosts: PathBuf,
    /// Its host name.
    pub hostname: PathBuf,
    /// Its resolv.conf.
    pub resolv_conf: PathBuf,
    /// Where systemd-resolved tells the servers that it asks itself: those are meant where the host's resolv.conf names
    /// a server of the host's loopback only, which no container reaches.
    pub resolved: PathBuf,
}

impl Default for HostFiles {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            hostname: "/etc/hostname".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            resolved: "/run/systemd/resolve/resolv.conf".into(),
        }
    }
}

/// Writes the files, in the order of commits, on a thread of its own.
pub struct Clerk {
    folder: PathBuf,
    jobs: mpsc::Sender<Job>,
}

enum Job {
    Sandbox(SandboxId),
    Network(NetworkId),
    Gone(SandboxId),
    Sweep,
    Tell(oneshot::Sender<()>),
}

struct Writer {
    folder: PathBuf,
    directory: Directory,
    host: HostFiles,
    host_conf: HostFile,
    resolved: HostFile,
    defaults: Defaults,
}

impl Clerk {
    /// Starts the thread. Files are kept below the folder.
    ///
    /// # Errors
    /// If the thread can't be started.
    pub fn start(folder: PathBuf, directory: Directory, host: HostFiles, defaults: Defaults) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel();
        let writer = Writer {
            folder: folder.clone(),
            directory,
            host_conf: HostFile::new(&host.resolv_conf),
            resolved: HostFile::new(&host.resolved),
            host,
            defaults,
        };
        let thread = thread::Builder::new().name("trestle-files".into()).spawn(move || {
            for job in inbox {
                writer.work(job);
            }
        });
        thread.map_err(|error| Error::internal(format!("starting the thread that writes files: {error}")))?;
        Ok(Self { folder, jobs })
    }

    /// Where a sandbox's files are.
    pub fn files(&self, sandbox: SandboxId) -> Files {
        Files::of(&self.folder, sandbox)
    }

    /// Waits until everything that was committed is in the files.
    pub async fn settled(&self) {
        let (told, heard) = oneshot::channel();
        self.send(Job::Tell(told));
        if heard.await.is_err() {
            tracing::error!("the thread that writes files has ended");
        }
    }

    /// Removes the files of sandboxes that no record is left of, because we died before that was done.
    pub async fn sweep(&self) {
        self.send(Job::Sweep);
        self.settled().await;
    }

    fn send(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::error!("the thread that writes files has ended");
        }
    }
}

impl Witness for Clerk {
    fn committed(&self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(Record::Sandbox(sandbox)) if sandbox.naming.is_some() => {
                    self.send(Job::Sandbox(sandbox.id));
                }
                Change::Put(Record::Endpoint(endpoint)) => {
                    // Who leaves or comes may be known to others by their links.
                    self.send(Job::Network(endpoint.network));
                    endpoint.state.sandbox().into_iter().for_each(|sandbox| self.send(Job::Sandbox(sandbox)));
                }
                Change::Remove(Key::Sandbox(id)) => self.send(Job::Gone(*id)),
                _ => {}
            }
        }
    }
}

impl Writer {
    fn work(&self, job: Job) {
        match job {
            Job::Sandbox(sandbox) => self.write(sandbox),
            Job::Network(network) => {
                let linkers = self.directory.look().linkers(network);
                linkers.into_iter().for_each(|sandbox| self.write(sandbox));
            }
            Job::Gone(sandbox) => remove(&self.folder.join(sandbox.short())),
            Job::Sweep => {
                if let Err(error) = self.sweep() {
                    tracing::warn!(%error, "files of sandboxes that are gone may remain");
                }
            }
            Job::Tell(told) => drop(told.send(())),
        }
    }

    fn sweep(&self) -> io::Result<()> {
        let found = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        let known: HashSet<String> = self.directory.look().sandboxes().map(|sandbox| sandbox.short()).collect();
        for folder in found {
            let folder = folder?;
            if !folder.file_name().to_str().is_some_and(|name| known.contains(name)) {
                remove(&folder.path());
            }
        }
        Ok(())
    }

    fn write(&self, sandbox: SandboxId) {
        let files = Files::of(&self.folder, sandbox);
        let Some(texts) = self.texts(sandbox) else { return };
        for (path, text) in
            [(files.hosts, texts.hosts), (files.hostname, texts.hostname), (files.resolv_conf, texts.resolv)]
        {
            if let Err(error) = put(&path, &text) {
                tracing::error!(%error, path = %path.display(), "a file of a sandbox could not be written");
            }
        }
    }

    /// What the files are to say; `None` for a sandbox that wants none, or is gone.
    fn texts(&self, sandbox: SandboxId) -> Option<Texts> {
        let picture = self.directory.look();
        let naming = picture.naming(sandbox)?;
        if picture.is_host(sandbox) {
            return Some(Texts {
                hosts: Text { first: read(&self.host.hosts), ours: hosts::extra(&picture, sandbox, &naming) },
                hostname: Text::whole(match naming.hostname {
                    Some(_) => hosts::host_name(&naming, sandbox) + "\n",
                    None => read(&self.host.hostname),
                }),
                resolv: Text { first: read(&self.host.resolv_conf), ours: String::new() },
            });
        }
        let host = self.reachable();
        Some(Texts {
            hosts: Text { first: String::new(), ours: hosts::own(&picture, sandbox, &naming) },
            hostname: Text::whole(hosts::host_name(&naming, sandbox) + "\n"),
            resolv: Text { first: String::new(), ours: resolv::own(&picture, sandbox, &naming, &host, &self.defaults) },
        })
    }

    /// What the host's resolv.conf says, with servers that others than the host reach.
    fn reachable(&self) -> ResolvConf {
        let mut conf = self.host_conf.now();
        if conf.is_local() {
            conf.servers = self.resolved.now().servers;
        }
        conf.servers.retain(|server| !server.is_loopback());
        conf
    }
}

struct Texts {
    hosts: Text,
    hostname: Text,
    resolv: Text,
}

/// What a file is to say.
struct Text {
    /// What it begins life with, and is its user's from then on.
    first: String,
    /// Our part; without marks where it is all there is.
    ours: String,
}

impl Text {
    /// A file that is wholly ours.
    fn whole(ours: String) -> Self {
        Self { first: ours, ours: String::new() }
    }
}

/// Removes the files of one sandbox, with their folder.
fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, folder = %folder.display(), "the files of a sandbox remain");
        }
        _ => {}
    }
}

fn put(path: &Path, text: &Text) -> io::Result<()> {
    let found = match fs::read_to_string(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return make(
                path,
                &match text.ours.is_empty() {
                    true => text.first.clone(),
                    false => renewed("", &text.ours) + &text.first,
                },
            );
        }
        Err(error) => return Err(error),
    };
    if text.ours.is_empty() {
        return Ok(());
    }
    let wanted = renewed(&found, &text.ours);
    match wanted == found {
        true => Ok(()),
        false => change(path, &wanted, found.len()),
    }
}

fn make(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

/// Where the new text is shorter, empty lines stand in for the rest of the old one until the file is cut: whoever reads
/// meanwhile never reads a piece of the old text behind the new one.
fn change(path: &Path, text: &str, before: usize) -> io::Result<()> {
    let file: File = OpenOptions::new().write(true).open(path)?;
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(bytes.len().max(before), b'\n');
    file.write_all_at(&bytes, 0)?;
    file.set_len(text.len() as u64)
}

/// What a file of the host's says; nothing if it has none.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(%error, path = %path.display(), "a file of the host's can't be read");
        }
        String::new()
    })
}
