//! The store that lives in this process.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use tokio::sync::oneshot;
use trestle_core::error::{Doing, Error, Result};
use trestle_core::store::{Change, Key, Record, Revision, Store};

use crate::commit::{self, Step};
use crate::desk::{Desk, Errand, Handed, gone};
use crate::options::Options;
use crate::pair::{Found, Pair};
use crate::runtime_file::RuntimeFile;
use crate::writer::Writer;

/// Keeps records in two files, for this process alone.
///
/// Dropping it waits for the commits under way, and lets go of the files.
#[derive(Debug)]
pub struct EmbeddedStore {
    found: Found,
    desk: Arc<Desk>,
    /// `None` only while it is being dropped.
    errands: Option<Sender<Errand>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// Opens the store, or begins it.
    ///
    /// # Errors
    /// `Conflict` if another process has it, `Unsupported` if a newer version wrote it, `Internal` if the durable file
    /// can't be read, or the runtime file of this life of the kernel's state: all is left as it is, and the text says
    /// what to do.
    pub async fn open(options: Options) -> Result<Self> {
        Self::open_with(move || Pair::open(&options)).await
    }

    pub(crate) async fn open_with(open: impl FnOnce() -> Result<(Pair, Found)> + Send + 'static) -> Result<Self> {
        let (opened, outcome) = oneshot::channel();
        let (errands, received) = mpsc::channel();
        let work = move || match open().and_then(|(pair, found)| Ok((Writer::new(pair)?, found))) {
            Err(cause) => commit::answer(opened, Err(cause)),
            Ok((writer, found)) => {
                let desk = Arc::new(Desk::new(writer));
                commit::answer(opened, Ok((Arc::clone(&desk), found)));
                desk.work(&received);
            }
        };
        let thread = thread::Builder::new()
            .name("trestle-store".into())
            .spawn(work)
            .map_err(|cause| Error::internal(format!("starting the store's thread: {cause}")))?;
        let (desk, found) = outcome.await.map_err(|_| gone()).flatten().doing(|| "opening the store")?;
        Ok(Self { found, desk, errands: Some(errands), thread: Some(thread) })
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
        self.found.runtime == RuntimeFile::Outlived
    }

    fn errands(&self) -> Result<&Sender<Errand>> {
        self.errands.as_ref().ok_or_else(gone)
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    /// An expected revision of 0 says that there is no such record.
    async fn commit(&self, changes: &[Change], expected: &[(Key, Revision)]) -> Result<Revision> {
        let steps = changes.iter().map(Step::of).collect::<Result<_>>()?;
        match self.desk.commit(steps, expected, self.errands()?)? {
            Handed::Made(revision) => Ok(revision),
            Handed::Waits(answer) => answer.await.map_err(|_| gone())?,
        }
    }

    async fn load(&self) -> Result<Vec<(Record, Revision)>> {
        let answer = self.desk.load(self.errands()?)?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.errands = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread panicked");
        }
    }
}
