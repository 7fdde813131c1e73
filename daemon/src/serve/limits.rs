//! How long callers are waited for, and how many at once.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

/// What a caller may take: nobody who takes more keeps others waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for the TLS handshake: until then a caller may be anyone.
    pub handshake: Duration,
    /// Time for a request's head. An idle connection is closed after it, too.
    pub head: Duration,
    /// Time for the rest of a request's body, once some of it is waited for.
    pub body: Duration,
    /// Time for the end of a connection, once the daemon stops.
    pub farewell: Duration,
    /// Connections at once for each listener; further ones wait for one to end. File descriptors are bounded, and
    /// published ports need them, too.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(60),
            body: Duration::from_secs(30),
            farewell: Duration::from_secs(5),
            connections: 1024,
        }
    }
}

/// A request's body did not arrive in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow(Duration);

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it did not arrive within {:?}", self.0)
    }
}

impl std::error::Error for TooSlow {}

/// Among a request's extensions: by it, whoever reads the body as it comes, and keeps no part of it, gives the caller all
/// the time he wants. Images and archives are sent so.
#[derive(Clone, Debug, Default)]
pub struct Upload(Arc<AtomicBool>);

impl Upload {
    /// Stops the clock for the rest of the body.
    pub fn stop_clock(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn has_time(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request's body, which breaks off with [`TooSlow`]. One that came together with its head starts no clock.
pub(super) struct Awaited {
    body: Incoming,
    patience: Duration,
    upload: Upload,
    clock: Option<Pin<Box<Sleep>>>,
}

impl Awaited {
    pub(super) fn new(body: Incoming, patience: Duration, upload: Upload) -> Self {
        Self { body, patience, upload, clock: None }
    }
}

impl Body for Awaited {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if self.upload.has_time() {
            return Poll::Pending;
        }
        let patience = self.patience;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(clock.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow(patience).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
