//! Netlink messages of netfilter, and batches of them that the kernel takes as one transaction.

use super::attribute::{Attributes, Reader, read};
use super::uapi::*;

/// A netlink header (linux/netlink.h) and netfilter's own behind it (linux/netfilter/nfnetlink.h).
pub(in crate::firewall) const HEADERS: usize = 16 + 4;

/// The bytes of some three hundred elements. A change as large costs more to hear of than to cover the ear.
const LARGE: usize = 16 << 10;

/// What a message of a batch is about, for the text of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::firewall) enum Subject {
    /// The transaction itself, or a question about nf_tables.
    Transaction,
    /// The connection tracker.
    Tracker,
    /// The table.
    Table,
    /// A chain.
    Chain(&'static str),
    /// A rule of a chain.
    Rule(&'static str),
    /// A set or map.
    Set(&'static str),
    /// New elements of a set or map.
    Added(&'static str),
    /// Elements to be taken out of a set or map.
    Removed(&'static str),
}

/// Messages that the kernel takes all together or not at all.
pub(in crate::firewall) struct Batch {
    bytes: Vec<u8>,
    messages: Vec<(usize, Subject)>,
}

impl Default for Batch {
    fn default() -> Self {
        let mut batch = Self { bytes: Vec::new(), messages: Vec::new() };
        batch.edge(NFNL_MSG_BATCH_BEGIN, |attributes| attributes.number(NFNL_BATCH_GENID, 0));
        batch
    }
}

impl Batch {
    /// Adds a message about our family, `inet`.
    pub(in crate::firewall) fn message(
        &mut self,
        kind: u8,
        flags: u16,
        subject: Subject,
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        self.messages.push((self.bytes.len(), subject));
        write(&mut self.bytes, nftables(kind), NLM_F_REQUEST | flags, NFPROTO_INET, 0, fill);
    }

    /// Whether there is nothing to be done.
    pub(in crate::firewall) fn is_empty(&self) -> bool {
        self.messages.len() == 1
    }

    /// Whether it holds hundreds of elements.
    pub(in crate::firewall) fn is_large(&self) -> bool {
        self.bytes.len() > LARGE
    }

    /// Closes the batch: bound to a generation of the rules, numbered from `sequence`, its last message to be
    /// acknowledged (what is refused is told unasked). Answers with the bytes and the number of the last message.
    pub(in crate::firewall) fn seal(&mut self, generation: u32, sequence: u32) -> (&[u8], u32) {
        let first_value = HEADERS + 4;
        self.bytes[first_value..first_value + 4].copy_from_slice(&generation.to_be_bytes());
        for (number, (start, _)) in (sequence..).zip(&self.messages) {
            self.bytes[start + 8..start + 12].copy_from_slice(&number.to_ne_bytes());
        }
        if let Some((last, _)) = self.messages.last() {
            let flags = &mut self.bytes[last + 6..last + 8];
            let acknowledged = u16::from_ne_bytes([flags[0], flags[1]]) | NLM_F_ACK;
            flags.copy_from_slice(&acknowledged.to_ne_bytes());
        }
        let last =
            sequence + u32::try_from(self.messages.len()).expect("a batch has thousands of messages, not billions") - 1;
        self.edge(NFNL_MSG_BATCH_END, |_| {});
        (&self.bytes, last)
    }

    /// The message at a place, counted from the beginning of the batch, with what it is about.
    pub(in crate::firewall) fn find(&self, place: usize) -> Option<(Subject, &[u8])> {
        let (start, subject) = *self.messages.get(place)?;
        let end = self.messages.get(place + 1).map_or(self.bytes.len(), |(next, _)| *next);
        Some((subject, &self.bytes[start..end]))
    }

    fn edge(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
        self.messages.push((self.bytes.len(), Subject::Transaction));
        write(&mut self.bytes, kind, NLM_F_REQUEST, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES, fill);
    }
}

/// The type of an nf_tables message.
pub(in crate::firewall) fn nftables(kind: u8) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | u16::from(kind)
}

/// The type of a connection tracking message.
pub(in crate::firewall) fn conntrack(kind: u8) -> u16 {
    NFNL_SUBSYS_CTNETLINK << 8 | u16::from(kind)
}

/// Writes one message at the end of a buffer; its sequence number is left 0.
pub(in crate::firewall) fn write(
    buffer: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    family: u8,
    resource: u16,
    fill: impl FnOnce(&mut Attributes<'_>),
) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(&flags.to_ne_bytes());
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(&[family, 0]);
    buffer.extend_from_slice(&resource.to_be_bytes());
    fill(&mut Attributes::new(buffer));
    let length = u32::try_from(buffer.len() - start).expect("a message holds one list of elements, below 64 KiB");
    buffer[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// A message from the kernel.
#[derive(Clone, Copy, Debug)]
pub(in crate::firewall) struct Message<'a> {
    /// The subsystem and the message, or one of netlink's own.
    pub kind: u16,
    /// Netlink's flags.
    pub flags: u16,
    /// The number of the message that it answers.
    pub sequence: u32,
    /// What follows the netlink header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message of nf_tables that it is, if it is one.
    pub(in crate::firewall) fn nftables(&self) -> Option<u8> {
        (self.kind >> 8 == NFNL_SUBSYS_NFTABLES).then_some((self.kind & 0xff) as u8)
    }

    /// The family in netfilter's header.
    pub(in crate::firewall) fn family(&self) -> u8 {
        self.payload.first().copied().unwrap_or_default()
    }

    /// The attributes behind netfilter's header.
    pub(in crate::firewall) fn attributes(&self) -> Reader<'a> {
        read(self.payload.get(4..).unwrap_or_default())
    }
}

/// Reads the messages of one datagram.
pub(in crate::firewall) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let four = |at: usize| Some(u32::from_ne_bytes(datagram.get(at..at + 4)?.try_into().ok()?));
        let two = |at: usize| Some(u16::from_ne_bytes(datagram.get(at..at + 2)?.try_into().ok()?));
        let length = usize::try_from(four(0)?).ok()?;
        let message = Message { kind: two(4)?, flags: two(6)?, sequence: four(8)?, payload: datagram.get(16..length)? };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_batch_is_numbered_bound_to_a_generation_and_acknowledged_once() {
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.message(NFT_MSG_NEWTABLE, NLM_F_CREATE, Subject::Table, |it| it.text(NFTA_TABLE_NAME, "trestle"));
        batch.message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, Subject::Chain("forward"), |_| {});
        assert!(!batch.is_empty());
        let (bytes, last) = batch.seal(77, 40);
        assert_eq!(last, 42);
        let read: Vec<Message<'_>> = messages(bytes).collect();
        assert_eq!(
            read.iter().map(|it| it.kind).collect::<Vec<_>>(),
            [NFNL_MSG_BATCH_BEGIN, nftables(NFT_MSG_NEWTABLE), nftables(NFT_MSG_NEWCHAIN), NFNL_MSG_BATCH_END]
        );
        assert_eq!(read[..3].iter().map(|it| it.sequence).collect::<Vec<_>>(), [40, 41, 42]);
        assert_eq!(read.iter().map(|it| it.flags & NLM_F_ACK != 0).collect::<Vec<_>>(), [false, false, true, false]);
        assert_eq!(read[0].attributes().get(NFNL_BATCH_GENID).unwrap().number(), 77);
        assert_eq!(read[1].attributes().get(NFTA_TABLE_NAME).unwrap().text(), "trestle");
        assert_eq!(batch.find(2).unwrap().0, Subject::Chain("forward"));
    }
}
