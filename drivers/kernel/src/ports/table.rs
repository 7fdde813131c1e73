//! Every held socket, by its place.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trestle_core::port::Protocol;

use super::binding::{Binding, Places};

/// A held socket's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token(pub(super) u32);

/// What sockets are held for.
#[derive(Clone)]
pub(super) enum Purpose {
    /// One port, for which nothing has arrived yet.
    Unheard(Protocol, Places),
    /// Ports that share it.
    Known(Arc<Binding>),
}

struct Held {
    socket: OwnedFd,
    /// How many ports after the first of its range.
    number: u16,
    purpose: Purpose,
}

/// Every held socket. Places of those let go are used again.
#[derive(Default)]
pub(super) struct Table {
    held: Vec<Option<Held>>,
    free: Vec<Token>,
}

/// The table, as it is shared with the task.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Table>>);

impl Purpose {
    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Unheard(protocol, _) => *protocol,
            Self::Known(binding) => binding.protocol,
        }
    }

    fn lead_to(&mut self, to: Places) {
        match self {
            Self::Unheard(_, places) => *places = to,
            Self::Known(binding) => binding.lead_to(to),
        }
    }

    fn end(&self) {
        match self {
            Self::Unheard(..) => {}
            Self::Known(binding) => binding.end(),
        }
    }

    /// What is shared by whoever relays for it, from now on.
    fn binding(&mut self) -> Arc<Binding> {
        let binding = match self {
            Self::Unheard(protocol, places) => Arc::new(Binding::new(*protocol, *places)),
            Self::Known(binding) => return binding.clone(),
        };
        *self = Self::Known(binding.clone());
        binding
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a held socket in, at a place that `watch` is told beforehand and may refuse.
    pub(super) fn add<E>(
        &self,
        socket: OwnedFd,
        purpose: Purpose,
        number: u16,
        watch: impl FnOnce(&OwnedFd, Token) -> Result<(), E>,
    ) -> Result<Token, E> {
        let mut table = self.lock();
        let new = || Token(u32::try_from(table.held.len()).expect("a process has fewer files than that"));
        let place = table.free.last().copied().unwrap_or_else(new);
        watch(&socket, place)?;
        let held = Some(Held { socket, number, purpose });
        match table.free.pop() {
            Some(_) => table.held[place.0 as usize] = held,
            None => table.held.push(held),
        }
        Ok(place)
    }

    /// Makes room for so many more, at once.
    pub(super) fn expect(&self, more: usize) {
        let mut table = self.lock();
        let room = more.saturating_sub(table.free.len());
        table.held.reserve_exact(room);
    }

    /// What arrives at a held socket is relayed there from now on; what is relayed already goes on.
    pub(super) fn lead_to(&self, token: Token, places: Places) {
        if let Some(held) = self.lock().at(token) {
            held.purpose.lead_to(places);
        }
    }

    /// Hands out held sockets, and ends what is relayed for them; whoever closes them takes them out of any epoll set
    /// too. Their places stay theirs until they are freed.
    pub(super) fn take_out(&self, tokens: &[Token]) -> Vec<OwnedFd> {
        let mut table = self.lock();
        let held = tokens.iter().filter_map(|token| table.held.get_mut(token.0 as usize)?.take());
        held.inspect(|held| held.purpose.end()).map(|held| held.socket).collect()
    }

    /// Lets the places of sockets that were taken out, and are closed by now, be used again.
    pub(super) fn free(&self, tokens: &[Token]) {
        let mut table = self.lock();
        table.free.extend(tokens);
        if table.free.len() == table.held.len() {
            *table = Table::default();
        }
    }

    /// Ends what is relayed for any of them.
    pub(super) fn end(&self) {
        self.lock().held.iter().flatten().for_each(|held| held.purpose.end());
    }

    /// Does something with a held socket, if it is still held for the same ports.
    pub(super) fn with_socket<T>(&self, token: Token, of: &Arc<Binding>, act: impl FnOnce(&OwnedFd) -> T) -> Option<T> {
        let mut table = self.lock();
        let held = table.at(token)?;
        match &held.purpose {
            Purpose::Known(binding) if Arc::ptr_eq(binding, of) => Some(act(&held.socket)),
            _ => None,
        }
    }

    pub(super) fn look_up(&self, token: Token) -> Option<(Arc<Binding>, u16)> {
        let mut table = self.lock();
        let held = table.at(token)?;
        Some((held.purpose.binding(), held.number))
    }
}

impl Table {
    fn at(&mut self, token: Token) -> Option<&mut Held> {
        self.held.get_mut(token.0 as usize)?.as_mut()
    }
}
