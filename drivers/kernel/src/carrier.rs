//! Makes the kernel notice at once that links have a carrier.
//!
//! A link whose other end comes up later than itself has a carrier then, but the kernel acts on that by and by, in a
//! work queue of its own: until it does, the link drops what it is to send, and a bridge does not forward to it. Who
//! asks for the state of the link makes the kernel catch up first. So nobody has to wait, and the first packet to a
//! container arrives.

use std::ffi::c_char;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use trestle_core::name::IfName;
use trestle_core::{Error, Result};

/// `SIOCETHTOOL` (linux/sockios.h).
const SIOCETHTOOL: libc::c_ulong = 0x8946;

/// `ETHTOOL_GLINK` (linux/ethtool.h).
const ETHTOOL_GLINK: u32 = 0x0000_000a;

/// `struct ethtool_value` (linux/ethtool.h).
#[repr(C)]
struct Question {
    command: u32,
    answer: u32,
}

/// Asks in the namespace in which it was opened.
pub(crate) struct Carrier(OwnedFd);

impl Carrier {
    /// Any socket will do.
    pub(crate) fn open() -> Result<Self> {
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
            .map(Self)
            .map_err(|cause| Error::internal(format!("opening a socket: {cause}")))
    }

    /// The kernel acts on what it knows of the link's carrier. A link that can't be asked is noticed by and by.
    pub(crate) fn notice(&self, link: &IfName) {
        let mut question = Question { command: ETHTOOL_GLINK, answer: 0 };
        // SAFETY: an all-zero ifreq is valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (there, byte) in request.ifr_name.iter_mut().zip(link.as_str().bytes()) {
            *there = byte as c_char;
        }
        request.ifr_ifru.ifru_data = (&raw mut question).cast();
        // SAFETY: the request and the question live until the call returns; a link's name leaves room for a NUL.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) } < 0 {
            let cause = std::io::Error::last_os_error();
            tracing::debug!(%link, %cause, "the state of a link could not be asked for");
        }
    }
}
