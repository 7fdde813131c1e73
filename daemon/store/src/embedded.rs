//! The store that lives in this process.

use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use tokio::sync::oneshot;
use trestle_core::error::{Doing, Error, Result};
use trestle_core::store::{Change, Key, Record, Revision, Store};

use crate::options::Options;
use crate::pair::{Found, Pair, RuntimeFile};
use crate::writer::{self, Commit, Job, Step, Writer};

/// Keeps records in two files, for this process alone.
///
/// Dropping it waits for the commits under way, and lets go of the files.
#[derive(Debug)]
pub struct EmbeddedStore {
    found: Found,
    /// `None` only while it is being dropped.
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// Opens the store, or begins it.
    ///
    /// # Errors
    /// `Conflict` if another process has it, `Unsupported` if a newer version wrote it, `Internal` if the durable file
    /// can't be read: it is left as it is, and the text says what to do.
    pub async fn open(options: Options) -> Result<Self> {
        Self::open_with(move || Pair::open(&options)).await
    }

    pub(crate) async fn open_with(open: impl FnOnce() -> Result<(Pair, Found)> + Send + 'static) -> Result<Self> {
        let (opened, outcome) = oneshot::channel();
        let (jobs, waiting) = mpsc::channel();
        let work = move || match open().and_then(|(pair, found)| Ok((Writer::new(pair)?, found))) {
            Err(cause) => writer::answer(opened, Err(cause)),
            Ok((writer, found)) => {
                writer::answer(opened, Ok(found));
                writer.run(&waiting);
            }
        };
        let writer = thread::Builder::new()
            .name("trestle-store".into())
            .spawn(work)
            .map_err(|cause| Error::internal(format!("starting the store's thread: {cause}")))?;
        let found = outcome.await.map_err(|_| gone()).flatten().doing(|| "opening the store")?;
        Ok(Self { found, jobs: Some(jobs), writer: Some(writer) })
    }

    /// The installation's number: drawn when the durable file was begun, and the same as long as that lives.
    pub fn instance(&self) -> u32 {
        self.found.instance
    }

    /// What became of the runtime file when the store was opened.
    pub fn runtime_file(&self) -> &RuntimeFile {
        &self.found.runtime
    }

    /// Whether attachments of before were thrown away: what they put into the kernel, if it is still there, is in no
    /// record.
    pub fn discarded(&self) -> bool {
        matches!(self.found.runtime, RuntimeFile::Outlived | RuntimeFile::SetAside(_))
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    /// An expected revision of 0 says that there is no such record.
    async fn commit(&self, changes: &[Change], expected: &[(Key, Revision)]) -> Result<Revision> {
        let changes = changes.iter().map(Step::of).collect::<Result<_>>()?;
        let expected = expected.to_vec();
        self.ask(|reply| Job::Commit(Commit { changes, expected, reply })).await
    }

    async fn load(&self) -> Result<Vec<(Record, Revision)>> {
        self.ask(Job::Load).await
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.jobs = None;
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the store's thread panicked");
        }
    }
}

fn gone() -> Error {
    Error::unavailable("the store's thread is gone; restart the daemon")
}
