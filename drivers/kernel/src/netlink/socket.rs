//! A route socket that sends all requests of one namespace at once, and then reads the answers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NLMSG_OVERRUN, NetlinkHeader, NlasIterator, ParseableParametrized,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use trestle_core::{Doing, Error, Result};

use super::Refusal;
use crate::stamp::netns_cookie;

/// How many requests go in one `sendmsg`: what they are answered must fit into the receive buffer, for the kernel queues
/// all of it before we read the first. An answered `RTM_GETLINK` takes up to 8 KiB of it, bookkeeping included.
const AT_ONCE: usize = 64;

/// The receive buffer, in bytes; the kernel doubles it.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The largest answer that the kernel makes: a dump fills pages up to 32 KiB (`netlink_dump`).
const LARGEST_ANSWER: usize = 64 << 10;

/// `NLMSGERR_ATTR_MSG` (linux/netlink.h).
const ATTRIBUTE_TEXT: u16 = 1;

/// One request of a batch.
pub(crate) struct Request {
    message: RouteNetlinkMessage,
    flags: u16,
}

/// What one request was answered: the messages asked for, or a refusal.
pub(crate) type Answer = std::result::Result<Vec<RouteNetlinkMessage>, Refusal>;

impl Request {
    /// With flags besides `NLM_F_REQUEST`.
    pub(crate) fn new(message: RouteNetlinkMessage, flags: u16) -> Self {
        Self { message, flags }
    }

    pub(crate) fn message(&self) -> &RouteNetlinkMessage {
        &self.message
    }
}

/// A route socket. It belongs to the namespace in which it was opened, whichever thread uses it, and keeps that alive.
pub(crate) struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    received: Vec<u8>,
}

impl Socket {
    /// Opens one in the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self> {
        let open = || -> io::Result<netlink_sys::Socket> {
            let mut inner = netlink_sys::Socket::new(NETLINK_ROUTE)?;
            inner.bind_auto()?;
            inner.set_ext_ack(true)?;
            inner.set_cap_ack(true)?;
            Ok(inner)
        };
        let inner = open().map_err(|cause| Error::internal(format!("opening a netlink socket: {cause}")))?;
        if let Err(cause) = rustix::net::sockopt::set_socket_recv_buffer_size_force(&inner, RECEIVE_BUFFER) {
            tracing::debug!(%cause, "the receive buffer of a netlink socket stays small");
        }
        Ok(Self { inner, sequence: 0, received: Vec::new() })
    }

    /// Which namespace it is in.
    pub(crate) fn cookie(&self) -> Result<u64> {
        netns_cookie(&self.inner)
    }

    /// Sends every request, and answers each in order. The kernel goes on after a refusal, which it tells in any case;
    /// that it has come to the end it tells by acknowledging the last one (`netlink_rcv_skb`).
    pub(crate) fn batch(&mut self, requests: &[&Request]) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(requests.len());
        for part in requests.chunks(AT_ONCE) {
            self.send_and_read(part, &mut answers).doing(|| "talking to the kernel")?;
        }
        Ok(answers)
    }

    fn send_and_read(&mut self, requests: &[&Request], answers: &mut Vec<Answer>) -> Result<()> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(requests.len() * 256);
        for (number, request) in requests.iter().enumerate() {
            let acknowledge = if number + 1 == requests.len() { NLM_F_ACK } else { 0 };
            self.append(&mut bytes, &request.message, request.flags | acknowledge);
        }
        self.send(&bytes)?;
        let (last, mut open) = (self.sequence, true);
        let mut slots: Vec<(Vec<RouteNetlinkMessage>, Option<Refusal>)> = Vec::new();
        slots.resize_with(requests.len(), Default::default);
        while open {
            self.read(|header, payload| {
                let Some(slot) = slots.get_mut(header.sequence_number.wrapping_sub(first) as usize) else {
                    return Ok(());
                };
                match header.message_type {
                    NLMSG_ERROR => {
                        open &= header.sequence_number != last;
                        slot.1 = refusal(header, payload)?;
                    }
                    _ => slot.0.push(parse(header, payload)?),
                }
                Ok(())
            })?;
        }
        answers.extend(slots.into_iter().map(|(messages, refusal)| match refusal {
            None => Ok(messages),
            Some(refusal) => Err(refusal),
        }));
        Ok(())
    }

    /// Everything of a kind; asks again when it changed meanwhile.
    pub(crate) fn dump(&mut self, message: &RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>> {
        loop {
            let mut bytes = Vec::new();
            self.append(&mut bytes, message, NLM_F_DUMP);
            self.send(&bytes)?;
            let (expected, mut done, mut torn) = (self.sequence, false, false);
            let (mut messages, mut refused) = (Vec::new(), None);
            while !done {
                self.read(|header, payload| {
                    if header.sequence_number != expected {
                        return Ok(());
                    }
                    torn |= header.flags & NLM_F_DUMP_INTR != 0;
                    match header.message_type {
                        NLMSG_DONE => done = true,
                        NLMSG_ERROR => {
                            done = true;
                            refused = refusal(header, payload)?;
                        }
                        _ => messages.push(parse(header, payload)?),
                    }
                    Ok(())
                })?;
            }
            match refused {
                Some(refusal) => return Err(refusal.error(message)),
                None if torn => continue,
                None => return Ok(messages),
            }
        }
    }

    fn append(&mut self, bytes: &mut Vec<u8>, message: &RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        let length = header.buffer_len() + message.buffer_len();
        header.length = length as u32;
        header.message_type = message.message_type();
        header.flags = flags | NLM_F_REQUEST;
        header.sequence_number = self.sequence;
        let start = bytes.len();
        bytes.resize(start + length.next_multiple_of(4), 0);
        let (head, body) = bytes[start..start + length].split_at_mut(header.buffer_len());
        header.emit(head);
        message.emit(body);
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        self.inner
            .send(bytes, 0)
            .map(|_| ())
            .map_err(|cause| Error::internal(format!("sending {} bytes of netlink: {cause}", bytes.len())))
    }

    /// Reads one datagram and hands over its messages.
    fn read(&mut self, mut each: impl FnMut(&NetlinkHeader, &[u8]) -> Result<()>) -> Result<()> {
        self.received.clear();
        self.received.reserve(LARGEST_ANSWER);
        let length = loop {
            match self.inner.recv(&mut self.received, 0) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                other => break other.map_err(|cause| Error::internal(format!("reading netlink: {cause}")))?,
            }
        };
        let mut rest = &self.received[..length];
        while !rest.is_empty() {
            let (header, payload, after) = split(rest)?;
            each(&header, payload)?;
            rest = after;
        }
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// The first message of a datagram, and what follows it.
pub(crate) fn split(bytes: &[u8]) -> Result<(NetlinkHeader, &[u8], &[u8])> {
    let garbled = || Error::internal("a netlink message of the kernel is cut short");
    let buffer = netlink_packet_core::NetlinkBuffer::new_checked(bytes).map_err(|_| garbled())?;
    let length = buffer.length() as usize;
    let mut header = NetlinkHeader::default();
    header.length = buffer.length();
    header.message_type = buffer.message_type();
    header.flags = buffer.flags();
    header.sequence_number = buffer.sequence_number();
    header.port_number = buffer.port_number();
    let payload = bytes.get(16..length).ok_or_else(garbled)?;
    let next = length.next_multiple_of(4).min(bytes.len());
    Ok((header, payload, &bytes[next..]))
}

fn parse(header: &NetlinkHeader, payload: &[u8]) -> Result<RouteNetlinkMessage> {
    if header.message_type == NLMSG_OVERRUN {
        return Err(Error::internal("the kernel ran out of room for its answers"));
    }
    RouteNetlinkMessage::parse_with_param(payload, header.message_type)
        .map_err(|cause| Error::internal(format!("the kernel's answer can't be read: {cause}")))
}

/// `None` for an acknowledgement.
fn refusal(header: &NetlinkHeader, payload: &[u8]) -> Result<Option<Refusal>> {
    let code = payload.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes));
    let code = code.ok_or_else(|| Error::internal("a netlink acknowledgement is cut short"))?;
    if code == 0 {
        return Ok(None);
    }
    // The code and the header of our request, which NETLINK_CAP_ACK makes all of it that comes back.
    let attributes = payload.get(20..).filter(|_| header.flags & NLM_F_ACK_TLVS != 0).unwrap_or_default();
    let text = NlasIterator::new(attributes).flatten().find(|attribute| attribute.kind() == ATTRIBUTE_TEXT);
    let text = text.map(|it| String::from_utf8_lossy(it.value()).trim_end_matches('\0').to_owned());
    Ok(Some(Refusal { errno: -code, text }))
}
