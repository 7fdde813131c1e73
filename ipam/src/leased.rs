//! A set of addresses, of which any number may be absent between two present ones: a bitmap in words of 64, with a
//! summary level that knows the full words. Both levels hold only what is leased.
//!
//! `benches/allocate.rs`, a lease and its release beside those of an empty /16: half-full (every other address) 1.1,
//! full but one 2.5 (it looks for another than the one just released), a /64 with 65,534 leased 1.0. Runs alone,
//! without the bitmap, took 6.2 in the half-full one.

use std::collections::HashMap;

use crate::runs::Runs;
use crate::span::Span;

const WORD: u128 = u64::BITS as u128;

/// Leased addresses, by number.
#[derive(Debug, Default)]
pub(crate) struct Leased {
    /// Words with any bit set.
    words: HashMap<u128, u64>,
    /// Words with every bit set.
    full: Runs,
}

impl Leased {
    pub(crate) fn contains(&self, number: u128) -> bool {
        self.word(number / WORD) & bit(number) != 0
    }

    pub(crate) fn insert(&mut self, number: u128) {
        let index = number / WORD;
        let word = self.words.entry(index).or_default();
        *word |= bit(number);
        if *word == u64::MAX {
            self.full.insert(Span { first: index, last: index });
        }
    }

    /// Says whether it was there.
    pub(crate) fn remove(&mut self, number: u128) -> bool {
        if !self.contains(number) {
            return false;
        }
        let index = number / WORD;
        self.full.remove(index);
        match self.word(index) & !bit(number) {
            0 => self.words.remove(&index),
            left => self.words.insert(index, left),
        };
        true
    }

    /// The lowest number of the span that is not in the set.
    pub(crate) fn lowest_absent(&self, span: Span) -> Option<u128> {
        let index = span.first / WORD;
        let below = bit(span.first) - 1;
        let absent = match self.word(index) | below {
            u64::MAX => {
                let index = self.full.lowest_absent(Span { first: index + 1, last: span.last / WORD })?;
                index * WORD + u128::from(self.word(index).trailing_ones())
            }
            word => index * WORD + u128::from(word.trailing_ones()),
        };
        span.contains(absent).then_some(absent)
    }

    fn word(&self, index: u128) -> u64 {
        self.words.get(&index).copied().unwrap_or_default()
    }
}

/// The bit of a number in its word.
fn bit(number: u128) -> u64 {
    1 << (number % WORD)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn leased_addresses_agree_with_a_plain_set(
            steps in prop::collection::vec((any::<bool>(), 0u128..300, 0u128..150), 1..60),
            base in prop::sample::select(vec![0, 0xffff_fe00, u128::MAX - 511]),
        ) {
            let (mut leased, mut plain) = (Leased::default(), BTreeSet::new());
            for (insert, first, more) in steps {
                let span = Span { first: base + first, last: base + first + more };
                for number in span.first..=span.last {
                    if insert {
                        leased.insert(number);
                        plain.insert(number);
                    } else {
                        prop_assert_eq!(leased.remove(number), plain.remove(&number));
                    }
                }
                for first in (0..512).step_by(7) {
                    let span = Span { first: base + first, last: base + 511 };
                    prop_assert_eq!(leased.contains(span.first), plain.contains(&span.first));
                    let absent = (span.first..=span.last).find(|it| !plain.contains(it));
                    prop_assert_eq!(leased.lowest_absent(span), absent);
                }
            }
        }

        #[test]
        fn what_is_released_takes_no_room(numbers in prop::collection::vec(0u128..500, 0..400)) {
            let mut leased = Leased::default();
            numbers.iter().for_each(|number| leased.insert(*number));
            numbers.iter().for_each(|number| { leased.remove(*number); });
            prop_assert!(leased.words.is_empty());
        }
    }
}
