//! What `iptables-restore` is given: as little as possible for a change, or all of our chains anew. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Family;
use super::chain::{Chain, Holds, LAYOUTS, Table};
use super::listing::{Jump, Listing};
use super::rule::{Key, Rule, marked};

/// Input for `iptables-restore --noflush`: each table of it is taken whole or not at all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Input {
    lines: BTreeMap<Table, Vec<String>>,
    /// What guards goes last.
    closing: bool,
}

impl Input {
    /// Whether it asks for nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many tables it changes.
    pub(super) fn tables(&self) -> usize {
        self.lines.len()
    }

    /// The text, with the tables in the order in which they are changed.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut tables: Vec<_> = self.lines.iter().collect();
        if self.closing {
            tables.reverse();
        }
        for (table, lines) in tables {
            writeln!(text, "*{}\n{}\nCOMMIT", table.name(), lines.join("\n")).expect("a string takes everything");
        }
        text
    }

    fn add(&mut self, table: Table, line: String) {
        self.lines.entry(table).or_default().push(line);
    }

    fn append(&mut self, chain: Chain, conditions: &str, act: &str, mark: &str) {
        self.add(chain.table(), format!("-A {} {}", chain.name(), marked(conditions, act, mark)));
    }

    /// Rules of one family that go, and such that come. All of those that go have to be there.
    pub(super) fn change<'a>(
        gone: impl IntoIterator<Item = &'a Rule>,
        come: impl IntoIterator<Item = &'a Rule>,
        mark: &str,
    ) -> Self {
        let mut input = Self::default();
        for rule in gone {
            let words = marked(&rule.conditions, &rule.act, mark);
            input.add(rule.chain.table(), format!("-D {} {words}", rule.chain.name()));
        }
        for rule in come {
            input.append(rule.chain, &rule.conditions, &rule.act, mark);
        }
        input
    }

    /// All of our chains of a family anew, with these rules in them, whatever is there; but people's own chain stays as
    /// it is, and so does what leads to ours if it is right.
    pub(super) fn whole<'a>(
        family: Family,
        listing: &Listing,
        rules: impl IntoIterator<Item = &'a Rule>,
        mark: &str,
    ) -> Self {
        let mut input = Self::default();
        for layout in &LAYOUTS {
            // To name a chain so empties it, or makes it.
            if !matches!(layout.holds, Holds::Peoples) || listing.lines(layout.chain).is_none() {
                input.add(layout.table, format!(":{} - [0:0]", layout.chain.name()));
            }
        }
        for layout in &LAYOUTS {
            for (conditions, act) in layout.rules(family) {
                input.append(layout.chain, conditions, act, mark);
            }
        }
        for rule in rules {
            input.append(rule.chain, &rule.conditions, &rule.act, mark);
        }
        let right =
            |jump: &&Jump| LAYOUTS.iter().any(|it| listing.is_way(jump, it, mark) && listing.has_one_way(it, mark));
        for jump in listing.jumps().iter().filter(|it| it.line.bears(mark)).filter(|it| !right(it)) {
            input.add(jump.table, format!("-D {} {}", jump.from, jump.line.text));
        }
        for layout in LAYOUTS.iter().filter(|it| !listing.has_one_way(it, mark)) {
            if let Some(from) = layout.entered_from {
                let words = marked("", &format!("-j {}", layout.chain.name()), mark);
                input.add(layout.table, format!("-I {from} 1 {words}"));
            }
        }
        let held = listing.held_by_others(mark);
        for table in Table::ALL {
            for outdated in listing.outdated(table, mark) {
                input.add(table, format!("-F {outdated}"));
                if !held.contains(&(table, outdated)) {
                    input.add(table, format!("-X {outdated}"));
                }
            }
        }
        input
    }

    /// Everything of ours taken away.
    pub(super) fn nothing(listing: &Listing, mark: &str) -> Self {
        let mut input = Self { closing: true, ..Self::default() };
        for jump in listing.jumps().iter().filter(|it| it.line.bears(mark)) {
            input.add(jump.table, format!("-D {} {}", jump.from, jump.line.text));
        }
        let held = listing.held_by_others(mark);
        for table in Table::ALL {
            let chains: Vec<&str> = listing.ours(table).chain(listing.outdated(table, mark)).collect();
            for chain in &chains {
                input.add(table, format!("-F {chain}"));
            }
            for chain in chains.into_iter().filter(|it| !held.contains(&(table, *it))) {
                input.add(table, format!("-X {chain}"));
            }
        }
        input
    }
}

/// The rules of one family.
pub(super) fn of(family: Family, rules: &BTreeMap<Key, Rule>) -> impl Iterator<Item = &Rule> {
    rules.values().filter(move |it| it.family == family)
}
