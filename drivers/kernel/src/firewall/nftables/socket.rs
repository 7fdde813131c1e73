//! A long-lived socket to netfilter: sends a transaction in one call and reads what became of it; asks, and reads dumps.
//!
//! The kernel works on a netlink message while it is being sent, so its answers wait when the call is back: reading
//! them never blocks. Closing such a socket waits for the kernel's deferred clean-up (ten milliseconds), so keep it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket as Netlink, SocketAddr};
use rustix::net::sockopt::{
    set_socket_recv_buffer_size_force, set_socket_send_buffer_size, set_socket_send_buffer_size_force,
};
use trestle_core::error::{Error, Result};

use super::attribute::{Attributes, read};
use super::message::{Batch, HEADERS, Message, Subject, messages, write};
use super::refusal::{Refusal, sentence, told};
use super::uapi::*;

/// A netlink socket of the netfilter family, in the network namespace of the thread that opened it.
pub(in crate::firewall) struct Socket {
    netlink: Netlink,
    port: u32,
    sequence: u32,
    room: usize,
    answer: Vec<u8>,
}

/// What became of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::firewall) enum Outcome {
    /// It is done, whole.
    Done,
    /// Nothing is done: the rules were changed by somebody since the generation that it was bound to.
    Stale,
    /// Nothing is done: the kernel refuses these messages of it.
    Refused(Vec<Refusal>),
}

impl Socket {
    /// Opens one.
    pub(in crate::firewall) fn open() -> Result<Self> {
        let opened = || -> io::Result<(Netlink, u32)> {
            let mut netlink = Netlink::new(NETLINK_NETFILTER)?;
            let port = netlink.bind_auto()?.port_number();
            netlink.connect(&SocketAddr::new(0, 0))?;
            netlink.set_ext_ack(true)?;
            netlink.set_cap_ack(true)?;
            // The kernel tells every message that it refuses. Less room is no harm: then an error is told as lost.
            if let Err(error) = set_socket_recv_buffer_size_force(borrowed(&netlink), ANSWERS) {
                tracing::debug!(%error, "netfilter's answers have to do with a small buffer");
            }
            Ok((netlink, port))
        };
        let (netlink, port) = opened().map_err(|error| match error.raw_os_error() {
            Some(libc::EPROTONOSUPPORT) => {
                Error::unsupported("this kernel has no netlink interface to netfilter (CONFIG_NETFILTER_NETLINK)")
            }
            _ => Error::internal(told(&error)).doing("opening a netlink socket to netfilter"),
        })?;
        Ok(Self { netlink, port, sequence: 0, room: DEFAULT_ROOM, answer: vec![0; ANSWER] })
    }

    /// The number by which the kernel knows this socket.
    pub(in crate::firewall) fn port(&self) -> u32 {
        self.port
    }

    /// Sends a transaction, bound to a generation of the rules.
    pub(in crate::firewall) fn transact(&mut self, batch: &mut Batch, generation: u32) -> Result<Outcome> {
        let first = self.next_sequence();
        let (bytes, last) = batch.seal(generation, first);
        self.sequence = last;
        make_room(&self.netlink, &mut self.room, bytes.len());
        send(&self.netlink, bytes)?;
        let mut refusals = Vec::new();
        let mut acknowledged = false;
        let mut failure = None;
        while let Some(length) = receive(&self.netlink, &mut self.answer, libc::MSG_DONTWAIT)? {
            for message in messages(&self.answer[..length]) {
                let Some(place) = message.sequence.checked_sub(first).and_then(|it| usize::try_from(it).ok()) else {
                    continue;
                };
                match verdict(&message) {
                    None => {}
                    Some(0) => acknowledged |= message.sequence == last,
                    Some(errno) if place == 0 => failure = Some(errno),
                    Some(errno) => refusals.push(refusal(batch, place, errno, &message)),
                }
            }
        }
        match failure {
            Some(libc::ERESTART) => return Ok(Outcome::Stale),
            Some(errno) => refusals.push(Refusal::new(errno, Subject::Transaction)),
            None => {}
        }
        match (refusals.is_empty(), acknowledged) {
            (true, true) => Ok(Outcome::Done),
            (true, false) => Err(Error::internal("the kernel did not acknowledge a transaction on nf_tables")),
            (false, _) => Ok(Outcome::Refused(refusals)),
        }
    }

    /// Asks one question and hands every message of the answer to `each`; false if there is no such thing.
    pub(in crate::firewall) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        fill: impl Fn(&mut Attributes<'_>),
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<bool> {
        self.sequence = self.next_sequence();
        let mut question = Vec::new();
        write(&mut question, kind, NLM_F_REQUEST | NLM_F_ACK | flags, family, 0, fill);
        question[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        send(&self.netlink, &question)?;
        let mut torn = false;
        // A dump goes on while it is being read; this socket's peer is the kernel, which answers at once.
        while let Some(length) = receive(&self.netlink, &mut self.answer, 0)? {
            for message in messages(&self.answer[..length]).filter(|it| it.sequence == self.sequence) {
                torn |= message.flags & NLM_F_DUMP_INTR != 0;
                match verdict(&message) {
                    None => each(&message),
                    Some(0) if torn => return Err(Error::unavailable(TORN)),
                    Some(0) => return Ok(true),
                    Some(libc::ENOENT) => return Ok(false),
                    Some(errno) => return Err(sentence(&Refusal::new(errno, subject(kind)))),
                }
            }
        }
        Err(Error::internal("the kernel's answer about netfilter broke off"))
    }

    /// A number that no message has had lately; a transaction takes as many as it has messages.
    fn next_sequence(&self) -> u32 {
        if self.sequence > u32::MAX / 2 { 1 } else { self.sequence + 1 }
    }

    /// Tells the connection tracker several things at once, each on its own; errors in `passable` are none.
    pub(in crate::firewall) fn tell(&mut self, bytes: &[u8], passable: &[i32]) -> Result<()> {
        send(&self.netlink, bytes)?;
        let mut refused = None;
        while let Some(length) = receive(&self.netlink, &mut self.answer, libc::MSG_DONTWAIT)? {
            let errors = messages(&self.answer[..length]).filter_map(|it| verdict(&it));
            refused = refused.or(errors.filter(|errno| *errno != 0 && !passable.contains(errno)).last());
        }
        match refused {
            None => Ok(()),
            Some(errno) => Err(sentence(&Refusal::new(errno, Subject::Tracker))),
        }
    }

    /// Everything of a kind, once more from the start if it changed while it was being read; nothing where there is no such thing.
    pub(in crate::firewall) fn dump<T>(
        &mut self,
        kind: u16,
        family: u8,
        fill: impl Fn(&mut Attributes<'_>),
        mut read: impl FnMut(&Message<'_>) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        for _ in 0..ATTEMPTS {
            let mut found = Vec::new();
            match self.ask(kind, NLM_F_DUMP, family, &fill, |message| found.extend(read(message))) {
                Ok(true) => return Ok(Some(found)),
                Ok(false) => return Ok(None),
                Err(error) if error.cause() == TORN => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::unavailable("others change netfilter's rules faster than they can be read"))
    }
}

/// How often something is tried again because somebody else changed the rules in between. Each attempt takes
/// microseconds, so this many in a row mean that a program runs wild.
pub(in crate::firewall) const ATTEMPTS: usize = 1000;

const ANSWERS: usize = 4 << 20;
const TORN: &str = "the rules were changed while they were being read";
// The kernel's dumps come in pieces of at most 32 KiB, a lone message is at most 64 KiB.
const ANSWER: usize = 1 << 16;
// net.core.wmem_default of every kernel: what a socket may send at once if it asked for nothing.
const DEFAULT_ROOM: usize = 200 << 10;

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        borrowed(&self.netlink)
    }
}

/// The descriptor of a netlink socket, borrowed.
pub(in crate::firewall) fn borrowed(netlink: &Netlink) -> BorrowedFd<'_> {
    // SAFETY: the socket owns the descriptor, and the borrow lives no longer than the reference to the socket.
    unsafe { BorrowedFd::borrow_raw(netlink.as_raw_fd()) }
}

/// Makes sure that so many bytes can be sent at once. Without the privilege for it the system's own limit has to do.
fn make_room(netlink: &Netlink, room: &mut usize, length: usize) {
    if length <= *room {
        return;
    }
    let wanted = length.next_power_of_two();
    let given = set_socket_send_buffer_size_force(borrowed(netlink), wanted)
        .or_else(|_| set_socket_send_buffer_size(borrowed(netlink), wanted));
    if given.is_ok() {
        *room = wanted;
    }
}

fn send(netlink: &Netlink, bytes: &[u8]) -> Result<()> {
    match netlink.send(bytes, 0) {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => Err(Error::exhausted(format!(
            "a change of {} KiB is more than this socket may send at once; run as root, or raise net.core.wmem_max",
            bytes.len() >> 10
        ))),
        Err(error) => Err(Error::internal(told(&error)).doing("sending to netfilter")),
    }
}

fn receive(netlink: &Netlink, answer: &mut [u8], flags: i32) -> Result<Option<usize>> {
    match netlink.recv(&mut &mut answer[..], flags) {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => receive(netlink, answer, flags),
        Err(error) => Err(Error::internal(told(&error)).doing("reading netfilter's answer")),
    }
}

fn subject(kind: u16) -> Subject {
    match kind >> 8 {
        NFNL_SUBSYS_CTNETLINK => Subject::Tracker,
        _ => Subject::Transaction,
    }
}

/// The error number in an acknowledgement or at the end of a dump, 0 for success; none in any other message.
fn verdict(message: &Message<'_>) -> Option<i32> {
    let number = || message.payload.get(..4)?.try_into().map(i32::from_ne_bytes).ok();
    match message.kind {
        NLMSG_ERROR | NLMSG_DONE => Some(-number().unwrap_or_default()),
        _ => None,
    }
}

fn refusal(batch: &Batch, place: usize, errno: i32, message: &Message<'_>) -> Refusal {
    let Some((subject, ours)) = batch.find(place) else { return Refusal::new(errno, Subject::Transaction) };
    let mut refusal = Refusal::new(errno, subject);
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return refusal;
    }
    // The error number and the header of the message that it is about; its body was asked to be left out.
    let header = 4 + 16;
    let body = match message.flags & NLM_F_CAPPED {
        0 => ours.len() - 16,
        _ => 0,
    };
    for attribute in read(message.payload.get(header + body..).unwrap_or_default()) {
        match attribute.kind {
            NLMSGERR_ATTR_MSG => refusal.words = Some(attribute.text()),
            NLMSGERR_ATTR_OFFS => {
                let offset = attribute.value.try_into().map(u32::from_ne_bytes).unwrap_or_default();
                let offset = usize::try_from(offset).unwrap_or_default();
                refusal.at =
                    ours.get(offset.max(HEADERS)..).and_then(|rest| read(rest).next()).map(|it| it.value.to_vec());
            }
            _ => {}
        }
    }
    refusal
}

#[cfg(test)]
mod tests {
    use rustix::thread::UnshareFlags;

    use super::*;

    #[test]
    fn an_expression_that_the_kernel_lacks_is_named() {
        let inside = || {
            // SAFETY: the thread is fresh and ends after this; nothing else shares its namespace.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            let mut socket = Socket::open().unwrap();
            let mut batch = Batch::default();
            batch.message(NFT_MSG_NEWTABLE, NLM_F_CREATE, Subject::Table, |it| it.text(NFTA_TABLE_NAME, "lacking"));
            batch.message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, Subject::Chain("c"), |it| {
                it.text(NFTA_CHAIN_TABLE, "lacking");
                it.text(NFTA_CHAIN_NAME, "c");
            });
            batch.message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, Subject::Rule("c"), |it| {
                it.text(NFTA_RULE_TABLE, "lacking");
                it.text(NFTA_RULE_CHAIN, "c");
                it.nest(NFTA_RULE_EXPRESSIONS, |list| {
                    list.nest(NFTA_LIST_ELEM, |it| it.text(NFTA_EXPR_NAME, "no_such"));
                });
            });
            socket.transact(&mut batch, super::super::dump::generation(&mut Socket::open().unwrap()).unwrap()).unwrap()
        };
        let Outcome::Refused(refusals) = std::thread::spawn(inside).join().unwrap() else { panic!("it was taken") };
        assert_eq!(refusals.len(), 1);
        let error = sentence(&refusals[0]);
        assert_eq!(error.kind(), trestle_core::error::ErrorKind::Unsupported);
        assert!(error.cause().contains("no_such"), "{error}");
    }
}
