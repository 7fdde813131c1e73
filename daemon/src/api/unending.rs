//! Work that goes on when whoever waited for it is gone.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Work that is done where it is waited for, and moves to a task of its own when its caller hangs up: most callers
/// don't, and a task for each would cost them a wake-up more.
pub(crate) struct Unending<F: Future + Send + 'static>(Option<Pin<Box<F>>>);

/// The work panicked; its message is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl<F: Future + Send + 'static> Unending<F> {
    pub(crate) fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F: Future + Send + 'static> Future for Unending<F> {
    type Output = Result<F::Output, Broken>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let work = self.0.as_mut().expect("it is not polled again after its end");
        // What it was at work on is not looked at again: it is dropped below.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let ended = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(_) => Err(Broken),
        };
        self.0 = None;
        Poll::Ready(ended)
    }
}

impl<F: Future + Send + 'static> Drop for Unending<F> {
    fn drop(&mut self) {
        // Without a runtime the process ends, and with it all work.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            drop(runtime.spawn(async move { drop(work.await) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_is_ended_though_its_caller_is_gone() {
        let (go, told_to_go) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let mut work = Unending::new(async move {
            told_to_go.await.unwrap();
            done.send(()).unwrap();
        });
        assert!(poll_fn(|context| Poll::Ready(Pin::new(&mut work).poll(context).is_pending())).await);
        drop(work);
        go.send(()).unwrap();
        finished.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        assert_eq!(Unending::new(async { panic!("on purpose") }).await, Err::<(), _>(Broken));
        assert_eq!(Unending::new(async { 5 }).await, Ok(5));
    }
}
