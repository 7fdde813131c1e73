//! A commit on its way: changes made ready, and who waits for the answer.

use std::sync::Arc;

use tokio::sync::oneshot;
use trestle_core::error::Result;
use trestle_core::store::{Change, Key, Record, Revision};

use crate::envelope;

/// A commit that waits.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) steps: Vec<Step>,
    pub(crate) expected: Vec<(Key, Revision)>,
    pub(crate) reply: oneshot::Sender<Result<Revision>>,
}

/// A change, made ready before it comes to the writer.
#[derive(Debug)]
pub(crate) enum Step {
    Put { key: Key, whole: String, durable: Durable },
    Remove(Key),
}

/// The durable part of a record.
#[derive(Debug)]
pub(crate) enum Durable {
    Nothing,
    Whole(Arc<Record>),
    Part(Arc<Record>),
}

impl Step {
    pub(crate) fn of(change: &Change) -> Result<Self> {
        match change {
            Change::Remove(key) => Ok(Self::Remove(*key)),
            Change::Put(record) => {
                let durable = match record.durable() {
                    None => Durable::Nothing,
                    Some(durable) if durable == *record => Durable::Whole(Arc::new(durable)),
                    Some(durable) => Durable::Part(Arc::new(durable)),
                };
                Ok(Self::Put { key: record.key(), whole: envelope::text(record)?, durable })
            }
        }
    }
}

/// Answers, if anybody still waits: whoever went away did not take his commit back.
pub(crate) fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::debug!("nobody waits for the store's answer");
    }
}
