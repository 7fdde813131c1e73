//! Several servers for one question: the best one first, the next ones soon after, and the first good answer wins.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{Instant as Moment, sleep_until, timeout};
use trestle_core::entropy::Entropy;

use super::{Errand, exchange};
use crate::limits::Limits;
use crate::wire::raw;

/// How long is waited before an answer out of date is given (RFC 8767, 5: 1.8 seconds).
const STALE_AFTER: Duration = Duration::from_millis(1800);

/// How many servers are remembered; sandboxes name their own.
const REMEMBERED: usize = 1024;

/// How well servers answered lately.
#[derive(Default)]
pub(super) struct Record(Mutex<HashMap<SocketAddr, Standing>>);

#[derive(Clone, Copy, Default)]
struct Standing {
    /// Failures since the last answer.
    failures: u32,
    /// How long answers took, smoothed.
    latency: Duration,
}

impl Record {
    /// Those that answered last, the quicker ones first; unknown ones stand where they were put.
    fn sorted(&self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted = servers.to_vec();
        sorted.dedup();
        sorted.sort_by_key(|server| known.get(server).map_or(0, |standing| standing.failures.min(1)));
        sorted
    }

    fn answered(&self, server: SocketAddr, took: Duration) {
        self.note(server, |standing| {
            standing.failures = 0;
            standing.latency = (standing.latency * 7 + took) / 8;
        });
    }

    fn failed(&self, server: SocketAddr) {
        self.note(server, |standing| standing.failures = standing.failures.saturating_add(1));
    }

    fn note(&self, server: SocketAddr, change: impl FnOnce(&mut Standing)) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED && !known.contains_key(&server) {
            known.clear();
        }
        change(known.entry(server).or_default());
    }
}

/// Whether a server knows its business: others may know better than one that fails or refuses.
pub(super) fn is_good(answer: &[u8]) -> bool {
    const SERVER_FAILURE: u8 = 2;
    const NOT_IMPLEMENTED: u8 = 4;
    const REFUSED: u8 = 5;
    !matches!(raw::code(answer), SERVER_FAILURE | NOT_IMPLEMENTED | REFUSED)
}

/// The first good answer; else the last bad one; `None` if there was none at all in time.
pub(super) async fn run(
    errand: &Errand,
    record: &Arc<Record>,
    limits: &Limits,
    entropy: &dyn Entropy,
    has_stale: bool,
) -> Option<Vec<u8>> {
    let patience = if has_stale { limits.patience.min(STALE_AFTER) } else { limits.patience };
    timeout(patience, race(errand, record, limits, entropy)).await.unwrap_or_default()
}

async fn race(errand: &Errand, record: &Arc<Record>, limits: &Limits, entropy: &dyn Entropy) -> Option<Vec<u8>> {
    let mut waiting = record.sorted(&errand.servers).into_iter();
    let mut asked: JoinSet<Option<Vec<u8>>> = JoinSet::new();
    let mut last = None;
    let ask = |asked: &mut JoinSet<_>, server: SocketAddr| {
        let mut id = [0; 2];
        entropy.fill(&mut id);
        let mut packet = errand.packet.clone();
        raw::set_id(&mut packet, u16::from_be_bytes(id));
        let (transport, record, patience) = (errand.transport, Arc::clone(record), limits.patience);
        asked.spawn(async move {
            let unheard = Unheard { record, server, heard: false };
            let began = Instant::now();
            let answer = timeout(patience, exchange::ask(server, transport, &packet)).await;
            unheard.told(answer.ok().and_then(Result::ok), began.elapsed())
        });
    };
    ask(&mut asked, waiting.next()?);
    let mut next = Moment::now() + limits.head_start;
    loop {
        tokio::select! {
            done = asked.join_next() => match done {
                Some(Ok(Some(answer))) if is_good(&answer) => return Some(answer),
                Some(outcome) => {
                    last = outcome.ok().flatten().or(last);
                    next = Moment::now();
                }
                None => return last,
            },
            () = sleep_until(next), if waiting.len() > 0 => {
                if let Some(server) = waiting.next() {
                    ask(&mut asked, server);
                }
                next = Moment::now() + limits.head_start;
            }
        }
        if asked.is_empty() {
            match waiting.next() {
                Some(server) => ask(&mut asked, server),
                None => return last,
            }
        }
    }
}

/// A server that was asked. If it is given up before it answered, that counts against it.
struct Unheard {
    record: Arc<Record>,
    server: SocketAddr,
    heard: bool,
}

impl Unheard {
    fn told(mut self, answer: Option<Vec<u8>>, took: Duration) -> Option<Vec<u8>> {
        self.heard = answer.as_deref().is_some_and(is_good);
        if self.heard {
            self.record.answered(self.server, took);
        }
        answer
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        if !self.heard {
            self.record.failed(self.server);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_failed_is_asked_after_who_answered() {
        let record = Record::default();
        let servers: Vec<SocketAddr> = [1, 2, 3].map(|last| ([10, 0, 0, last], 53).into()).to_vec();
        record.failed(servers[0]);
        assert_eq!(record.sorted(&servers), [servers[1], servers[2], servers[0]]);
        record.answered(servers[0], Duration::from_millis(1));
        assert_eq!(record.sorted(&servers), servers);
    }
}
