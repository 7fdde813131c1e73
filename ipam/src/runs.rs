//! A set of numbers, kept as runs of neighbours: its gaps are found without looking at its members.

use std::collections::BTreeMap;

use crate::span::Span;

/// First number of each run to its last. Two runs never touch, so the number after a run is always free.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs(BTreeMap<u128, u128>);

impl Runs {
    /// Adds all numbers of the span.
    pub(crate) fn insert(&mut self, span: Span) {
        let Span { mut first, mut last } = span;
        while let Some((&start, &end)) = self.0.range(..=last.saturating_add(1)).next_back() {
            if end.saturating_add(1) < first {
                break;
            }
            self.0.remove(&start);
            (first, last) = (first.min(start), last.max(end));
        }
        self.0.insert(first, last);
    }

    /// Takes one number out; says whether it was there.
    pub(crate) fn remove(&mut self, number: u128) -> bool {
        let Some(run) = self.run_of(number) else {
            return false;
        };
        self.0.remove(&run.first);
        if run.first < number {
            self.0.insert(run.first, number - 1);
        }
        if number < run.last {
            self.0.insert(number + 1, run.last);
        }
        true
    }

    /// The lowest number of the span that is not in the set.
    pub(crate) fn lowest_absent(&self, span: Span) -> Option<u128> {
        let absent = match self.run_of(span.first) {
            None => span.first,
            Some(run) => run.last.checked_add(1)?,
        };
        span.contains(absent).then_some(absent)
    }

    /// The highest run that has numbers of the span.
    pub(crate) fn highest_within(&self, span: Span) -> Option<Span> {
        let (&first, &last) = self.0.range(..=span.last).next_back()?;
        (last >= span.first).then_some(Span { first, last })
    }

    fn run_of(&self, number: u128) -> Option<Span> {
        self.highest_within(Span { first: number, last: number })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_agree_with_a_plain_set(steps in prop::collection::vec((any::<bool>(), 0u128..60, 0u128..6), 1..80)) {
            let (mut runs, mut plain) = (Runs::default(), BTreeSet::new());
            for (insert, first, more) in steps {
                let span = Span { first, last: first + more };
                if insert {
                    runs.insert(span);
                    plain.extend(span.first..=span.last);
                } else {
                    prop_assert_eq!(runs.remove(first), plain.remove(&first));
                }
                for number in 0..70 {
                    prop_assert_eq!(runs.run_of(number).is_some(), plain.contains(&number));
                }
                prop_assert_eq!(runs.lowest_absent(span), (span.first..=span.last).find(|it| !plain.contains(it)));
                prop_assert_eq!(runs.highest_within(span).is_some(), plain.range(span.first..=span.last).next().is_some());
                prop_assert!(runs.0.iter().zip(runs.0.iter().skip(1)).all(|((_, end), (start, _))| end + 1 < *start));
            }
        }
    }

    #[test]
    fn the_highest_number_of_all_has_nothing_after_it() {
        let mut runs = Runs::default();
        runs.insert(Span { first: u128::MAX - 1, last: u128::MAX });
        runs.insert(Span { first: u128::MAX, last: u128::MAX });
        assert_eq!(runs.lowest_absent(Span { first: u128::MAX, last: u128::MAX }), None);
        assert!(runs.remove(u128::MAX));
        assert_eq!(runs.lowest_absent(Span { first: u128::MAX - 1, last: u128::MAX }), Some(u128::MAX));
    }
}
