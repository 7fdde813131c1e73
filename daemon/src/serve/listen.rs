//! Sockets to listen on: made by us, or handed over by the service manager.

use std::fmt;
use std::fs::{DirEntry, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::net::AddressFamily;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open, test_kill_process};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use trestle_core::{Doing, Error, Result, failpoint};

use crate::config::{Host, Settings};
use crate::roots;

/// A socket that callers come to.
pub struct Listener {
    socket: Socket,
    name: String,
}

enum Socket {
    Unix { listener: UnixListener, _file: Option<SocketFile> },
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// A caller.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream, Option<TlsAcceptor>),
}

/// A socket's file, which goes with its listener.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "the socket's file was gone already");
        }
    }
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
            Socket::Tcp(listener, tls) => {
                let (stream, _) = listener.accept().await?;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection is slower than it could be");
                }
                Ok(Stream::Tcp(stream, tls.clone()))
            }
        }
    }

    /// Where a TCP listener really listens.
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        match &self.socket {
            Socket::Unix { .. } => None,
            Socket::Tcp(listener, _) => listener.local_addr().ok(),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Opens every host of the settings. Call it within a tokio runtime.
///
/// # Errors
/// `Conflict` where another daemon answers, `Invalid` for a group that is not there, `Internal` with the system's words.
pub fn bind(settings: &Settings, tls: Option<Arc<ServerConfig>>) -> Result<Vec<Listener>> {
    let group = socket_group(settings.group.as_deref())?;
    let mut listeners = Vec::new();
    for host in &settings.hosts {
        let doing = || format!("listening on {host}");
        match host {
            Host::Unix(path) => {
                let listener = unix(path, group).doing(doing)?;
                let socket = Socket::Unix { listener, _file: Some(SocketFile(path.clone())) };
                listeners.push(Listener { socket, name: host.to_string() });
            }
            Host::Tcp { port, .. } => {
                let address = host.address().ok_or_else(|| Error::invalid(format!("{host} has no address")))?;
                let socket = std::net::TcpListener::bind((address, *port)).and_then(tcp).map_err(refused);
                let socket = Socket::Tcp(socket.doing(doing)?, tls.clone().map(TlsAcceptor::from));
                listeners.push(Listener { socket, name: host.to_string() });
            }
            Host::Activation => listeners.extend(handed_over().doing(doing)?),
        }
    }
    Ok(listeners)
}

/// Binds a socket's file, in place of one that nobody listens behind any more.
fn unix(path: &Path, group: u32) -> Result<UnixListener> {
    if let Some(folder) = path.parent() {
        roots::enterable(folder, group)?;
    }
    clear_stale(path)?;
    // Born where nobody else can reach it, and moved into its place when group and mode are right.
    let cradle = Cradle::beside(path)?;
    let born = cradle.socket();
    let listener = StdUnixListener::bind(&born).map_err(refused)?;
    failpoint!("daemon.socket-born");
    chown(&born, None, Some(group)).map_err(refused)?;
    std::fs::set_permissions(&born, Permissions::from_mode(0o660)).map_err(refused)?;
    std::fs::rename(&born, path).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    UnixListener::from_std(listener).map_err(refused)
}

/// A folder of our own for a moment.
struct Cradle(PathBuf);

/// The socket's name in its cradle.
const NEWBORN: &str = "s";

impl Cradle {
    fn beside(path: &Path) -> Result<Self> {
        Self::clear_dead(path.parent().unwrap_or(Path::new("/"))).map_err(refused)?;
        // Short, because a socket's whole path has 107 bytes at most.
        let folder = path.with_file_name(format!(".{:x}", std::process::id()));
        // A process of our number, as in a container each one is, may have died with its own in its hands.
        Self::clear(&folder).map_err(refused).doing(|| format!("removing {}", folder.display()))?;
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(refused)?;
        failpoint!("daemon.cradle-made");
        Ok(Self(folder))
    }

    fn socket(&self) -> PathBuf {
        self.0.join(NEWBORN)
    }

    /// Removes those of processes that died with them in their hands.
    fn clear_dead(beside: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(beside)? {
            let entry = entry?;
            let name = entry.file_name();
            let maker = name.to_str().and_then(|name| i32::from_str_radix(name.strip_prefix('.')?, 16).ok());
            let Some(maker) = maker.and_then(Pid::from_raw) else { continue };
            // Numbers of other PID namespaces tell nothing; that nobody listens does.
            let is_dead =
                test_kill_process(maker).is_err() && StdUnixStream::connect(entry.path().join(NEWBORN)).is_err();
            if is_dead && Self::is_one(&entry.path()) {
                Self::clear(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Whether it is a folder with nothing in it but a socket, or not even that.
    fn is_one(folder: &Path) -> bool {
        let Ok(mut entries) = std::fs::read_dir(folder) else { return false };
        entries.all(|entry| {
            let is_newborn = |entry: &DirEntry| entry.file_name() == NEWBORN;
            entry.is_ok_and(|entry| is_newborn(&entry) && entry.file_type().is_ok_and(|it| it.is_socket()))
        })
    }

    /// Removes one, if it holds nothing but what is ours: a socket that never got to its place.
    fn clear(folder: &Path) -> io::Result<()> {
        let gone = |outcome: io::Result<()>| match outcome {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        let newborn = folder.join(NEWBORN);
        if std::fs::symlink_metadata(&newborn).is_ok_and(|it| it.file_type().is_socket()) {
            gone(std::fs::remove_file(newborn))?;
        }
        gone(std::fs::remove_dir(folder))
    }
}

impl Drop for Cradle {
    fn drop(&mut self) {
        if let Err(error) = Self::clear(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a folder could not be removed");
        }
    }
}

/// Removes a socket's file that a dead daemon left behind.
fn clear_stale(path: &Path) -> Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(Error::conflict("a file that is no socket is in the way"));
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(Error::conflict("another daemon answers there; stop it, or give this one another --exec-root")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(refused),
        Err(error) => Err(refused(error)),
    }
}

fn tcp(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn refused(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => Error::conflict("another program listens there"),
        _ => Error::internal(error.to_string()),
    }
}

/// The sockets of `LISTEN_FDS`. Only Unix ones: over TCP it would not be told who calls.
fn handed_over() -> Result<Vec<Listener>> {
    let numbers = sd_notify::listen_fds().map_err(|error| Error::invalid(format!("LISTEN_FDS: {error}")))?;
    let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| refused(error.into()))?;
    let mut listeners = Vec::new();
    for number in numbers {
        // A second descriptor of the same socket, because owning the first one by its number can't be done safely.
        let socket = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).map_err(|error| refused(error.into()))?;
        let socket = Socket::Unix { listener: unix_socket(socket, number)?, _file: None };
        listeners.push(Listener { socket, name: format!("fd://{number}") });
    }
    match listeners.is_empty() {
        true => Err(Error::invalid("the service manager has handed over no sockets; is trestle.socket enabled?")),
        false => Ok(listeners),
    }
}

fn unix_socket(socket: OwnedFd, number: i32) -> Result<UnixListener> {
    match rustix::net::sockopt::socket_domain(&socket) {
        Ok(AddressFamily::UNIX) => {}
        Ok(_) => return Err(Error::invalid(format!("file descriptor {number} is no Unix socket"))),
        Err(error) => return Err(refused(error.into())),
    }
    let listener = StdUnixListener::from(socket);
    listener.set_nonblocking(true).map_err(refused)?;
    UnixListener::from_std(listener).map_err(refused)
}

/// The group that may use the sockets: the one asked for, else `trestle` if there is one, else root.
///
/// Names are looked up in the file alone: a directory service may be down, and the daemon starts all the same.
///
/// # Errors
/// `Invalid` for a group that is not there.
pub fn socket_group(asked: Option<&str>) -> Result<u32> {
    group_in(asked, "/etc/group")
}

fn group_in(asked: Option<&str>, file: &str) -> Result<u32> {
    if let Some(number) = asked.and_then(|group| group.parse().ok()) {
        return Ok(number);
    }
    let groups = std::fs::read_to_string(file).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(String::new()),
        _ => Err(Error::internal(format!("{file}: {error}"))),
    })?;
    let number = |name: &str| {
        groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
        })
    };
    match asked {
        Some(name) => number(name).ok_or_else(|| Error::invalid(format!("group: {file} has no group {name:?}"))),
        None => Ok(number("trestle").unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_nobody_answers_is_replaced_and_one_that_lives_is_not() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("sub/x.sock");
        let own = rustix::process::getgid().as_raw();
        let first = unix(&path, own).unwrap();
        let refusal = unix(&path, own).unwrap_err();
        assert_eq!(refusal.kind(), trestle_core::ErrorKind::Conflict, "{refusal}");
        drop(first);
        unix(&path, own).unwrap();
    }

    #[tokio::test]
    async fn only_owner_and_group_may_use_a_socket() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("x.sock");
        let _listener = unix(&path, rustix::process::getgid().as_raw()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notes");
        std::fs::write(&path, "mine").unwrap();
        assert!(unix(&path, 0).unwrap_err().to_string().contains("no socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn what_a_crash_left_of_an_earlier_process_with_our_number_is_in_nobody_s_way() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("x.sock");
        let own = rustix::process::getgid().as_raw();
        for half_way in [false, true] {
            let cradle = Cradle::beside(&path).unwrap();
            if half_way {
                drop(StdUnixListener::bind(cradle.socket()).unwrap());
            }
            // A crash tidies nothing up.
            std::mem::forget(cradle);
            drop(unix(&path, own).unwrap());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the socket is there");
        }
    }

    #[tokio::test]
    async fn what_a_crash_left_of_a_process_that_is_gone_is_removed() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("x.sock");
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let living = std::os::unix::process::parent_id();
        let cradle = |pid: u32| folder.path().join(format!(".{pid:x}"));
        for half_way in [false, true] {
            for maker in [gone.id(), living] {
                std::fs::create_dir(cradle(maker)).unwrap();
                if half_way {
                    drop(StdUnixListener::bind(cradle(maker).join(NEWBORN)).unwrap());
                }
            }
            drop(unix(&path, rustix::process::getgid().as_raw()).unwrap());
            assert!(!cradle(gone.id()).exists());
            assert!(cradle(living).exists(), "its maker may be at it still");
            std::fs::remove_dir_all(cradle(living)).unwrap();
        }
    }

    #[tokio::test]
    async fn a_stranger_s_folder_that_is_called_like_ours_is_left_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("x.sock");
        let cradle = Cradle::beside(&path).unwrap();
        let notes = cradle.0.join("notes");
        std::mem::forget(cradle);
        std::fs::write(&notes, "mine").unwrap();
        let refusal = unix(&path, rustix::process::getgid().as_raw()).unwrap_err().to_string();
        assert!(refusal.contains(notes.parent().unwrap().to_str().unwrap()), "{refusal}");
        assert_eq!(std::fs::read_to_string(&notes).unwrap(), "mine");
    }

    #[test]
    fn the_group_is_the_asked_one_else_trestle_else_root() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("group");
        let file = file.to_str().unwrap();
        std::fs::write(file, "root:x:0:\nnet:x:55:a,b\n").unwrap();
        assert_eq!(group_in(None, file).unwrap(), 0);
        assert_eq!(group_in(Some("net"), file).unwrap(), 55);
        assert_eq!(group_in(Some("77"), file).unwrap(), 77);
        assert!(group_in(Some("nobody"), file).unwrap_err().to_string().contains("no group \"nobody\""));
        std::fs::write(file, "trestle:x:66:\n").unwrap();
        assert_eq!(group_in(None, file).unwrap(), 66);
    }
}
