//! What a change of resources comes to in elements. Pure.

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
        let mut gone: Vec<Element> = removed.iter().flat_map(|it| elements(it)).collect();
        let mut come: Vec<Element> = added.iter().flat_map(|it| elements(it)).collect();
        for (before, after) in changed {
            let (before, after) = (elements(before), elements(after));
            gone.extend(before.iter().filter(|it| !after.contains(it)).cloned());
            come.extend(after.into_iter().filter(|it| !before.contains(it)));
        }
        [&mut gone, &mut come].into_iter().for_each(in_order);
        gone.retain(|element| come.binary_search(element).is_err());
        let base = added.iter().any(|it| **it == Resource::FirewallBase);
        Self {
            base,
            no_base: !base && come.is_empty() && removed.iter().any(|it| **it == Resource::FirewallBase),
            gone,
            come,
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

/// Sorts, and leaves each out that stands there twice. Ports mostly come in order, set by set: sorted by set first, a
/// second sort finds them in order already.
fn in_order(elements: &mut Vec<Element>) {
    elements.sort_by_key(|it| it.set);
    elements.sort();
    elements.dedup();
}
