//! What arrives at held sockets, thousands of them: one epoll set and one task, not a task for each.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll::{self, EventData, EventFlags};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use trestle_core::port::Protocol;
use trestle_core::{Error, Result};

use super::binding::{Binding, Places};
use super::flow::Flows;
use super::room::Room;
use super::table::{Purpose, Shared, Token};
use super::{connection, crowd};

/// How many connections or datagrams of one socket are taken before the others have their turn.
const AT_ONCE: usize = 64;

/// The epoll set, the table and the task.
pub(super) struct Relay {
    epoll: Arc<OwnedFd>,
    table: Shared,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts the task in the runtime of the caller.
    pub(super) fn start() -> Result<Self> {
        let failed = |cause: std::io::Error| Error::internal(format!("getting ready to relay ports: {cause}"));
        let runtime = Handle::try_current()
            .map_err(|_| Error::internal("the kernel layer has to be opened in a tokio runtime, which relays ports"))?;
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|cause| failed(cause.into()))?);
        let table = Shared::default();
        // SAFETY: an Arc of an OwnedFd names the same open file for as long as it lives.
        let ready = unsafe { AsyncFd::register(epoll.clone()) }.map_err(|refused| failed(refused.into()))?;
        let task = runtime.spawn(serve(ready, table.clone()));
        Ok(Self { epoll, table, task })
    }

    /// Takes a held socket in; what arrives there is relayed from now on.
    pub(super) fn add(&self, socket: OwnedFd, purpose: Purpose, number: u16) -> Result<Token> {
        let protocol = purpose.protocol();
        self.table.add(socket, purpose, number, |socket, token| {
            // Without SCTP's sockets: those only hold.
            if protocol == Protocol::Sctp {
                return Ok(());
            }
            epoll::add(&self.epoll, socket, data(token), EventFlags::IN | EventFlags::ET)
                .map_err(|cause| Error::internal(format!("watching a held socket: {cause}")))
        })
    }

    /// Makes room for so many more held sockets.
    pub(super) fn expect(&self, more: usize) {
        self.table.expect(more);
    }

    /// What arrives at a held socket is relayed there from now on.
    pub(super) fn lead_to(&self, token: Token, places: Places) {
        self.table.lead_to(token, places);
    }

    /// Closes held sockets, which takes them out of the epoll set too, and cuts what is relayed for them. They are closed
    /// when this returns.
    pub(super) fn remove(&self, tokens: &[Token]) {
        crowd::share(tokens, |some| drop(self.table.take_out(some)));
        self.table.free(tokens);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.table.end();
        self.task.abort();
    }
}

/// How an event tells of which socket it is.
fn data(token: Token) -> EventData {
    EventData::new_u64(u64::from(token.0))
}

async fn serve(ready: AsyncFd<Arc<OwnedFd>>, table: Shared) {
    let mut server = Server {
        flows: Flows::new(table.clone()),
        room: Room::default(),
        table,
        buffer: vec![0; usize::from(u16::MAX)],
    };
    loop {
        let turn = match ready.readable().await {
            Err(cause) => Err(cause),
            Ok(mut guard) => server.turn(ready.get_ref()).inspect(|count| {
                if *count == 0 {
                    guard.clear_ready();
                }
            }),
        };
        if let Err(cause) = turn {
            return tracing::error!(%cause, "published ports are not relayed any more");
        }
        tokio::task::yield_now().await;
    }
}

struct Server {
    table: Shared,
    flows: Flows,
    room: Room,
    buffer: Vec<u8>,
}

impl Server {
    /// Takes in what has arrived, at some sockets; at how many.
    fn turn(&mut self, epoll: &Arc<OwnedFd>) -> std::io::Result<usize> {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 64];
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let count = epoll::wait(epoll, &mut events[..], Some(&none))?;
        for event in &events[..count] {
            let token = Token(event.data.u64() as u32);
            let Some((binding, number)) = self.table.look_up(token) else { continue };
            let more = match binding.protocol {
                Protocol::Tcp => accept_all(&self.table, &self.room, token, &binding, number),
                Protocol::Udp => self.flows.take_in(token, &binding, number, &mut self.buffer, AT_ONCE),
                Protocol::Sctp => false,
            };
            if more {
                remind(&self.table, token, &binding, epoll);
            }
        }
        Ok(count)
    }
}

/// An edge-triggered socket that was not read empty tells so again when it is set anew.
fn remind(table: &Shared, token: Token, binding: &Arc<Binding>, epoll: &Arc<OwnedFd>) {
    let flags = EventFlags::IN | EventFlags::ET;
    let set = table.with_socket(token, binding, |socket| epoll::modify(epoll, socket, data(token), flags));
    if let Some(Err(cause)) = set {
        tracing::warn!(%cause, "a held socket may be heard late");
    }
}

/// Accepts every waiting connection; whether some are left. One that finds no room is reset at once: its client knows,
/// and may come again, while it would be forgotten in the queue.
fn accept_all(table: &Shared, room: &Room, token: Token, binding: &Arc<Binding>, number: u16) -> bool {
    for _ in 0..AT_ONCE {
        let accepted = table.with_socket(token, binding, |socket| {
            rustix::net::acceptfrom_with(
                socket.as_fd(),
                rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK,
            )
        });
        match accepted {
            Some(Ok((stream, Some(client)))) => match SocketAddr::try_from(client) {
                Ok(client) => match room.take(binding) {
                    Some(place) => connection::relay(stream.into(), client, binding.places(), number, place),
                    None => {
                        if binding.is_full_anew() {
                            tracing::warn!(%client, "connections to a published port are refused: too many are relayed");
                        }
                        if let Err(cause) = connection::reset(&stream) {
                            tracing::debug!(%client, %cause, "a refused connection can only be closed");
                        }
                    }
                },
                Err(cause) => tracing::debug!(%cause, "a connection from nowhere"),
            },
            Some(Ok((_, None)) | Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR)) => {}
            Some(Err(rustix::io::Errno::AGAIN)) | None => return false,
            Some(Err(cause)) => {
                // Such as too many open files: it waits in the queue until the next one arrives.
                tracing::warn!(%cause, "a connection to a published port can't be accepted");
                return false;
            }
        }
    }
    true
}
