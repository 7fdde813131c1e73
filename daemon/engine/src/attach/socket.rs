//! A monitor's socket: packets of what a container prints, each behind a byte that tells the stream, and its input.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use bytes::Bytes;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    shutdown, socket_with,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use trestle_core::{Doing, Error, Result};

use crate::logs::Stream;
use crate::readiness::watched;

/// conmon's packets are at most this long, the byte of the stream included (`CONN_SOCK_BUF_SIZE`).
const LONGEST: usize = 32 << 10;

/// The most of input that conmon takes at once.
const LONGEST_INPUT: usize = 8 << 10;

/// Something that was printed.
pub type Packet = (Stream, Bytes);

/// A connection to a container's monitor.
#[derive(Debug)]
pub struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    /// Connects to the monitor whose files lie in a folder. What is printed from then on is heard.
    ///
    /// # Errors
    /// `Internal` where no monitor listens.
    pub fn connect(folder: &Path) -> Result<Self> {
        let path = folder.join("attach");
        let join = || -> io::Result<Self> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            connect(&socket, &SocketAddrUnix::new(&path)?)?;
            watched(socket, Interest::READABLE | Interest::WRITABLE).map(Self)
        };
        join().map_err(|cause| Error::internal(cause.to_string())).doing(|| format!("connecting to {}", path.display()))
    }

    /// The next that is printed; `None` at the end.
    ///
    /// # Errors
    /// `Internal` where the connection broke.
    pub async fn hear(&self) -> Result<Option<Packet>> {
        let mut room = vec![0; LONGEST];
        loop {
            let read = self.0.async_io(Interest::READABLE, |socket| {
                Ok(recv(socket, room.as_mut_slice(), RecvFlags::empty()).map(|(length, _)| length)?)
            });
            let length = match read.await {
                // The monitor ended while something of ours was under way to it.
                Err(cause) if cause.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                read => read.map_err(|cause| Error::internal(format!("listening to a container: {cause}")))?,
            };
            let stream = match (length, room[0]) {
                (0, _) => return Ok(None),
                (_, 2) => Stream::Out,
                (_, 3) => Stream::Err,
                // Of no stream that Docker has.
                _ => continue,
            };
            room.truncate(length);
            return Ok(Some((stream, Bytes::from(room).slice(1..))));
        }
    }

    /// Sends input; whether the container still takes any.
    ///
    /// # Errors
    /// `Internal` where the connection broke.
    pub async fn say(&self, input: &[u8]) -> Result<bool> {
        for part in input.chunks(LONGEST_INPUT) {
            let sent = self.0.async_io(Interest::WRITABLE, |socket| Ok(send(socket, part, SendFlags::NOSIGNAL)?));
            match sent.await {
                Ok(_) => {}
                Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                Err(cause) => return Err(Error::internal(format!("talking to a container: {cause}"))),
            }
        }
        Ok(true)
    }

    /// Says that no more input comes. The monitor may be gone.
    ///
    /// # Errors
    /// `Internal` where the kernel refuses.
    pub fn end_input(&self) -> Result<()> {
        match shutdown(self.0.get_ref(), Shutdown::Write) {
            Ok(()) | Err(rustix::io::Errno::NOTCONN | rustix::io::Errno::PIPE) => Ok(()),
            Err(cause) => Err(Error::internal(format!("ending a container's input: {cause}"))),
        }
    }
}
