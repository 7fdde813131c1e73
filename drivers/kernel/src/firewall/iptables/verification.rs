//! Whether iptables still has what it was told.

use std::collections::BTreeMap;

use trestle_core::error::{Doing, ErrorKind, Result};
use trestle_core::kernel::{Deviation, Drift};
use trestle_core::resource::Resource;

use super::rule::{Key, Rule, rules};
use super::{Family, Firewall};

impl Firewall {
    /// See [`crate::firewall::Firewall::verify`].
    pub(in crate::firewall) fn verify(&mut self, resources: &[&Resource]) -> Result<Vec<Drift>> {
        let ours: Vec<&Resource> = resources.iter().copied().filter(|it| it.is_firewall()).collect();
        match ours.is_empty() {
            true => Ok(Vec::new()),
            false => self.deviations(&ours).doing(|| "verifying the firewall"),
        }
    }

    /// See [`crate::firewall::Firewall::extra`].
    pub(in crate::firewall) fn extra(&mut self, resources: &[&Resource]) -> Result<Vec<String>> {
        let wanted: BTreeMap<Key, Rule> = resources.iter().flat_map(|it| rules(it)).map(|it| (it.key(), it)).collect();
        let mut told = Vec::new();
        for (family, listing) in self.listings().doing(|| "looking for what is left in the firewall")? {
            if listing.refuse_strangers(family, &self.mark).is_err() {
                continue;
            }
            let (ours, others) = listing.entries(family, &self.mark);
            let unwanted = ours.into_iter().filter(|(key, _)| !wanted.contains_key(key));
            told.extend(unwanted.map(|(_, rule)| place(&rule)));
            told.extend(others);
        }
        told.sort();
        Ok(told)
    }

    fn deviations(&self, resources: &[&Resource]) -> Result<Vec<Drift>> {
        let mut drifts = Vec::new();
        let mut present: BTreeMap<Key, Rule> = BTreeMap::new();
        let families: Vec<Family> = self.programs.families().collect();
        for (family, listing) in self.listings()? {
            match listing.refuse_strangers(family, &self.mark) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    drifts.push(Drift {
                        resource: format!("chains of {family}"),
                        deviation: Deviation::Obstructed,
                        detail: error.cause().to_owned(),
                    });
                    continue;
                }
                Err(error) => return Err(error),
            }
            let base = listing.base_deviations(family, &self.mark);
            drifts.extend(base.into_iter().map(|(chain, missing, detail)| Drift {
                resource: format!("chain {} of table {} of {family}", chain.name(), chain.table().name()),
                deviation: if missing { Deviation::Missing } else { Deviation::Altered },
                detail,
            }));
            present.extend(listing.entries(family, &self.mark).0);
        }
        if drifts.iter().any(|it| it.deviation == Deviation::Obstructed) {
            return Ok(drifts);
        }
        drifts.extend(resources.iter().filter_map(|resource| deviation(resource, &families, &present)));
        Ok(drifts)
    }
}

/// What of a resource's rules is missing or altered, told of the first such rule.
fn deviation(resource: &Resource, families: &[Family], present: &BTreeMap<Key, Rule>) -> Option<Drift> {
    let drift = |deviation, detail| Some(Drift { resource: resource.to_string(), deviation, detail });
    let wanted: Vec<Rule> = rules(resource).into_iter().filter(|it| families.contains(&it.family)).collect();
    if let Some(missing) = wanted.iter().find(|it| !present.contains_key(&it.key())) {
        return drift(Deviation::Missing, format!("{} is not there", place(missing)));
    }
    let (rule, there) =
        wanted.iter().filter_map(|it| Some((it, present.get(&it.key())?))).find(|(it, there)| it.act != there.act)?;
    drift(Deviation::Altered, format!("{} says {}", place(rule), there.act))
}

/// A rule as a person would find it.
fn place(rule: &Rule) -> String {
    format!("{} {} in {} of {}", rule.conditions, rule.act, rule.chain.name(), rule.family)
}
