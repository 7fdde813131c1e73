//! Who writes: one thread, which makes one transaction of all commits that wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;
use trestle_core::error::{Error, Result};
use trestle_core::store::{Change, Key, Record, Revision};

use crate::envelope;
use crate::pair::Pair;
use crate::record_file::Rows;

/// The most commits that one transaction takes.
const GROUP: usize = 64;

/// What the writer is asked for.
pub(crate) enum Job {
    Commit(Commit),
    Load(oneshot::Sender<Result<Vec<(Record, Revision)>>>),
}

/// A commit that waits.
pub(crate) struct Commit {
    pub(crate) changes: Vec<Step>,
    pub(crate) expected: Vec<(Key, Revision)>,
    pub(crate) reply: oneshot::Sender<Result<Revision>>,
}

/// A change as text, made before it comes to the writer.
pub(crate) enum Step {
    Put { key: Key, whole: String, durable: Option<String> },
    Remove(Key),
}

/// What stands of a record.
#[derive(Clone, Debug)]
struct Standing {
    revision: Revision,
    /// The text in the durable file.
    durable: Option<String>,
    /// Whether it is in the runtime file.
    runtime: bool,
}

/// Writes, and knows what stands.
pub(crate) struct Writer {
    pair: Pair,
    standing: HashMap<Key, Standing>,
    revision: Revision,
}

/// Commits on their way into one transaction.
struct Group<'a> {
    standing: &'a HashMap<Key, Standing>,
    /// What will stand; `None` is nothing.
    next: HashMap<Key, Option<Standing>>,
    durable: Rows,
    runtime: Rows,
    revision: Revision,
}

impl Step {
    pub(crate) fn of(change: &Change) -> Result<Self> {
        match change {
            Change::Remove(key) => Ok(Self::Remove(*key)),
            Change::Put(record) => {
                let durable = record.durable().as_ref().map(envelope::text).transpose()?;
                Ok(Self::Put { key: record.key(), whole: envelope::text(record)?, durable })
            }
        }
    }
}

impl Writer {
    pub(crate) fn new(pair: Pair) -> Result<Self> {
        let revision = pair.revision()?;
        let mut standing = HashMap::new();
        for (place, sealed) in pair.durable()? {
            let (record, revision) = envelope::open(&place, &sealed)?;
            let durable = Some(envelope::text(&record)?);
            standing.insert(record.key(), Standing { revision, durable, runtime: false });
        }
        for (place, sealed) in pair.runtime()? {
            let (record, revision) = envelope::open(&place, &sealed)?;
            let beneath = standing.remove(&record.key());
            let revision = beneath.as_ref().map_or(revision, |beneath| revision.max(beneath.revision));
            let durable = beneath.and_then(|beneath| beneath.durable);
            standing.insert(record.key(), Standing { revision, durable, runtime: true });
        }
        Ok(Self { pair, standing, revision })
    }

    /// Works until nobody can ask any more.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut commits = Vec::new();
            for job in std::iter::once(first).chain(jobs.try_iter().take(GROUP - 1)) {
                match job {
                    Job::Commit(commit) => commits.push(commit),
                    Job::Load(reply) => {
                        self.commit(std::mem::take(&mut commits));
                        answer(reply, self.load());
                    }
                }
            }
            self.commit(commits);
        }
    }

    fn commit(&mut self, commits: Vec<Commit>) {
        let mut group = Group {
            standing: &self.standing,
            next: HashMap::new(),
            durable: Rows::new(),
            runtime: Rows::new(),
            revision: self.revision,
        };
        let answers: Vec<_> =
            commits.into_iter().map(|commit| (group.take(&commit.changes, &commit.expected), commit.reply)).collect();
        let Group { next, durable, runtime, revision, .. } = group;
        let written = self.pair.write(durable, runtime, revision);
        // A failed one may have left its revision in a file; it is never used again.
        self.revision = revision;
        if written.is_ok() {
            for (key, standing) in next {
                match standing {
                    Some(standing) => self.standing.insert(key, standing),
                    None => self.standing.remove(&key),
                };
            }
        }
        for (taken, reply) in answers {
            let failed = |cause: &Error| Error::new(cause.kind(), cause.to_string()).doing("storing");
            answer(reply, taken.and_then(|revision| written.as_ref().map(|()| revision).map_err(failed)));
        }
    }

    fn load(&self) -> Result<Vec<(Record, Revision)>> {
        let mut sealed: BTreeMap<String, String> = self.pair.durable()?.into_iter().collect();
        sealed.extend(self.pair.runtime()?);
        let records = sealed.iter().map(|(place, sealed)| {
            let (record, revision) = envelope::open(place, sealed)?;
            let revision = self.standing.get(&record.key()).map_or(revision, |standing| standing.revision);
            Ok((record, revision))
        });
        records.collect()
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
        self.revision.0 += 1;
        for step in steps {
            match step {
                Step::Put { key, whole, durable } => self.put(*key, whole, durable.as_ref()),
                Step::Remove(key) => self.remove(*key),
            }
        }
        Ok(self.revision)
    }

    fn put(&mut self, key: Key, whole: &String, durable: Option<&String>) {
        let (stood_durable, stood_runtime) =
            self.stands(key).map_or((None, false), |standing| (standing.durable.clone(), standing.runtime));
        let place = envelope::place(key);
        if durable != stood_durable.as_ref() {
            let sealed = durable.map(|text| envelope::seal(text, self.revision));
            self.durable.insert(place.clone(), sealed);
        }
        let runtime = durable != Some(whole);
        if runtime {
            self.runtime.insert(place, Some(envelope::seal(whole, self.revision)));
        } else if stood_runtime {
            self.runtime.insert(place, None);
        }
        let standing = Standing { revision: self.revision, durable: durable.cloned(), runtime };
        self.next.insert(key, Some(standing));
    }

    fn remove(&mut self, key: Key) {
        let Some((durable, runtime)) = self.stands(key).map(|it| (it.durable.is_some(), it.runtime)) else {
            return;
        };
        let place = envelope::place(key);
        if durable {
            self.durable.insert(place.clone(), None);
        }
        if runtime {
            self.runtime.insert(place, None);
        }
        self.next.insert(key, None);
    }

    fn stands(&self, key: Key) -> Option<&Standing> {
        self.next.get(&key).map_or_else(|| self.standing.get(&key), Option::as_ref)
    }
}

/// Answers, if anybody still waits: whoever went away did not take his commit back.
pub(crate) fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::debug!("nobody waits for the store's answer");
    }
}
