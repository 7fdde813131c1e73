//! What every clone of a controller shares, and the few acts that all others are made of.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, broadcast, oneshot};

use super::Config;
use super::state::State;
use crate::error::{Error, Result};
use crate::event::{Action, Event, Subject};
use crate::store::Change;
use crate::surroundings::Surroundings;

/// How many events a slow listener may be behind before it loses the oldest.
const EVENTS_KEPT: usize = 4096;

pub(super) struct Inner {
    pub(super) surroundings: Surroundings,
    pub(super) config: Config,
    pub(super) events: broadcast::Sender<Event>,
    /// Told whenever a claim is given back.
    pub(super) freed: Notify,
    /// Told whenever an endpoint owes something.
    pub(super) owing: Notify,
    /// Held for reading by whoever changes the kernel, from the commit that says so to the one that says it is done;
    /// for writing by whoever compares kernel and records as a whole. Never across a call to a driver.
    pub(super) changing: tokio::sync::RwLock<()>,
    /// Held by whoever reaps.
    pub(super) reaping: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

impl Inner {
    pub(super) fn new(surroundings: Surroundings, config: Config, state: State) -> Arc<Self> {
        Arc::new(Self {
            surroundings,
            config,
            events: broadcast::Sender::new(EVENTS_KEPT),
            freed: Notify::new(),
            owing: Notify::new(),
            changing: tokio::sync::RwLock::new(()),
            reaping: tokio::sync::Mutex::new(()),
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
            self.state().enact(changes);
            return Ok(());
        };
        let before = self.state().records_before(&changes);
        if let Err(error) = self.surroundings.store.commit(&before, &[]).await {
            tracing::error!(%error, "the store neither takes a change nor takes it back");
        }
        Err(cause)
    }

    /// Runs work to its end on a task of its own and waits for it: whoever asked may go away meanwhile.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.surroundings.spawn.spawn(Box::pin(async move {
            // Nobody waits any more: the work is done all the same, and its outcome is in the records and events.
            drop(answer.send(work.await));
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
        let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let (id, name) = (id.to_string(), name.to_string());
        tracing::info!(?subject, ?action, %id, %name, ?attributes, "event");
        drop(self.events.send(Event { at: self.surroundings.clock.now(), subject, action, id, name, attributes }));
    }
}
