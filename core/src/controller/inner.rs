//! What every clone of a controller shares, and the few acts that all others are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::{Notify, broadcast, oneshot};

use super::Config;
use super::state::{Release, State};
use crate::error::{Error, Result};
use crate::event::{Action, Event, Subject};
use crate::failpoint;
use crate::store::{Change, Key};
use crate::surroundings::{Surroundings, Task};

/// How many events a slow listener may be behind before it loses the oldest.
const EVENTS_KEPT: usize = 4096;

pub(super) struct Inner {
    pub(super) surroundings: Surroundings,
    pub(super) config: Config,
    pub(super) events: broadcast::Sender<Event>,
    /// Told whenever any claim is given back, or a debt is paid.
    pub(super) freed: Notify,
    /// Told whenever more spares may be wanted.
    pub(super) wanting: Notify,
    /// How many requests are being worked on.
    pub(super) under_way: AtomicUsize,
    /// Told whenever none is.
    pub(super) quiet: Notify,
    /// Told whenever an endpoint owes something.
    pub(super) owing: Notify,
    /// Held for reading by whoever changes the kernel, as long as records and kernel differ because of it; for writing
    /// by whoever compares them as a whole. Never across a call to a driver or an address manager.
    pub(super) changing: tokio::sync::RwLock<()>,
    /// Held by whoever makes a spare, so that no more are made than are wanted.
    pub(super) refilling: tokio::sync::Mutex<()>,
    /// Held by whoever reaps.
    pub(super) reaping: tokio::sync::Mutex<()>,
    /// Held by whoever gives back what is on lease, so that it is given back in order.
    releasing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

impl Inner {
    pub(super) fn new(surroundings: Surroundings, config: Config, state: State) -> Arc<Self> {
        Arc::new(Self {
            surroundings,
            config,
            events: broadcast::Sender::new(EVENTS_KEPT),
            freed: Notify::new(),
            wanting: Notify::new(),
            under_way: AtomicUsize::new(0),
            quiet: Notify::new(),
            owing: Notify::new(),
            changing: tokio::sync::RwLock::new(()),
            refilling: tokio::sync::Mutex::new(()),
            reaping: tokio::sync::Mutex::new(()),
            releasing: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        })
    }

    /// The state, for a look or a single change; never across an await.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held can only have been in a look-up: changes are single assignments.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores all changes or none; only then does anybody see them.
    ///
    /// A commit that is answered with an error may have been stored all the same, so what stood before is put back.
    pub(super) async fn commit(&self, changes: Vec<Change>) -> Result<()> {
        let Err(cause) = self.surroundings.store.commit(&changes, &[]).await else {
            let mut state = self.state();
            let stored: BTreeSet<Key> = changes.iter().map(Change::key).collect();
            state.unstored.retain(|key| !stored.contains(key));
            self.enact(&mut state, changes);
            return Ok(());
        };
        let before = self.state().standing(changes.iter().map(Change::key));
        if let Err(error) = self.surroundings.store.commit(&before, &[]).await {
            tracing::error!(%error, "the store neither takes a change nor takes it back");
            self.state().unstored.extend(changes.iter().map(Change::key));
            self.owing.notify_one();
        }
        Err(cause)
    }

    /// Takes over what was committed, and lets the witness see it: in the same order, for both happen under the lock.
    pub(super) fn enact(&self, state: &mut State, changes: Vec<Change>) {
        if let Some(witness) = &self.surroundings.witness {
            witness.committed(&changes);
        }
        state.enact(changes);
    }

    /// What is so is so, whether the store takes it or not: if it does not, the reaper stores it when it can.
    pub(super) async fn settle_on(&self, changes: Vec<Change>) -> Result<()> {
        let committed = self.commit(changes.clone()).await;
        if committed.is_err() {
            let mut state = self.state();
            state.unstored.extend(changes.iter().map(Change::key));
            self.enact(&mut state, changes);
            drop(state);
            self.owing.notify_one();
        }
        committed
    }

    /// Gives back what is on lease, in order; what an address manager does not take now it is offered again later.
    pub(super) async fn release(&self, releases: Vec<Release>) {
        self.state().to_release.extend(releases);
        if let Err(error) = self.release_owed().await {
            tracing::warn!(%error, "something on lease is not given back yet");
            self.owing.notify_one();
        }
    }

    /// Gives back what was leased and never used.
    pub(super) async fn cancel(&self, releases: Vec<Release>) {
        self.release(releases.into_iter().map(|it| Release { unused: true, ..it }).collect()).await;
    }

    /// Offers everything that is to be given back; one address manager's refusal keeps no other waiting.
    pub(super) async fn release_owed(&self) -> Result<()> {
        let _in_order = self.releasing.lock().await;
        let mut errors: BTreeMap<String, Error> = BTreeMap::new();
        let releases = std::mem::take(&mut self.state().to_release);
        for release in releases {
            if !errors.contains_key(&release.ipam) {
                let Err(error) = self.try_release(&release).await else { continue };
                errors.insert(release.ipam.clone(), error);
            }
            self.state().to_release.push(release);
        }
        Error::several(errors.into_values().collect()).map_or(Ok(()), Err)
    }

    async fn try_release(&self, release: &Release) -> Result<()> {
        let ipam = self.surroundings.registry.ipam(&release.ipam)?;
        match (release.address, release.unused) {
            (Some(address), false) => ipam.release_address(&release.pool, address).await?,
            (Some(address), true) => ipam.cancel_address(&release.pool, address).await?,
            (None, false) => ipam.release_pool(&release.pool).await?,
            (None, true) => ipam.cancel_pool(&release.pool).await?,
        }
        failpoint!("controller.released");
        Ok(())
    }

    /// Runs work to its end on a task of its own and waits for it: whoever asked may go away meanwhile.
    pub(super) async fn finish<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let under_way = UnderWay::new(Arc::clone(self));
        self.surroundings.spawn.spawn(Box::pin(async move {
            let _under_way = under_way;
            // Nobody waits any more: the work is done all the same, and its outcome is in the records and events.
            let outcome = work.await;
            failpoint!("controller.answering");
            drop(answer.send(outcome));
        }));
        answered.await.unwrap_or_else(|_| Err(Error::internal("the task broke off; its log line tells why")))
    }

    /// Tells whoever listens. Nobody listening is fine.
    pub(super) fn tell<'a>(
        &self,
        subject: Subject,
        action: Action,
        id: impl ToString,
        name: impl ToString,
        attributes: impl IntoIterator<Item = (&'a str, String)>,
    ) {
        if self.events.receiver_count() == 0 && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let (id, name) = (id.to_string(), name.to_string());
        tracing::debug!(?subject, ?action, %id, %name, ?attributes, "event");
        drop(self.events.send(Event { at: self.surroundings.clock.now(), subject, action, id, name, attributes }));
    }
}

/// A request that is being worked on.
struct UnderWay(Arc<Inner>);

impl UnderWay {
    fn new(inner: Arc<Inner>) -> Self {
        inner.under_way.fetch_add(1, Ordering::AcqRel);
        Self(inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

/// What the first of the two says if it is done first, else nothing. The first goes on where it was.
pub(super) async fn either<T>(mut first: Pin<&mut (impl Future<Output = T> + ?Sized)>, mut second: Task) -> Option<T> {
    poll_fn(|context| match (first.as_mut().poll(context), second.as_mut().poll(context)) {
        (Poll::Ready(said), _) => Poll::Ready(Some(said)),
        (Poll::Pending, Poll::Ready(())) => Poll::Ready(None),
        (Poll::Pending, Poll::Pending) => Poll::Pending,
    })
    .await
}
