//! Every held socket, by its place.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::binding::Binding;

/// A held socket's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token(pub(super) usize);

struct Held {
    socket: OwnedFd,
    binding: Arc<Binding>,
    /// How many ports after the first of its range.
    number: u16,
}

/// Every held socket. Places of those let go are used again.
#[derive(Default)]
pub(super) struct Table {
    held: Vec<Option<Held>>,
    free: Vec<usize>,
}

/// The table, as it is shared with the task.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Table>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a held socket in, at a place that `watch` is told beforehand and may refuse.
    pub(super) fn add<E>(
        &self,
        socket: OwnedFd,
        binding: &Arc<Binding>,
        number: u16,
        watch: impl FnOnce(&OwnedFd, Token) -> Result<(), E>,
    ) -> Result<Token, E> {
        let mut table = self.lock();
        let place = table.free.last().copied().unwrap_or(table.held.len());
        watch(&socket, Token(place))?;
        if place == table.held.len() {
            table.held.push(None);
        } else {
            table.free.pop();
        }
        table.held[place] = Some(Held { socket, binding: binding.clone(), number });
        Ok(Token(place))
    }

    /// Hands out held sockets; whoever closes them takes them out of any epoll set too. Their places stay theirs until
    /// they are freed.
    pub(super) fn take_out(&self, tokens: &[Token]) -> Vec<OwnedFd> {
        let mut table = self.lock();
        let held = tokens.iter().filter_map(|token| table.held.get_mut(token.0)?.take());
        held.map(|held| held.socket).collect()
    }

    /// Lets the places of sockets that were taken out, and are closed by now, be used again.
    pub(super) fn free(&self, tokens: &[Token]) {
        self.lock().free.extend(tokens.iter().map(|token| token.0));
    }

    /// Does something with a held socket, if it is still held for the same ports.
    pub(super) fn with_socket<T>(&self, token: Token, of: &Arc<Binding>, act: impl FnOnce(&OwnedFd) -> T) -> Option<T> {
        let table = self.lock();
        let held = table.held.get(token.0)?.as_ref().filter(|held| Arc::ptr_eq(&held.binding, of))?;
        Some(act(&held.socket))
    }

    pub(super) fn look_up(&self, token: Token) -> Option<(Arc<Binding>, u16)> {
        let table = self.lock();
        let held = table.held.get(token.0)?.as_ref()?;
        Some((held.binding.clone(), held.number))
    }
}
