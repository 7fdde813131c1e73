//! Which generations of nf_tables' rules were made for us by programs that we started.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many changes are remembered; whoever hears of them later than that takes them for somebody else's, and looks.
const REMEMBERED: usize = 256;

/// The generations that our changes made. Whoever changes something holds the lock meanwhile, so that nobody who hears
/// of a change judges it before it is known whose it is.
#[derive(Debug, Default)]
pub(super) struct Generations(Mutex<VecDeque<Span>>);

/// A change of ours: the generation before it, and how many came of it.
#[derive(Clone, Copy, Debug)]
struct Span {
    before: u32,
    count: u32,
}

/// The right to change something, until it is known what came of it.
pub(super) struct Changing<'a>(MutexGuard<'a, VecDeque<Span>>);

impl Generations {
    /// Begins a change.
    pub(super) fn changing(&self) -> Changing<'_> {
        Changing(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a change of ours made this one. Waits for the one that is under way.
    pub(super) fn have(&self, generation: u32) -> bool {
        let spans = self.changing();
        spans.0.iter().any(|span| (1..=span.count).contains(&generation.wrapping_sub(span.before)))
    }
}

impl Changing<'_> {
    /// Ends the change: it made at most so many generations. If there are more, others' are among them, and nobody can
    /// tell which: then none is taken for ours.
    pub(super) fn end(mut self, before: u32, after: u32, most: usize) {
        let count = after.wrapping_sub(before);
        if count == 0 || usize::try_from(count).is_ok_and(|it| it > most) {
            return;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(Span { before, count });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_was_ours_is_taken_for_ours() {
        let generations = Generations::default();
        generations.changing().end(10, 12, 2);
        assert_eq!([10, 11, 12, 13].map(|it| generations.have(it)), [false, true, true, false]);
        // Somebody was quicker in between.
        generations.changing().end(20, 23, 2);
        assert!(!generations.have(21));
    }
}
