//! Whether the kernel still has what it was told.

use std::collections::{BTreeMap, HashMap};

use trestle_core::error::{Doing, Result};
use trestle_core::kernel::{Deviation, Drift};
use trestle_core::resource::Resource;

use super::Firewall;
use super::attribute::{Attributes, agree};
use super::dump::{self, Key, Standing};
use super::element::{Element, elements};
use super::ruleset::{CHAINS, Layout, TABLE};
use super::set::Set;
use super::statement::Chain;
use super::transaction;

type Elements = BTreeMap<Set, HashMap<Key, Vec<u8>>>;

impl Firewall {
    /// What of these resources is not in the kernel as it should be; [`Firewall::restore`] mends it.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub(in crate::firewall) fn verify(&mut self, resources: &[&Resource]) -> Result<Vec<Drift>> {
        let ours: Vec<&Resource> = resources.iter().copied().filter(|it| it.is_firewall()).collect();
        match ours.is_empty() {
            true => Ok(Vec::new()),
            false => self.deviations(&ours).doing(|| "verifying the firewall"),
        }
    }

    /// What is in our sets and maps beyond these resources, as text.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub(in crate::firewall) fn extra(&mut self, resources: &[&Resource]) -> Result<Vec<String>> {
        let mut present = self.present(Set::ALL).doing(|| "looking for what is left in the firewall")?;
        for element in resources.iter().flat_map(|it| elements(it)) {
            if let Some(there) = present.get_mut(&element.set) {
                there.remove(&dump::key(&element));
            }
        }
        let mut told: Vec<String> = present
            .iter()
            .flat_map(|(set, there)| {
                there.iter().map(|(key, it)| format!("{} in {}", dump::told(*set, key, it), set.name()))
            })
            .collect();
        told.sort();
        Ok(told)
    }

    fn deviations(&mut self, resources: &[&Resource]) -> Result<Vec<Drift>> {
        let table = |deviation, detail: String| vec![drift(format!("table inet {TABLE}"), deviation, detail)];
        match dump::standing(&mut self.socket, self.instance)? {
            Standing::Ours { asleep: false } => {}
            Standing::Ours { asleep: true } => {
                return Ok(table(Deviation::Altered, "somebody has made it dormant: it filters nothing".to_owned()));
            }
            Standing::Absent => return Ok(table(Deviation::Missing, "somebody has deleted it".to_owned())),
            Standing::Strangers { comment } => {
                let conflict = Standing::conflict(comment.as_deref());
                return Ok(table(Deviation::Obstructed, conflict.cause().to_owned()));
            }
        }
        let mut drifts = self.base_deviations()?;
        let wanted: Vec<(&Resource, Vec<Element>)> = resources.iter().map(|it| (*it, elements(it))).collect();
        let sets: Vec<Set> = wanted.iter().flat_map(|(_, all)| all.iter().map(|it| it.set)).collect();
        let present = self.present(sets)?;
        drifts.extend(wanted.iter().filter_map(|(resource, all)| deviation(resource, all, &present)));
        Ok(drifts)
    }

    /// What of chains, rules and sets is not as it should be.
    pub(super) fn base_deviations(&mut self) -> Result<Vec<Drift>> {
        let mut drifts = Vec::new();
        let chains = dump::chains(&mut self.socket)?;
        let mut rules: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
        for (chain, rule) in dump::rules(&mut self.socket)? {
            rules.entry(chain).or_default().push(rule);
        }
        for layout in &CHAINS {
            let name = layout.chain.name();
            let there = rules.get(name).map(Vec::as_slice).unwrap_or_default();
            if let Some((deviation, detail)) = chain_deviation(layout, chains.get(name).map(Vec::as_slice), there) {
                drifts.push(drift(format!("chain {name} of table inet {TABLE}"), deviation, detail));
            }
        }
        let sets = dump::sets(&mut self.socket)?;
        for set in Set::ALL {
            let (deviation, detail) = match sets.get(set.name()) {
                None => (Deviation::Missing, "somebody has deleted it"),
                Some(there) if !is_set(set, there) => (Deviation::Altered, "it is made in another way"),
                Some(_) => continue,
            };
            drifts.push(drift(format!("set {} of table inet {TABLE}", set.name()), deviation, detail.to_owned()));
        }
        Ok(drifts)
    }

    fn present(&mut self, sets: impl IntoIterator<Item = Set>) -> Result<Elements> {
        let mut present = Elements::new();
        for set in sets {
            if let std::collections::btree_map::Entry::Vacant(entry) = present.entry(set) {
                entry.insert(dump::elements(&mut self.socket, set)?.unwrap_or_default());
            }
        }
        Ok(present)
    }
}

/// Whether a chain in the kernel is made as ours; its rules aside.
pub(super) fn is_chain(layout: &Layout, there: &[u8]) -> bool {
    agree(&written(|it| transaction::chain(layout, it)), there)
}

/// Whether a set in the kernel is made as ours; its elements aside.
pub(super) fn is_set(set: Set, there: &[u8]) -> bool {
    agree(&written(|it| transaction::set(&set.definition(), it)), there)
}

fn drift(resource: String, deviation: Deviation, detail: String) -> Drift {
    Drift { resource, deviation, detail }
}

fn chain_deviation(layout: &Layout, chain: Option<&[u8]>, rules: &[Vec<u8>]) -> Option<(Deviation, String)> {
    let Some(chain) = chain else { return Some((Deviation::Missing, "somebody has deleted it".to_owned())) };
    if !is_chain(layout, chain) {
        return Some((Deviation::Altered, "it has another type, hook, priority or policy".to_owned()));
    }
    if layout.chain == Chain::Admin {
        return None;
    }
    let (expected, there) = (layout.rules.len(), rules.len());
    if expected != there {
        return Some((Deviation::Altered, format!("it should have {expected} rules and has {there}")));
    }
    let wrong = layout
        .rules
        .iter()
        .zip(rules)
        .position(|(ours, there)| !agree(&written(|it| transaction::rule(ours, it)), there))?;
    Some((Deviation::Altered, format!("its rule {} should be: {}", wrong + 1, layout.rules[wrong])))
}

/// What of a resource's elements is missing or altered, told of the first such element.
fn deviation(resource: &Resource, elements: &[Element], present: &Elements) -> Option<Drift> {
    let there = |it: &Element| present.get(&it.set).and_then(|set| set.get(&dump::key(it)));
    let told = |deviation, it: &Element, how: String| {
        Some(drift(resource.to_string(), deviation, format!("{it} in {} {how}", it.set.name())))
    };
    if let Some(missing) = elements.iter().find(|it| there(it).is_none()) {
        return told(Deviation::Missing, missing, "is not there".to_owned());
    }
    let altered = elements.iter().find_map(|it| {
        there(it).filter(|bytes| !agree(&written(|into| it.write_inside(true, into)), bytes)).map(|bytes| (it, bytes))
    });
    let (altered, bytes) = altered?;
    told(Deviation::Altered, altered, format!("says {}", dump::told(altered.set, &dump::key(altered), bytes)))
}

fn written(fill: impl FnOnce(&mut Attributes<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    fill(&mut Attributes::new(&mut bytes));
    bytes
}
