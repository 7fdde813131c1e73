//! What `iptables-save` tells of our chains, read.

use std::collections::{BTreeMap, BTreeSet};

use trestle_core::error::{Error, Result};

use super::Family;
use super::chain::{Chain, Holds, LAYOUTS, Layout, PREFIX, Table};
use super::rule::{Key, Rule, normal};

/// What of one family's rules concerns us.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The chains with names like ours, and their rules in order.
    chains: BTreeMap<(Table, String), Vec<Line>>,
    /// Rules of other chains that lead to chains with names like ours, in order.
    jumps: Vec<Jump>,
}

/// A rule that leads from a chain that is not ours to one with a name like ours.
#[derive(Debug)]
pub(super) struct Jump {
    /// In which table.
    pub(super) table: Table,
    /// In which chain.
    pub(super) from: String,
    /// The rule.
    pub(super) line: Line,
}

/// A rule as it is told.
#[derive(Debug)]
pub(super) struct Line {
    /// The words behind the chain's name.
    pub(super) text: String,
    /// The conditions; the comment aside.
    pub(super) conditions: String,
    /// What is done.
    pub(super) act: String,
    /// Its comment.
    comment: Option<String>,
}

impl Line {
    fn read(text: &str) -> Self {
        let (mut conditions, mut act, mut comment) = (Vec::new(), Vec::new(), None);
        let mut words = words(text).into_iter().peekable();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--comment" if act.is_empty() => comment = words.next(),
                "-m" if act.is_empty() && words.peek().is_some_and(|it| it == "comment") => drop(words.next()),
                "-j" | "-g" => act.push(word),
                _ if act.is_empty() => conditions.push(word),
                _ => act.push(word),
            }
        }
        Self { text: text.to_owned(), conditions: conditions.join(" "), act: act.join(" "), comment }
    }

    /// The chain that it leads to.
    pub(super) fn leads_to(&self) -> Option<&str> {
        self.act.split_whitespace().nth(1)
    }

    /// Whether it bears a mark.
    pub(super) fn bears(&self, mark: &str) -> bool {
        self.comment.as_deref() == Some(mark)
    }

    /// Whether it is this rule, with our mark.
    fn is(&self, conditions: &str, act: &str, mark: &str) -> bool {
        self.bears(mark) && self.act == act && normal(&self.conditions) == normal(conditions)
    }
}

/// Words as iptables writes them: parted by blanks, in quotes where they hold some.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quoted => word.extend(letters.next()),
            '"' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

impl Listing {
    /// Reads what `iptables-save` prints.
    pub(super) fn read(text: &str) -> Self {
        let mut listing = Self::default();
        let mut table = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = Table::named(name);
            }
            let Some(table) = table else { continue };
            if let Some(chain) = line.strip_prefix(':') {
                let name = chain.split(' ').next().unwrap_or_default();
                if name.starts_with(PREFIX) {
                    listing.chains.entry((table, name.to_owned())).or_default();
                }
            } else if let Some(rule) = line.strip_prefix("-A ") {
                let (chain, text) = rule.split_once(' ').unwrap_or((rule, ""));
                if chain.starts_with(PREFIX) {
                    listing.chains.entry((table, chain.to_owned())).or_default().push(Line::read(text));
                } else if text.contains(PREFIX) {
                    let line = Line::read(text);
                    if line.leads_to().is_some_and(|it| it.starts_with(PREFIX)) {
                        listing.jumps.push(Jump { table, from: chain.to_owned(), line });
                    }
                }
            }
        }
        listing
    }

    /// Refuses to take other people's chains for ours.
    ///
    /// # Errors
    /// `Conflict` that names the chain.
    pub(super) fn refuse_strangers(&self, family: Family, mark: &str) -> Result<()> {
        for ((table, name), lines) in &self.chains {
            if Layout::named(*table, name).is_none_or(|it| it.chain == Chain::User) {
                continue;
            }
            let place = || format!("chain {name} of table {} of {family}", table.name());
            let other = |it: &&Line| it.comment.as_deref().is_some_and(|it| it.starts_with("trestle ") && it != mark);
            if let Some(other) = lines.iter().find(other) {
                let whose = other.comment.as_deref().unwrap_or_default();
                return Err(Error::conflict(format!(
                    "{} belongs to another installation of Trestle ({whose}); one firewall serves one installation a network namespace",
                    place()
                )));
            }
            if !lines.is_empty() && !lines.iter().any(|it| it.bears(mark)) {
                return Err(Error::conflict(format!(
                    "{} was not made by us (its rules lack our mark); rename it, or empty it by: {family} -t {} -F {name}",
                    place(),
                    table.name()
                )));
            }
        }
        Ok(())
    }

    /// Whether anything of ours is there.
    pub(super) fn is_anything(&self) -> bool {
        self.chains.keys().any(|(table, name)| Layout::named(*table, name).is_some())
    }

    /// Whether people have rules in the chain that is theirs.
    pub(super) fn has_peoples_rules(&self) -> bool {
        self.lines(Chain::User).is_some_and(|it| !it.is_empty())
    }

    /// The rules of a chain in order; `None` if there is no such chain.
    pub(super) fn lines(&self, chain: Chain) -> Option<&[Line]> {
        self.chains.get(&(chain.table(), chain.name().to_owned())).map(Vec::as_slice)
    }

    /// The rules by which packets come to our chains.
    pub(super) fn jumps(&self) -> &[Jump] {
        &self.jumps
    }

    /// Chains that bear our mark, and that we make no more.
    pub(super) fn outdated<'a>(&'a self, table: Table, mark: &'a str) -> impl Iterator<Item = &'a str> {
        self.chains
            .iter()
            .filter(move |((its, name), lines)| {
                *its == table && Layout::named(table, name).is_none() && lines.iter().any(|it| it.bears(mark))
            })
            .map(|((_, name), _)| name.as_str())
    }

    /// Rules that stand where ours do, whoever made them: our own with their key, others as they are told.
    pub(super) fn entries(&self, family: Family, mark: &str) -> (BTreeMap<Key, Rule>, Vec<String>) {
        let (mut ours, mut others) = (BTreeMap::new(), Vec::new());
        for layout in LAYOUTS.iter().filter(|it| matches!(it.holds, Holds::Entries)) {
            for line in self.lines(layout.chain).unwrap_or_default() {
                let (conditions, act) = (line.conditions.clone(), line.act.clone());
                let rule = Rule { family, chain: layout.chain, conditions, act };
                if !line.bears(mark) || ours.insert(rule.key(), rule).is_some() {
                    others.push(format!("{} in {} of {family}", line.text, layout.chain.name()));
                }
            }
        }
        (ours, others)
    }

    /// What of the chains and the rules in them that never change is not as it should be: the chain, and how.
    pub(super) fn base_deviations(&self, family: Family, mark: &str) -> Vec<(Chain, bool, String)> {
        let mut found = Vec::new();
        for layout in &LAYOUTS {
            let Some(lines) = self.lines(layout.chain) else {
                found.push((layout.chain, true, "somebody has deleted it".to_owned()));
                continue;
            };
            if let Some(from) = layout.entered_from.filter(|_| !self.has_one_way(layout, mark)) {
                found.push((layout.chain, false, format!("not one rule of ours leads there from {from}")));
            }
            let Holds::Rules(_) = layout.holds else { continue };
            let expected: Vec<_> = layout.rules(family).collect();
            if expected.len() != lines.len() {
                let told = format!("it should have {} rules and has {}", expected.len(), lines.len());
                found.push((layout.chain, false, told));
            } else if let Some(wrong) = expected.iter().zip(lines).position(|(it, line)| !line.is(it.0, it.1, mark)) {
                let (conditions, act) = expected[wrong];
                found.push((layout.chain, false, format!("its rule {} should be: {conditions} {act}", wrong + 1)));
            }
        }
        found
    }

    /// Whether it is the rule by which packets come to that chain.
    pub(super) fn is_way(&self, jump: &Jump, to: &Layout, mark: &str) -> bool {
        let act = format!("-j {}", to.chain.name());
        jump.table == to.table && to.entered_from == Some(&jump.from) && jump.line.is("", &act, mark)
    }

    /// Whether just one rule of ours leads to that chain from where it should.
    pub(super) fn has_one_way(&self, to: &Layout, mark: &str) -> bool {
        self.jumps.iter().filter(|it| self.is_way(it, to, mark)).count() == 1
    }

    /// The chains that rules of others lead to: they can't be deleted.
    pub(super) fn held_by_others<'a>(&'a self, mark: &str) -> BTreeSet<(Table, &'a str)> {
        let others = self.jumps.iter().filter(|it| !it.line.bears(mark));
        others.filter_map(|it| Some((it.table, it.line.leads_to()?))).collect()
    }

    /// The names of all chains of ours that are there, in a table.
    pub(super) fn ours(&self, table: Table) -> impl Iterator<Item = &str> {
        LAYOUTS.iter().filter(move |it| it.table == table && self.lines(it.chain).is_some()).map(|it| it.chain.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "# Generated\n*filter\n:FORWARD ACCEPT [0:0]\n:TRESTLE-OUT - [0:0]\n:TRESTLE-USER - [0:0]\n\
        -A FORWARD -m comment --comment \"trestle 00000a\" -j TRESTLE-FORWARD\n-A FORWARD -j OTHER\n\
        -A TRESTLE-OUT -i br0 -m comment --comment \"trestle 00000a\" -j ACCEPT\n\
        -A TRESTLE-USER -s 10.0.0.1/32 -m comment --comment \"a \\\"b\\\" -j\" -j DROP\nCOMMIT\n";

    #[test]
    fn what_is_ours_is_told_from_what_is_not() {
        let listing = Listing::read(SAVED);
        assert_eq!(listing.jumps().len(), 1);
        assert!(listing.has_peoples_rules());
        assert_eq!(listing.lines(Chain::User).unwrap()[0].comment.as_deref(), Some("a \"b\" -j"));
        assert!(listing.refuse_strangers(Family::V4, "trestle 00000a").is_ok());
        let conflict = listing.refuse_strangers(Family::V4, "trestle 00000b").unwrap_err();
        assert!(conflict.cause().contains("trestle 00000a"), "{conflict}");
        let stranger = SAVED.replace("trestle 00000a", "somebody");
        let conflict = Listing::read(&stranger).refuse_strangers(Family::V4, "trestle 00000a").unwrap_err();
        assert!(conflict.cause().contains("TRESTLE-OUT"), "{conflict}");
    }
}
