//! Published ports are held: a socket bound to each, so that no other program takes it. What a firewall can't
//! translate arrives at these sockets, and is relayed to the container.
//!
//! | to find | look in |
//! |---|---|
//! | opening the sockets | `hold` |
//! | who has a port that we can't have | `holder` |
//! | where they lead to; the held sockets themselves | `binding`, `table` |
//! | what arrives | `relay`, `connection` (TCP), `flow` (UDP), `datagram` |
//! | how much of it may be relayed at once | `room` |
//! | thousands at once | `crowd` |
//! | how many files may be open | `limit` |

mod binding;
mod connection;
mod crowd;
mod datagram;
mod flow;
mod hold;
mod holder;
mod limit;
mod relay;
mod room;
mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use trestle_core::kernel::Deviation;
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::PublishedPort;
use trestle_core::{Doing, Result, failpoint};

use binding::Binding;
pub use hold::can_hold;
pub use limit::raise_file_limit;
use relay::Relay;
use table::Token;

type Key = (Protocol, Option<IpAddr>, PortRange);

/// Every port that we hold, or would hold if nobody else did.
pub(crate) struct Ports {
    relay: Relay,
    entries: BTreeMap<Key, Entry>,
}

enum Entry {
    /// Ours. Without sockets where the host has none for the protocol.
    Held { binding: Arc<Binding>, sockets: Vec<Token> },
    /// Somebody else's: its mapping is kept, and we ask again.
    Wanted,
}

impl Ports {
    /// Must be called in the runtime that relays.
    pub(crate) fn open() -> Result<Self> {
        Ok(Self { relay: Relay::start()?, entries: BTreeMap::new() })
    }

    /// Holds ports; where they are held already, what arrives there is relayed to the new place.
    ///
    /// # Errors
    /// `Conflict` if another program has one, with its name; nothing is held then.
    pub(crate) fn hold(&mut self, port: &PublishedPort) -> Result<()> {
        self.hold_all(&[port])
    }

    /// The same for many, one after the other: what comes before an error is held.
    pub(crate) fn hold_all(&mut self, ports: &[&PublishedPort]) -> Result<()> {
        let (held, new): (Vec<&PublishedPort>, Vec<&PublishedPort>) =
            ports.iter().partition(|port| matches!(self.entries.get(&key(port)), Some(Entry::Held { .. })));
        for port in held {
            if let Some(Entry::Held { binding, .. }) = self.entries.get(&key(port)) {
                binding.lead_to(port);
            }
        }
        let opened = crowd::share(&new, hold::open_until_refused);
        for (port, sockets) in new.iter().zip(opened.into_iter().flatten()) {
            self.take_in(port, sockets.doing(|| format!("holding {port}"))?)?;
        }
        Ok(())
    }

    /// Relays from now on what arrives at these sockets.
    fn take_in(&mut self, port: &PublishedPort, opened: Vec<OwnedFd>) -> Result<()> {
        let binding = Arc::new(Binding::new(port));
        let mut sockets = Vec::with_capacity(opened.len());
        for (number, socket) in opened.into_iter().enumerate() {
            match self.relay.add(socket, &binding, number as u16) {
                Ok(token) => sockets.push(token),
                Err(error) => {
                    self.relay.remove(&sockets);
                    return Err(error).doing(|| format!("holding {port}"));
                }
            }
        }
        self.entries.insert(key(port), Entry::Held { binding, sockets });
        failpoint!("kernel.port-held");
        Ok(())
    }

    /// Holds ports if nobody else does; if somebody does, [`Ports::verify`] tells.
    pub(crate) fn hold_or_remember(&mut self, port: &PublishedPort) {
        if let Err(error) = self.hold(port) {
            tracing::warn!(%error, "a published port is not held");
            self.entries.insert(key(port), Entry::Wanted);
        }
    }

    /// Lets go of ports, and cuts what is relayed for them. Ports that are not held are let go already.
    pub(crate) fn let_go(&mut self, ports: &[&PublishedPort]) {
        let mut gone = Vec::with_capacity(ports.len());
        for port in ports {
            if let Some(Entry::Held { binding, sockets }) = self.entries.remove(&key(port)) {
                binding.end();
                gone.extend(sockets);
            }
        }
        self.relay.remove(&gone);
        if !gone.is_empty() {
            failpoint!("kernel.port-let-go");
        }
    }

    /// In what way ports are not held. Tries again to hold what another program had.
    pub(crate) fn verify(&mut self, port: &PublishedPort) -> Option<(Deviation, String)> {
        match self.entries.get(&key(port)) {
            Some(Entry::Held { .. }) => None,
            None => Some((Deviation::Missing, "nobody holds it".into())),
            Some(Entry::Wanted) => {
                let error = self.hold(port).err()?;
                Some((Deviation::Obstructed, format!("{}; its mapping is kept", error.cause())))
            }
        }
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        for entry in self.entries.values() {
            if let Entry::Held { binding, .. } = entry {
                binding.end();
            }
        }
    }
}

fn key(port: &PublishedPort) -> Key {
    (port.protocol, port.address, port.host)
}
