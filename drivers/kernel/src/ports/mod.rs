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
use std::sync::Arc;

use trestle_core::kernel::Deviation;
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::PublishedPort;
use trestle_core::{Doing, Result, failpoint};

use binding::{Binding, Places};
pub use hold::can_hold;
pub use limit::raise_file_limit;
use relay::Relay;
use table::{Purpose, Token};

type Key = (Protocol, Option<IpAddr>, PortRange);

/// Every port that we hold, or would hold if nobody else did.
pub(crate) struct Ports {
    relay: Relay,
    entries: BTreeMap<Key, Entry>,
}

enum Entry {
    /// Ours: a single port.
    Held(Token),
    /// Ours: several ports, or none where the host has no sockets for the protocol.
    HeldTogether(Box<[Token]>),
    /// Somebody else's: its mapping is kept, and we ask again.
    Wanted,
}

impl Entry {
    /// Its sockets; none if it is not ours.
    fn sockets(&self) -> Option<&[Token]> {
        match self {
            Self::Held(token) => Some(std::slice::from_ref(token)),
            Self::HeldTogether(tokens) => Some(tokens),
            Self::Wanted => None,
        }
    }
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
        let held = |port: &&&PublishedPort| self.entries.get(&key(port)).is_some_and(|it| it.sockets().is_some());
        let (held, new): (Vec<&PublishedPort>, Vec<&PublishedPort>) = ports.iter().partition(held);
        for port in held {
            let sockets = self.entries.get(&key(port)).and_then(Entry::sockets).unwrap_or_default();
            // All sockets of a range share where they lead to.
            sockets.first().iter().for_each(|token| self.relay.lead_to(**token, Places::of(port)));
        }
        self.relay.expect(new.iter().map(|port| port.host.count() as usize).sum());
        let relay = &self.relay;
        let mut opened = crowd::share(&new, |some| open_until_refused(relay, some)).into_iter().flatten();
        for (port, entry) in new.iter().zip(&mut opened) {
            match entry {
                Ok(entry) => drop(self.entries.insert(key(port), entry)),
                Err(error) => {
                    // Others worked on what comes after it.
                    let too_many: Vec<Token> =
                        opened.flatten().flat_map(|entry| entry.sockets().unwrap_or_default().to_vec()).collect();
                    self.relay.remove(&too_many);
                    return Err(error);
                }
            }
            failpoint!("kernel.port-held");
        }
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
            if let Some(entry) = self.entries.remove(&key(port)) {
                gone.extend_from_slice(entry.sockets().unwrap_or_default());
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
            Some(Entry::Held(_) | Entry::HeldTogether(_)) => None,
            None => Some((Deviation::Missing, "nobody holds it".into())),
            Some(Entry::Wanted) => {
                let error = self.hold(port).err()?;
                Some((Deviation::Obstructed, format!("{}; its mapping is kept", error.cause())))
            }
        }
    }
}

/// Holds some ports, up to and with the first refusal: to find out who has a port takes long.
fn open_until_refused(relay: &Relay, ports: &[&PublishedPort]) -> Vec<Result<Entry>> {
    let mut entries = Vec::with_capacity(ports.len());
    for port in ports {
        entries.push(open(relay, port).doing(|| format!("holding {port}")));
        if entries.last().is_some_and(Result::is_err) {
            break;
        }
    }
    entries
}

/// Holds a port, or a range of them; what arrives there is relayed from now on.
fn open(relay: &Relay, port: &PublishedPort) -> Result<Entry> {
    let (protocol, places) = (port.protocol, Places::of(port));
    let mut sockets = hold::open(port)?;
    if port.host.count() == 1
        && let Some(socket) = sockets.pop()
    {
        return relay.add(socket, Purpose::Unheard(protocol, places), 0).map(Entry::Held);
    }
    let purpose = Purpose::Known(Arc::new(Binding::new(protocol, places)));
    let mut tokens = Vec::with_capacity(sockets.len());
    for (number, socket) in (0..).zip(sockets) {
        match relay.add(socket, purpose.clone(), number) {
            Ok(token) => tokens.push(token),
            Err(error) => {
                relay.remove(&tokens);
                return Err(error);
            }
        }
    }
    Ok(Entry::HeldTogether(tokens.into()))
}

fn key(port: &PublishedPort) -> Key {
    (port.protocol, port.address, port.host)
}
