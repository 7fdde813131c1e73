//! Which boot of which machine, and which network namespace: what runtime records are valid for.

use std::fs;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

use trestle_core::{Error, Result};

/// The life that the kernel's things share: they end with the boot, and with the network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The kernel's random id of this boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// The network namespace of the calling thread; never used twice in one boot (`SO_NETNS_COOKIE`).
    pub netns_cookie: u64,
}

/// The stamp of this boot and the calling thread's network namespace.
pub fn stamp() -> Result<Stamp> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_err(|cause| Error::internal(cause.to_string()).doing("reading the id of this boot"))?;
    // Any socket will do; this kind exists on every kernel.
    let socket = std::os::unix::net::UnixDatagram::unbound().map_err(failed)?;
    Ok(Stamp { boot_id: boot_id.trim().to_owned(), netns_cookie: netns_cookie(&socket)? })
}

fn failed(cause: std::io::Error) -> Error {
    Error::internal(cause.to_string()).doing("asking for the cookie of a network namespace")
}

/// Which network namespace a socket belongs to.
pub(crate) fn netns_cookie(socket: impl AsFd) -> Result<u64> {
    let mut cookie = 0u64;
    let mut size = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the cookie is eight bytes, as told, and both live until the call returns.
    let asked = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut size,
        )
    };
    if asked == 0 { Ok(cookie) } else { Err(failed(std::io::Error::last_os_error())) }
}
