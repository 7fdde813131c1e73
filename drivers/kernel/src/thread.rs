//! A thread that owns something, and does to it what it is sent, in turn.
//!
//! A job that panics is answered with an error, and the thread goes on: what it owns stays fit for use, because the
//! kernel's answers are matched to questions by number, what is known of the firewall is bound to a generation of it,
//! and all else is looked up anew for each job.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;
use trestle_core::{Error, Result};

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// What may be owned by a thread.
pub(crate) trait Rest {
    /// Called after each job, when its answer is on its way: nobody waits for this.
    fn rest(&mut self) {}
}

/// The owner of a `T`. The thread ends, and drops it, when this is dropped and everything sent was done.
pub(crate) struct Thread<T> {
    jobs: Option<mpsc::Sender<Job<T>>>,
    handle: Option<thread::JoinHandle<()>>,
}

impl<T: Rest + Send + 'static> Thread<T> {
    /// Starts the thread.
    pub(crate) fn start(name: &str, mut owned: T) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job<T>>();
        let handle = thread::Builder::new().name(name.into()).spawn(move || {
            for job in inbox {
                job(&mut owned);
                owned.rest();
            }
        });
        let handle = handle.map_err(|cause| Error::internal(format!("starting the thread {name}: {cause}")))?;
        Ok(Self { jobs: Some(jobs), handle: Some(handle) })
    }

    /// Does something on the thread. What was sent is done whole, even if nobody waits for the answer any more.
    pub(crate) async fn run<R: Send + 'static>(&self, job: impl FnOnce(&mut T) -> R + Send + 'static) -> Result<R> {
        let (answer, answered) = oneshot::channel();
        let job: Job<T> = Box::new(move |owned| {
            let done = catch_unwind(AssertUnwindSafe(|| job(owned))).map_err(|panic| {
                let told = told(panic.as_ref());
                tracing::error!(panic = told, "a job of the kernel layer panicked");
                Error::internal(format!("the kernel layer has a defect: {told}"))
            });
            if answer.send(done).is_err() {
                tracing::debug!("nobody waits for the answer of a finished job");
            }
        });
        let gone = || Error::internal("the kernel layer has stopped");
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// From now on the calling thread never takes the processor from another that runs (`SCHED_BATCH`, sched(7)). It is for
/// those who are woken by what another thread does, and are not waited for. Without it they are only less polite.
pub(crate) fn give_way() {
    // SAFETY: all-zero is a valid value; priority 0 is the only one that this policy has.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: the parameters live until the call returns; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) } < 0 {
        let cause = std::io::Error::last_os_error();
        tracing::debug!(%cause, "a thread that nobody waits for may hold up others");
    }
}

/// What a panic says.
fn told(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

impl<T> Drop for Thread<T> {
    fn drop(&mut self) {
        self.jobs = None;
        if self.handle.take().is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("a thread of the kernel layer panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Rest for i32 {}

    #[tokio::test]
    async fn a_job_that_panics_is_told_and_the_next_one_is_done() {
        let thread = Thread::start("test", 7).unwrap();
        let error = thread.run(|_: &mut i32| -> i32 { panic!("no such {}", "thing") }).await.unwrap_err();
        assert!(error.to_string().contains("no such thing"), "{error}");
        assert_eq!(thread.run(|owned| *owned).await.unwrap(), 7);
    }
}
