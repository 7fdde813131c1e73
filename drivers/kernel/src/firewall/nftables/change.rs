//! What a change of resources comes to in elements. Pure.

use std::collections::BTreeSet;

use trestle_core::resource::Resource;

use super::element::{Element, elements};

/// Elements to take out and to put in, and what becomes of the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Whether the table itself is asked for.
    pub base: bool,
    /// Whether the table is to be deleted, with all that is in it.
    pub no_base: bool,
    /// Elements that go.
    pub gone: Vec<Element>,
    /// Elements that come.
    pub come: Vec<Element>,
}

impl Change {
    /// From what is removed, what changes (before and after), and what is added. What a changed resource has before
    /// and after alike is left alone.
    pub(super) fn between(removed: &[&Resource], changed: &[(&Resource, &Resource)], added: &[&Resource]) -> Self {
        let mut gone: BTreeSet<Element> = removed.iter().flat_map(|it| elements(it)).collect();
        let mut come: BTreeSet<Element> = added.iter().flat_map(|it| elements(it)).collect();
        for (before, after) in changed {
            let (before, after) = (BTreeSet::from_iter(elements(before)), BTreeSet::from_iter(elements(after)));
            gone.extend(before.difference(&after).cloned());
            come.extend(after.difference(&before).cloned());
        }
        gone.retain(|element| !come.contains(element));
        let base = added.iter().any(|it| **it == Resource::FirewallBase);
        Self {
            base,
            no_base: !base && come.is_empty() && removed.iter().any(|it| **it == Resource::FirewallBase),
            gone: gone.into_iter().collect(),
            come: come.into_iter().collect(),
        }
    }

    /// Whether there is nothing to be done.
    pub(super) fn is_empty(&self) -> bool {
        !self.base && !self.no_base && self.gone.is_empty() && self.come.is_empty()
    }

    /// Whether the table has to stand for it.
    pub(super) fn needs_base(&self) -> bool {
        self.base || !self.come.is_empty()
    }
}
