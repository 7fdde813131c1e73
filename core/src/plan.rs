//! An ordered list of resources: what a driver answers with, what is stored, what the kernel layer makes so.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::IfName;
use crate::resource::{Identity, Namespace, Resource};
use crate::run::Listed;

/// What shall be in the kernel, in the order in which it is made; it is removed in the reverse order. Clones share it:
/// a plan goes from driver to record to kernel, and is read on the way, not written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan(Arc<Vec<Resource>>);

/// What lies between two plans. A resource stands in one of the three, or in none if it stays as it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    /// In the second alone, in its order.
    pub added: Vec<&'a Resource>,
    /// In both, with other values: `(before, after)`, in the second's order.
    pub changed: Vec<(&'a Resource, &'a Resource)>,
    /// In the first alone, in the reverse of its order.
    pub removed: Vec<&'a Resource>,
}

impl Plan {
    /// A plan of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The resources in order.
    pub fn resources(&self) -> &[Resource] {
        &self.0
    }

    /// The same with another name for a link in a sandbox, and for all that goes with it.
    #[must_use]
    pub fn with_link_named(&self, namespace: &Namespace, before: &IfName, after: &IfName) -> Self {
        self.0.iter().map(|it| it.with_link_named(namespace, before, after)).collect()
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one more resource at the end.
    pub fn push(&mut self, resource: Resource) {
        Arc::make_mut(&mut self.0).push(resource);
    }

    /// This plan, then the other.
    #[must_use]
    pub fn then(mut self, other: &Plan) -> Self {
        if self.is_empty() {
            return other.clone();
        }
        if !other.is_empty() {
            Arc::make_mut(&mut self.0).extend_from_slice(&other.0);
        }
        self
    }

    /// All of these plans, in order; what several of them hold stands once, where it stood first.
    pub fn union<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Self {
        let mut seen = BTreeSet::new();
        let resources = plans.into_iter().flat_map(|plan| plan.0.iter());
        resources.filter(|resource| seen.insert(resource.identity())).cloned().collect()
    }

    /// This plan without what any of the others holds too: what may go when the others stay.
    #[must_use]
    pub fn without<'a>(&self, others: impl IntoIterator<Item = &'a Plan>) -> Self {
        let held: BTreeSet<Identity<'_>> =
            others.into_iter().flat_map(|plan| plan.0.iter().map(Resource::identity)).collect();
        self.0.iter().filter(|resource| !held.contains(&resource.identity())).cloned().collect()
    }

    /// What has to be done to get from this plan to the next. What stands in both, unchanged, is not touched.
    pub fn difference<'a>(&'a self, next: &'a Plan) -> Difference<'a> {
        if self.is_empty() {
            return Difference { added: next.0.iter().collect(), changed: Vec::new(), removed: Vec::new() };
        }
        if next.is_empty() {
            return Difference { added: Vec::new(), changed: Vec::new(), removed: self.0.iter().rev().collect() };
        }
        let after: HashSet<Identity<'_>> = next.0.iter().map(Resource::identity).collect();
        let both = self.0.iter().map(|it| (it.identity(), it)).filter(|(identity, _)| after.contains(identity));
        let before: HashMap<Identity<'_>, &Resource> = both.collect();
        let mut difference = Difference { added: Vec::new(), changed: Vec::new(), removed: Vec::new() };
        for resource in next.0.iter() {
            match before.get(&resource.identity()) {
                None => difference.added.push(resource),
                Some(old) if *old == resource => {}
                Some(old) => difference.changed.push((old, resource)),
            }
        }
        difference.removed = self.0.iter().rev().filter(|it| !after.contains(&it.identity())).collect();
        difference
    }
}

impl FromIterator<Resource> for Plan {
    fn from_iter<I: IntoIterator<Item = Resource>>(resources: I) -> Self {
        Self(Arc::new(resources.into_iter().collect()))
    }
}

impl From<Vec<Resource>> for Plan {
    fn from(resources: Vec<Resource>) -> Self {
        Self(Arc::new(resources))
    }
}

impl Listed for Plan {
    type Item = Resource;

    fn items(&self) -> &[Resource] {
        &self.0
    }

    fn of_items(items: Vec<Resource>) -> Self {
        items.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Hairpin, MAIN_TABLE, Namespace, Route};

    fn hairpin(last: u8) -> Resource {
        Resource::Hairpin(Hairpin { address: [10, 0, 0, last].into() })
    }

    fn default_route(link: &str) -> Resource {
        Resource::Route(Route {
            namespace: Namespace::Host,
            table: MAIN_TABLE,
            destination: "0.0.0.0/0".parse().unwrap(),
            gateway: None,
            link: link.try_into().unwrap(),
        })
    }

    #[test]
    fn what_stays_is_in_no_difference() {
        let (first, second) = (
            Plan::from(vec![hairpin(1), hairpin(2), default_route("eth0")]),
            Plan::from(vec![hairpin(2), default_route("eth1"), hairpin(3)]),
        );
        let difference = first.difference(&second);
        assert_eq!(difference.added, [&hairpin(3)]);
        assert_eq!(difference.removed, [&hairpin(1)]);
        assert_eq!(difference.changed, [(&default_route("eth0"), &default_route("eth1"))]);
    }

    #[test]
    fn a_union_holds_everything_once() {
        let (first, second) = (Plan::from(vec![hairpin(1), hairpin(2)]), Plan::from(vec![hairpin(2), hairpin(3)]));
        assert_eq!(Plan::union([&first, &second]), Plan::from(vec![hairpin(1), hairpin(2), hairpin(3)]));
    }

    #[test]
    fn what_another_plan_holds_too_stays() {
        let plan = Plan::from(vec![Resource::FirewallBase, hairpin(1)]);
        assert_eq!(plan.without([&Plan::from(vec![Resource::FirewallBase])]), Plan::from(vec![hairpin(1)]));
        assert_eq!(plan.without([&Plan::new()]), plan);
    }
}
