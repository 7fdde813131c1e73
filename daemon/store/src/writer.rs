//! What stands, and what commits make of it: one transaction of all that wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use trestle_core::error::{Doing, Error, Result};
use trestle_core::store::{Key, Record, Revision};

use crate::commit::{Commit, Durable, Step, answer};
use crate::envelope;
use crate::pair::Pair;
use crate::record_file::Rows;

/// What stands of a record.
#[derive(Clone, Debug)]
struct Standing {
    revision: Revision,
    /// What is in the durable file.
    durable: Option<Arc<Record>>,
    /// Whether it is in the runtime file.
    runtime: bool,
}

/// Writes, and knows what stands.
#[derive(Debug)]
pub(crate) struct Writer {
    pair: Pair,
    standing: HashMap<Key, Standing>,
    revision: Revision,
}

/// Commits on their way into one transaction.
struct Group<'a> {
    standing: &'a HashMap<Key, Standing>,
    next: Next,
}

/// What will stand once it is written.
#[derive(Default)]
struct Next {
    /// `None` is nothing.
    standing: HashMap<Key, Option<Standing>>,
    durable: Rows,
    runtime: Rows,
    revision: Revision,
}

impl Writer {
    pub(crate) fn new(pair: Pair) -> Result<Self> {
        let revision = pair.revision()?;
        let mut standing = HashMap::new();
        for (place, sealed) in pair.durable()? {
            let (record, revision) = envelope::open(&place, &sealed)?;
            let key = record.key();
            standing.insert(key, Standing { revision, durable: Some(Arc::new(record)), runtime: false });
        }
        for (place, sealed) in pair.runtime() {
            let (record, revision) = envelope::open(place, sealed)?;
            let beneath = standing.remove(&record.key());
            let revision = beneath.as_ref().map_or(revision, |beneath| revision.max(beneath.revision));
            let durable = beneath.and_then(|beneath| beneath.durable);
            standing.insert(record.key(), Standing { revision, durable, runtime: true });
        }
        Ok(Self { pair, standing, revision })
    }

    /// Makes the commit if it leaves the durable file alone; `None` if not.
    pub(crate) fn commit_at_once(&mut self, steps: &[Step], expected: &[(Key, Revision)]) -> Option<Result<Revision>> {
        let mut group = self.group();
        let taken = group.take(steps, expected);
        let next = group.next;
        if !next.durable.is_empty() {
            return None;
        }
        Some(taken.and_then(|revision| self.write(next).doing(|| "storing").map(|()| revision)))
    }

    /// Makes all of them that can be made as one.
    pub(crate) fn commit(&mut self, commits: Vec<Commit>) {
        if commits.is_empty() {
            return;
        }
        let mut group = self.group();
        let answers: Vec<_> =
            commits.into_iter().map(|commit| (group.take(&commit.steps, &commit.expected), commit.reply)).collect();
        let next = group.next;
        let written = self.write(next);
        for (taken, reply) in answers {
            let failed = |cause: &Error| Error::new(cause.kind(), cause.to_string()).doing("storing");
            answer(reply, taken.and_then(|revision| written.as_ref().map(|()| revision).map_err(failed)));
        }
    }

    /// Every record with its revision.
    pub(crate) fn load(&self) -> Result<Vec<(Record, Revision)>> {
        let mut sealed: BTreeMap<String, String> = self.pair.durable()?.into_iter().collect();
        sealed.extend(self.pair.runtime().clone());
        let records = sealed.iter().map(|(place, sealed)| {
            let (record, revision) = envelope::open(place, sealed)?;
            let revision = self.standing.get(&record.key()).map_or(revision, |standing| standing.revision);
            Ok((record, revision))
        });
        records.collect()
    }

    fn group(&self) -> Group<'_> {
        Group { standing: &self.standing, next: Next { revision: self.revision, ..Next::default() } }
    }

    fn write(&mut self, next: Next) -> Result<()> {
        let Next { standing, durable, runtime, revision } = next;
        // A failed one may have left its revision in a file; it is never used again.
        self.revision = revision;
        self.pair.write(durable, runtime, revision)?;
        for (key, standing) in standing {
            match standing {
                Some(standing) => self.standing.insert(key, standing),
                None => self.standing.remove(&key),
            };
        }
        Ok(())
    }
}

impl Group<'_> {
    /// Takes one commit in, or nothing of it.
    fn take(&mut self, steps: &[Step], expected: &[(Key, Revision)]) -> Result<Revision> {
        for (key, seen) in expected {
            let stands = self.stands(*key).map(|standing| standing.revision).unwrap_or_default();
            if stands != *seen {
                let place = envelope::place(*key);
                return Err(Error::conflict(format!(
                    "{place} was changed meanwhile: it has revision {}, not {}",
                    stands.0, seen.0
                )));
            }
        }
        self.next.revision.0 += 1;
        for step in steps {
            match step {
                Step::Put { key, whole, durable } => self.put(*key, whole, durable),
                Step::Remove(key) => self.remove(*key),
            }
        }
        Ok(self.next.revision)
    }

    fn put(&mut self, key: Key, whole: &str, durable: &Durable) {
        let revision = self.next.revision;
        let (stood_durable, stood_runtime) =
            self.stands(key).map_or((None, false), |standing| (standing.durable.clone(), standing.runtime));
        let place = envelope::place(key);
        let sealed = envelope::seal(whole, revision);
        let (durable, runtime) = match durable {
            Durable::Nothing => (None, true),
            Durable::Whole(record) => (Some(record), false),
            Durable::Part(record) => (Some(record), true),
        };
        self.next.standing.insert(key, Some(Standing { revision, durable: durable.cloned(), runtime }));
        if durable != stood_durable.as_ref() {
            let sealed = durable.map(|record| match runtime {
                true => {
                    let part = envelope::text(record).expect("the whole has a JSON form, so its part has one");
                    envelope::seal(&part, revision)
                }
                false => sealed.clone(),
            });
            self.next.durable.insert(place.clone(), sealed);
        }
        if runtime {
            self.next.runtime.insert(place, Some(sealed));
        } else if stood_runtime {
            self.next.runtime.insert(place, None);
        }
    }

    fn remove(&mut self, key: Key) {
        let Some((durable, runtime)) = self.stands(key).map(|it| (it.durable.is_some(), it.runtime)) else {
            return;
        };
        let place = envelope::place(key);
        if durable {
            self.next.durable.insert(place.clone(), None);
        }
        if runtime {
            self.next.runtime.insert(place, None);
        }
        self.next.standing.insert(key, None);
    }

    fn stands(&self, key: Key) -> Option<&Standing> {
        self.next.standing.get(&key).map_or_else(|| self.standing.get(&key), Option::as_ref)
    }
}
