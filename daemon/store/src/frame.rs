//! What a journal is made of: frames, each written at once.
//!
//! A frame is the length of its payload, the payload's CRC-32, the CRC-32 of these eight bytes (all `u32`, little
//! endian), and the payload. A write that was cut short leaves the beginning of a frame at the end of the file and
//! nothing else, so whatever is wrong instead of short is damage. The length has a checksum of its own, because a
//! wrong one would make all that follows look like a write that was cut short.

use std::ops::Range;

const HEAD: usize = 12;

/// What stands at a place of a journal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Where its payload stands; the next frame begins at its end.
    Whole(Range<usize>),
    /// Nothing, or the beginning of a frame.
    End,
    /// Something that was never written so.
    Damaged,
}

/// Appends a frame whose payload is written by `payload`.
pub(crate) fn push(bytes: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0; HEAD]);
    payload(bytes);
    let payload = &bytes[start + HEAD..];
    let length = u32::try_from(payload.len()).expect("a commit is held in memory several times over: it has no 4 GiB");
    let [length, sum] = [length, crc32fast::hash(payload)].map(u32::to_le_bytes);
    let head = &mut bytes[start..start + HEAD];
    head[..4].copy_from_slice(&length);
    head[4..8].copy_from_slice(&sum);
    let own = crc32fast::hash(&head[..8]);
    head[8..].copy_from_slice(&own.to_le_bytes());
}

/// The frame that begins there.
pub(crate) fn at(bytes: &[u8], start: usize) -> Frame {
    let Some(head) = bytes.get(start..start + HEAD) else {
        return Frame::End;
    };
    let [length, sum, own] =
        [0, 4, 8].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    if crc32fast::hash(&head[..8]) != own {
        return Frame::Damaged;
    }
    let payload = start + HEAD..start + HEAD + length as usize;
    match bytes.get(payload.clone()) {
        None => Frame::End,
        Some(found) if crc32fast::hash(found) == sum => Frame::Whole(payload),
        Some(_) => Frame::Damaged,
    }
}
