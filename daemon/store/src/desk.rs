//! Who writes: the caller himself, or a thread.
//!
//! There is one [`Writer`]. It lies on the desk, where a commit that leaves the durable file alone takes a few
//! microseconds of its caller's own time. Anything else sends it to the thread, because that takes as long as a disk
//! pleases. As long as it is there, everything queues up for it in the order in which it came.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use trestle_core::error::{Error, Result};
use trestle_core::store::{Key, Record, Revision};

use crate::commit::{Commit, Step, answer};
use crate::writer::Writer;

/// The most commits that one transaction takes.
const GROUP: usize = 64;

/// What the thread is asked for.
#[derive(Debug)]
pub(crate) enum Job {
    Commit(Commit),
    Load(oneshot::Sender<Result<Loaded>>),
}

/// Every record with its revision.
pub(crate) type Loaded = Vec<(Record, Revision)>;

/// A commit that was handed in.
pub(crate) enum Handed {
    Made(Revision),
    Waits(oneshot::Receiver<Result<Revision>>),
}

/// What the thread is sent: the writer, and why.
pub(crate) type Errand = (Box<Writer>, Job);

/// Where the writer lies.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Held while a commit is made or handed on, never while a disk works.
    place: Mutex<Place>,
}

#[derive(Debug)]
enum Place {
    /// The writer is here.
    Here(Box<Writer>),
    /// The thread has it, and these wait.
    Away(Vec<Job>),
    /// The thread has ended.
    Gone,
}

impl Desk {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { place: Mutex::new(Place::Here(Box::new(writer))) }
    }

    /// Makes the commit if it leaves the durable file alone, else hands it to the thread.
    pub(crate) fn commit(
        &self,
        steps: Vec<Step>,
        expected: &[(Key, Revision)],
        thread: &Sender<Errand>,
    ) -> Result<Handed> {
        let mut place = self.place()?;
        if let Place::Here(writer) = &mut *place
            && let Some(made) = writer.commit_at_once(&steps, expected)
        {
            return made.map(Handed::Made);
        }
        let (reply, answer) = oneshot::channel();
        hand_on(&mut place, Job::Commit(Commit { steps, expected: expected.to_vec(), reply }), thread)?;
        Ok(Handed::Waits(answer))
    }

    /// Hands it to the thread, because it reads the durable file.
    pub(crate) fn load(&self, thread: &Sender<Errand>) -> Result<oneshot::Receiver<Result<Loaded>>> {
        let (reply, answer) = oneshot::channel();
        let mut place = self.place()?;
        hand_on(&mut place, Job::Load(reply), thread)?;
        Ok(answer)
    }

    /// The thread's work, until nobody can ask any more.
    pub(crate) fn work(&self, errands: &Receiver<Errand>) {
        let _leaving = Leaving(self);
        for (mut writer, job) in errands {
            work_off(&mut writer, vec![job]);
            loop {
                let Ok(mut place) = self.place() else {
                    return;
                };
                match &mut *place {
                    Place::Away(waiting) if !waiting.is_empty() => {
                        let jobs = std::mem::take(waiting);
                        drop(place);
                        work_off(&mut writer, jobs);
                    }
                    _ => {
                        *place = Place::Here(writer);
                        break;
                    }
                }
            }
        }
    }

    fn place(&self) -> Result<MutexGuard<'_, Place>> {
        self.place.lock().map_err(|_| gone())
    }
}

/// However the thread ends, nobody waits for it any more.
struct Leaving<'a>(&'a Desk);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut place = self.0.place.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Place::Gone;
    }
}

fn hand_on(place: &mut Place, job: Job, thread: &Sender<Errand>) -> Result<()> {
    match std::mem::replace(place, Place::Away(Vec::new())) {
        Place::Here(writer) => thread.send((writer, job)).map_err(|_| gone()),
        Place::Away(mut waiting) => {
            waiting.push(job);
            *place = Place::Away(waiting);
            Ok(())
        }
        Place::Gone => {
            *place = Place::Gone;
            Err(gone())
        }
    }
}

fn work_off(writer: &mut Writer, jobs: Vec<Job>) {
    let mut commits = Vec::new();
    for job in jobs {
        match job {
            Job::Commit(commit) => commits.push(commit),
            Job::Load(reply) => {
                writer.commit(std::mem::take(&mut commits));
                answer(reply, writer.load());
            }
        }
        if commits.len() == GROUP {
            writer.commit(std::mem::take(&mut commits));
        }
    }
    writer.commit(commits);
}

pub(crate) fn gone() -> Error {
    Error::unavailable("the store's thread is gone; restart the daemon")
}
