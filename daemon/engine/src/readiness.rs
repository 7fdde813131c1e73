//! Files that the runtime watches for us: what is not a socket or pipe of its own.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the runtime tell when a file can be read or written.
///
/// # Errors
/// As `epoll_ctl(2)`.
#[allow(
    deprecated,
    reason = "unsound only for what does not own its file, and this does; the other way is unsafe code"
)]
pub(crate) fn watched(file: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(file, interest)
}
