//! Packets as bytes: where the records of a message are, without understanding them. So what others answer is handed on
//! as they wrote it, whatever it is.

use std::ops::Range;

use super::question::EdnsTold;

/// The bytes before the question.
pub const HEADER: usize = 12;

/// The kind of the record that is EDNS (RFC 6891).
const OPT: u16 = 41;

/// The kind of the record that says how long there is nothing (RFC 2308).
const SOA: u16 = 6;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// In which of the three sections: 0 answers, 1 authorities, 2 additionals.
    pub section: usize,
    /// Its kind.
    pub kind: u16,
    /// Where its time to live stands, 4 bytes.
    pub ttl: usize,
    /// What it says.
    pub data: Range<usize>,
}

fn u16_at(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(packet: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?))
}

/// Where a name ends that starts here.
fn after_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            192.. => return packet.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}

/// Where the one question ends.
pub fn after_question(packet: &[u8]) -> Option<usize> {
    let end = after_name(packet, HEADER)? + 4;
    (u16_at(packet, 4)? == 1 && end <= packet.len()).then_some(end)
}

/// All records; `None` if the packet is cut off or makes no sense.
pub fn records(packet: &[u8]) -> Option<Vec<Span>> {
    let mut at = after_question(packet)?;
    let mut spans = Vec::new();
    for section in 0..3 {
        for _ in 0..u16_at(packet, 6 + section * 2)? {
            let head = after_name(packet, at)?;
            let start = head + 10;
            let end = start + usize::from(u16_at(packet, head + 8)?);
            packet.get(start..end)?;
            spans.push(Span { section, kind: u16_at(packet, head)?, ttl: head + 4, data: start..end });
            at = end;
        }
    }
    Some(spans)
}

/// What EDNS says of who sent the packet: nothing, or once. `None` if the packet makes no sense.
pub fn opt(packet: &[u8]) -> Option<Option<EdnsTold>> {
    let spans = records(packet)?;
    let mut found = spans.iter().filter(|span| span.kind == OPT);
    let Some(span) = found.next() else { return Some(None) };
    if found.next().is_some() || span.section != 2 {
        return None;
    }
    let flags = u32_at(packet, span.ttl)?;
    let [_, version, _, _] = flags.to_be_bytes();
    Some(Some(EdnsTold { limit: u16_at(packet, span.ttl - 2)?, version, dnssec: flags & 0x8000 != 0 }))
}

/// The id.
pub fn id(packet: &[u8]) -> Option<u16> {
    u16_at(packet, 0)
}

/// Gives it another id.
pub fn set_id(packet: &mut [u8], id: u16) {
    if let Some(place) = packet.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
}

/// The code of an answer, without EDNS's bits.
pub fn code(packet: &[u8]) -> u8 {
    packet.get(3).map_or(0, |flags| flags & 0x0f)
}

/// Whether it is an answer.
pub fn is_answer(packet: &[u8]) -> bool {
    packet.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

/// Whether it was cut short.
pub fn is_truncated(packet: &[u8]) -> bool {
    packet.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// Whether an answer is to this question: the same words, in the same case, for the case may be the asker's secret.
pub fn is_to(answer: &[u8], question: &[u8]) -> bool {
    match (after_question(answer), after_question(question)) {
        (Some(end), Some(other)) => is_answer(answer) && end == other && answer[HEADER..end] == question[HEADER..end],
        _ => false,
    }
}

/// For how many seconds an answer may be kept: the least of its records' times, and of an answer that there is nothing,
/// what its authority says (RFC 2308, 5). `None` for what must not be kept.
pub fn keeps_for(packet: &[u8]) -> Option<u32> {
    const NO_ERROR: u8 = 0;
    const NO_SUCH_NAME: u8 = 3;
    if is_truncated(packet) || !matches!(code(packet), NO_ERROR | NO_SUCH_NAME) {
        return None;
    }
    let spans = records(packet)?;
    let times = || spans.iter().filter(|it| it.kind != OPT).map(|it| u32_at(packet, it.ttl));
    let least = times().collect::<Option<Vec<u32>>>()?.into_iter().min()?;
    let is_nothing = code(packet) == NO_SUCH_NAME || !spans.iter().any(|it| it.section == 0);
    if !is_nothing {
        return Some(least);
    }
    let authority = spans.iter().find(|it| it.section == 1 && it.kind == SOA)?;
    // The last of the five numbers behind the two names.
    let minimum = u32_at(packet, authority.data.end.checked_sub(4)?)?;
    Some(least.min(minimum))
}

/// Lets every record be so many seconds older; at the end of its time it has `floor` left.
pub fn grow_older(packet: &mut [u8], seconds: u32, floor: u32) {
    let Some(spans) = records(packet) else { return };
    for span in spans.into_iter().filter(|it| it.kind != OPT) {
        let left = u32_at(packet, span.ttl).unwrap_or_default().saturating_sub(seconds).max(floor);
        packet[span.ttl..span.ttl + 4].copy_from_slice(&left.to_be_bytes());
    }
}

/// Gives an answer the words of a question, which differ in case at most.
pub fn set_words(answer: &mut [u8], question: &[u8]) {
    if let (Some(end), Some(other)) = (after_question(answer), after_question(question))
        && end == other
    {
        answer[HEADER..end].copy_from_slice(&question[HEADER..end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `example.` has one address for 300 seconds.
    fn answer() -> Vec<u8> {
        let mut packet = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        packet.extend(b"\x07example\x00\x00\x01\x00\x01");
        packet.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\x0a\x00\x00\x01");
        packet
    }

    #[test]
    fn an_answer_is_kept_as_long_as_its_shortest_record_and_grows_older() {
        let mut packet = answer();
        assert_eq!(keeps_for(&packet), Some(300));
        grow_older(&mut packet, 100, 0);
        assert_eq!(keeps_for(&packet), Some(200));
        grow_older(&mut packet, 1000, 30);
        assert_eq!(keeps_for(&packet), Some(30));
        packet[2] |= 2;
        assert_eq!(keeps_for(&packet), None, "cut short");
    }

    #[test]
    fn an_answer_is_to_a_question_of_the_same_words_in_the_same_case() {
        let mut question = answer();
        question[2] = 0x01;
        assert!(is_to(&answer(), &question));
        assert!(!is_to(&question, &question), "a question answers none");
        question[HEADER + 1] = b'E';
        assert!(!is_to(&answer(), &question));
        let mut echoed = answer();
        set_words(&mut echoed, &question);
        assert!(is_to(&echoed, &question));
    }

    #[test]
    fn a_packet_that_is_cut_off_anywhere_has_no_records() {
        let packet = answer();
        assert_eq!(records(&packet).unwrap().len(), 1);
        for length in 0..packet.len() {
            assert_eq!(records(&packet[..length]), None, "{length}");
        }
    }
}
