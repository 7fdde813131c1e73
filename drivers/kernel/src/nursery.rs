//! A namespace that is born while the request that wants it is still being worked out.
//!
//! Making one is half the work of an attach, and needs nothing of its plan. As long as it has no name it is this
//! process's alone and dies with it, so it may be made before anything is stored. A thread stands ready for it, and is
//! thrown away after it: whoever has made a namespace is in it.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use rustix::thread::UnshareFlags;
use trestle_core::{Error, Result};

use crate::netlink::Socket;

/// The thread that makes or enters a namespace needs little more than a system call's room.
pub(crate) const STACK: usize = 128 << 10;

/// The calling thread's own namespace.
pub(crate) const THIS: &str = "/proc/thread-self/ns/net";

/// A network namespace without a name. It goes when this is dropped.
pub(crate) struct Newborn {
    /// What it can be bound to a name by.
    pub(crate) file: File,
    /// A socket in it.
    pub(crate) socket: Socket,
}

impl Newborn {
    /// Makes one, and leaves the calling thread in it: do nothing else on that.
    ///
    /// # Errors
    /// `Exhausted` at the limit of namespaces.
    pub(crate) fn on_this_thread() -> Result<Self> {
        // SAFETY: only FILES could harm other threads, and it is not asked for.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.map_err(|cause| match cause {
            rustix::io::Errno::NOSPC => {
                Error::exhausted("the limit of network namespaces is reached (see /proc/sys/user/max_net_namespaces)")
            }
            cause => failed("making a network namespace", cause.into()),
        })?;
        let file = File::open(THIS).map_err(|cause| failed("opening the namespace", cause))?;
        Ok(Self { file, socket: Socket::open()? })
    }
}

/// Where at most one namespace is on its way. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Nursery(Arc<Mutex<Option<Midwife>>>);

/// A thread that waits for its word, makes one namespace, and ends.
struct Midwife {
    /// Gone once the word was said.
    word: Option<mpsc::Sender<()>>,
    born: mpsc::Receiver<Result<Newborn>>,
    thread: Option<JoinHandle<()>>,
}

impl Nursery {
    /// Lets a thread stand ready, unless one does already. The namespaces of the calling thread will be its own.
    pub(crate) fn make_ready(&self) {
        let mut midwife = self.midwife();
        if midwife.is_some() {
            return;
        }
        match Midwife::start() {
            Ok(ready) => *midwife = Some(ready),
            Err(cause) => tracing::debug!(%cause, "the next namespace will be made when it is wanted"),
        }
    }

    /// Begins to make a namespace, if a thread stands ready for it. The next [`Nursery::take`] gets it.
    pub(crate) fn begin(&self) {
        let mut midwife = self.midwife();
        if let Some(word) = midwife.as_mut().and_then(|midwife| midwife.word.take())
            && word.send(()).is_err()
        {
            *midwife = None;
        }
    }

    /// The namespace that is on its way, once it is there; `None` if none is.
    pub(crate) fn take(&self) -> Option<Result<Newborn>> {
        let begun = self.midwife().take_if(|midwife| midwife.word.is_none())?;
        begun.born.recv().ok()
    }

    fn midwife(&self) -> MutexGuard<'_, Option<Midwife>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Midwife {
    fn start() -> io::Result<Self> {
        let (word, heard) = mpsc::channel();
        let (deliver, born) = mpsc::channel();
        let attend = move || {
            // Nobody will want one any more if the other end is gone: then it goes too.
            if heard.recv().is_ok() {
                drop(deliver.send(Newborn::on_this_thread()));
            }
        };
        let thread = thread::Builder::new().name("trestle-nursery".into()).stack_size(STACK).spawn(attend)?;
        Ok(Self { word: Some(word), born, thread: Some(thread) })
    }
}

impl Drop for Midwife {
    fn drop(&mut self) {
        // Who has not been told to begin ends now, and is waited for; who has ends by himself.
        if self.word.take().is_some() {
            let ended = self.thread.take().map(JoinHandle::join);
            if ended.is_some_and(|ended| ended.is_err()) {
                tracing::error!("a thread that made a network namespace panicked");
            }
        }
    }
}

fn failed(doing: &str, cause: io::Error) -> Error {
    Error::internal(cause.to_string()).doing(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_unless_it_was_begun_and_a_thread_stood_ready() {
        let nursery = Nursery::default();
        nursery.begin();
        assert!(nursery.take().is_none());
        nursery.make_ready();
        assert!(nursery.take().is_none(), "it was not begun");
    }

    #[test]
    fn what_was_begun_is_there_once() {
        let nursery = Nursery::default();
        nursery.make_ready();
        nursery.begin();
        nursery.begin();
        // Without the rights to make one it is refused, and that is told once as well.
        assert!(nursery.take().is_some());
        assert!(nursery.take().is_none());
    }
}
