//! Netlink messages by hand: bytes in a buffer, one send, every answer looked at.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::set_socket_send_buffer_size_force;

/// Kind and sequence number, which the header holds (linux/netlink.h).
const HEADER: usize = 16;

/// Where the kernel's answer has the number of the error, 0 for an acknowledgement.
const ERROR: std::ops::Range<usize> = HEADER..HEADER + 4;

/// Messages that are sent together.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    answers: usize,
}

impl Batch {
    /// Adds a message: its fixed part, then its attributes. Whether it is answered says `NLM_F_ACK` among the flags.
    pub(crate) fn message(&mut self, kind: u16, flags: i32, fixed: &[&[u8]], attributes: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
        self.bytes.extend([0; 8]);
        fixed.iter().for_each(|part| self.bytes.extend(*part));
        attributes(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self.answers += usize::from(flags & libc::NLM_F_ACK != 0);
    }

    /// Adds an attribute to the message that was begun last.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest_as(kind, |batch| batch.bytes.extend(value));
    }

    /// Adds an attribute that consists of attributes.
    pub(crate) fn nest(&mut self, kind: u16, attributes: impl FnOnce(&mut Self)) {
        self.nest_as(kind | libc::NLA_F_NESTED as u16, attributes);
    }

    /// Adds what an attribute has before the attributes that it consists of.
    pub(crate) fn fixed(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    fn nest_as(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        content(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Sends everything at once, and reads every answer.
    ///
    /// # Panics
    /// With the kernel's first refusal.
    pub(crate) fn send(self, socket: &Socket, what: &str) {
        let sent = socket.send_to(&self.bytes, &SocketAddr::new(0, 0), 0);
        assert_eq!(sent.unwrap_or_else(|error| panic!("{what}: {error}")), self.bytes.len());
        let mut answer = Vec::with_capacity(8192);
        for _ in 0..self.answers {
            answer.clear();
            socket.recv(&mut answer, 0).unwrap_or_else(|error| panic!("{what}: {error}"));
            let error = answer[ERROR].try_into().map(i32::from_ne_bytes).expect("an answer has the number of an error");
            assert!(error == 0, "{what}: {}", io::Error::from_raw_os_error(-error));
        }
    }
}

/// How much may be sent at once, in bytes: ten thousand elements of a map.
const ROOM: usize = 4 << 20;

/// A socket to the kernel, in the namespace of the calling thread.
pub(crate) fn open(protocol: isize) -> Socket {
    let mut socket = Socket::new(protocol).expect("a netlink socket can be opened");
    socket.bind_auto().expect("a netlink socket can be bound");
    socket
}

/// Lets a socket send a long batch. Without the right to it, only long batches fail.
#[allow(unsafe_code, reason = "the socket does not lend its descriptor otherwise")]
pub(crate) fn make_room(socket: &Socket) {
    // SAFETY: the socket owns the descriptor, and outlives the borrow.
    let descriptor = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    if let Err(error) = set_socket_send_buffer_size_force(descriptor, ROOM) {
        eprintln!("the floor can't send much at once: {error}");
    }
}

/// A descriptor as an attribute has it.
pub(crate) fn descriptor(file: &impl AsRawFd) -> [u8; 4] {
    file.as_raw_fd().to_ne_bytes()
}
