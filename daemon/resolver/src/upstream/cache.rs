//! Answers of others, kept as long as they say.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Transport;
use crate::wire::raw::{HEADER, after_question};

/// How long an answer is kept beyond its time, in case nobody answers then (RFC 8767 says days; a day is plenty).
const STALE_FOR: Duration = Duration::from_secs(24 * 3600);

/// The longest that an answer is kept, whatever it says, in seconds.
const LONGEST: u32 = 24 * 3600;

/// The largest answer that is kept, in bytes.
const LARGEST: usize = 16 << 10;

/// What makes two questions the same: every byte but the id and the case of the name, and who is asked how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    question: Vec<u8>,
    transport: Transport,
    servers: Vec<SocketAddr>,
}

impl Key {
    pub(super) fn of(packet: &[u8], transport: Transport, servers: &[SocketAddr]) -> Option<Self> {
        let end = after_question(packet)?;
        let mut question = packet.get(2..)?.to_vec();
        question[HEADER - 2..end - 2].make_ascii_lowercase();
        Some(Self { question, transport, servers: servers.to_vec() })
    }
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// An answer as good as new, but for its age in seconds.
    Fresh { answer: Vec<u8>, age: u32 },
    /// One that is out of date.
    Stale { answer: Vec<u8> },
}

struct Entry {
    answer: Vec<u8>,
    since: Instant,
    seconds: u32,
    number: u64,
}

/// At most so many answers; the one that was kept first goes first.
pub(super) struct Cache {
    most: usize,
    entries: HashMap<Key, Entry>,
    in_order: BTreeMap<u64, Key>,
    next: u64,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), in_order: BTreeMap::new(), next: 0 }
    }

    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<Kept> {
        let entry = self.entries.get(key)?;
        let age = now.saturating_duration_since(entry.since);
        let answer = || entry.answer.clone();
        let time = Duration::from_secs(entry.seconds.into());
        match age {
            age if age < time => {
                Some(Kept::Fresh { answer: answer(), age: u32::try_from(age.as_secs()).unwrap_or(u32::MAX) })
            }
            age if age < time + STALE_FOR => Some(Kept::Stale { answer: answer() }),
            _ => None,
        }
    }

    pub(super) fn keep(&mut self, key: Key, answer: Vec<u8>, seconds: u32, now: Instant) {
        if seconds == 0 || answer.len() > LARGEST || self.most == 0 {
            return;
        }
        let number = self.next;
        self.next += 1;
        let entry = Entry { answer, since: now, seconds: seconds.min(LONGEST), number };
        if let Some(before) = self.entries.insert(key.clone(), entry) {
            self.in_order.remove(&before.number);
        }
        self.in_order.insert(number, key);
        while self.entries.len() > self.most {
            let Some((_, oldest)) = self.in_order.pop_first() else { return };
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &[u8]) -> Key {
        let mut packet = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.push(u8::try_from(name.len()).unwrap());
        packet.extend(name);
        packet.extend([0, 0, 1, 0, 1]);
        Key::of(&packet, Transport::Udp, &[]).unwrap()
    }

    #[test]
    fn an_answer_is_fresh_for_its_time_then_stale_and_then_gone() {
        let (mut cache, now) = (Cache::new(8), Instant::now());
        cache.keep(key(b"a"), vec![1], 60, now);
        let at = |seconds| cache.find(&key(b"A"), now + Duration::from_secs(seconds));
        assert_eq!(at(59), Some(Kept::Fresh { answer: vec![1], age: 59 }));
        assert_eq!(at(60), Some(Kept::Stale { answer: vec![1] }));
        assert_eq!(at(60 + 24 * 3600), None);
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_lets_the_oldest_go() {
        let (mut cache, now) = (Cache::new(2), Instant::now());
        for name in [b"a", b"b", b"a", b"c"] {
            cache.keep(key(name), name.to_vec(), 60, now);
        }
        let there = [b"a", b"b", b"c"].map(|name| cache.find(&key(name), now).is_some());
        assert_eq!((there, cache.in_order.len()), ([true, false, true], 2));
    }
}
