//! One container in memory: its record as it is stored, whose turn it is to change it, and who waits for its end.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{MutexGuard, oneshot, watch};
use trestle_core::id::ContainerId;

use super::record::Record;
use crate::attach::Socket;
use crate::runtime::monitor::Process;

/// A container. What is changed about it is stored first, by who has its turn.
pub struct Container {
    /// For ever.
    pub id: ContainerId,
    record: watch::Sender<Arc<Record>>,
    turn: tokio::sync::Mutex<()>,
    ends: watch::Sender<Ends>,
    running: watch::Sender<bool>,
    process: Mutex<Option<Arc<Process>>>,
    waiting: Mutex<Vec<oneshot::Sender<Socket>>>,
}

/// How often a container has ended since the daemon knows it, and how last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// How often.
    pub count: u64,
    /// The last exit code.
    pub code: i32,
    /// What went wrong beside that.
    pub error: String,
    /// Whether the container is gone.
    pub removed: bool,
}

impl Container {
    /// A container of a record.
    pub(super) fn new(record: Record) -> Self {
        let running = record.state.is_running();
        let ends = Ends { code: record.state.exit_code(), error: record.state.error().to_owned(), ..Ends::default() };
        Self {
            id: record.id,
            record: watch::Sender::new(Arc::new(record)),
            turn: tokio::sync::Mutex::new(()),
            ends: watch::Sender::new(ends),
            running: watch::Sender::new(running),
            process: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// As it is now.
    pub fn record(&self) -> Arc<Record> {
        Arc::clone(&self.record.borrow())
    }

    /// Each state from now on.
    pub fn watch(&self) -> watch::Receiver<Arc<Record>> {
        self.record.subscribe()
    }

    /// Its ends from now on.
    pub fn ends(&self) -> watch::Receiver<Ends> {
        self.ends.subscribe()
    }

    /// Whether it runs, now and from now on.
    pub fn running(&self) -> watch::Receiver<bool> {
        self.running.subscribe()
    }

    /// Waits until nobody else changes it.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Shows what was stored.
    pub(super) fn show(&self, record: Record) {
        self.running.send_replace(record.state.is_running());
        self.record.send_replace(Arc::new(record));
    }

    /// Tells those who wait that it ended.
    pub(super) fn tell_end(&self, code: i32, error: &str) {
        self.ends.send_modify(|ends| {
            ends.count += 1;
            ends.code = code;
            error.clone_into(&mut ends.error);
        });
    }

    /// Tells those who wait that it is gone.
    pub(super) fn tell_removed(&self) {
        self.ends.send_modify(|ends| ends.removed = true);
    }

    /// Its first process, while it runs.
    pub(super) fn process(&self) -> Option<Arc<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_process(&self, process: Option<Arc<Process>>) {
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
    }

    /// A connection to it as soon as it is made, before it prints anything. None comes if its start fails.
    pub(super) fn next_socket(&self) -> oneshot::Receiver<Socket> {
        let (send, socket) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(send);
        socket
    }

    /// Those who wait for a connection; they wait no more.
    pub(super) fn take_waiting(&self) -> Vec<oneshot::Sender<Socket>> {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
