//! A thread that owns something, and does to it what it is sent, in turn.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;
use trestle_core::{Error, Result};

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// The owner of a `T`. The thread ends, and drops it, when this is dropped and everything sent was done.
pub(crate) struct Thread<T> {
    jobs: Option<mpsc::Sender<Job<T>>>,
    handle: Option<thread::JoinHandle<()>>,
}

impl<T: Send + 'static> Thread<T> {
    /// Starts the thread.
    pub(crate) fn start(name: &str, mut owned: T) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job<T>>();
        let handle = thread::Builder::new().name(name.into()).spawn(move || {
            for job in inbox {
                job(&mut owned);
            }
        });
        let handle = handle.map_err(|cause| Error::internal(format!("starting the thread {name}: {cause}")))?;
        Ok(Self { jobs: Some(jobs), handle: Some(handle) })
    }

    /// Does something on the thread. What was sent is done whole, even if nobody waits for the answer any more.
    pub(crate) async fn run<R: Send + 'static>(&self, job: impl FnOnce(&mut T) -> R + Send + 'static) -> Result<R> {
        let (answer, answered) = oneshot::channel();
        let job: Job<T> = Box::new(move |owned| {
            if answer.send(job(owned)).is_err() {
                tracing::debug!("nobody waits for the answer of a finished job");
            }
        });
        let gone = || Error::internal("the kernel layer has stopped");
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

impl<T> Drop for Thread<T> {
    fn drop(&mut self) {
        self.jobs = None;
        if self.handle.take().is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("a thread of the kernel layer panicked");
        }
    }
}
