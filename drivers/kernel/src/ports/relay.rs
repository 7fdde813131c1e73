//! What arrives at held sockets, thousands of them: one epoll set and one task, not a task for each.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::epoll::{self, EventData, EventFlags};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trestle_core::port::Protocol;
use trestle_core::resource::PublishedPort;
use trestle_core::{Error, Result};

use super::connection;
use super::flow::Flows;
use super::room::Room;

/// A held socket's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token(usize);

/// How many connections or datagrams of one socket are taken before the others have their turn.
const AT_ONCE: usize = 64;

/// Where the ports of one [`PublishedPort`] lead to, until they are let go.
pub(super) struct Binding {
    protocol: Protocol,
    places: watch::Sender<Option<Places>>,
    connections: AtomicUsize,
    /// Somebody was refused since a connection last came.
    full: AtomicBool,
}

/// The container's side of a [`Binding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    first_port: u16,
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

impl Binding {
    pub(super) fn new(port: &PublishedPort) -> Self {
        Self {
            protocol: port.protocol,
            places: watch::Sender::new(Some(Places::of(port))),
            connections: AtomicUsize::new(0),
            full: AtomicBool::new(false),
        }
    }

    /// From now on what arrives is relayed there; what is relayed already goes on.
    pub(super) fn lead_to(&self, port: &PublishedPort) {
        self.places.send_replace(Some(Places::of(port)));
    }

    /// The ports are let go: what is relayed for them ends.
    pub(super) fn end(&self) {
        self.places.send_replace(None);
    }

    /// How many connections are relayed for them.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn connection_comes(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.full.store(false, Ordering::Relaxed);
    }

    /// Whether the first is refused now: worth telling once.
    pub(super) fn is_full_anew(&self) -> bool {
        !self.full.swap(true, Ordering::Relaxed)
    }

    pub(super) fn connection_goes(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Where they lead to now, and a way to notice that they are let go.
    pub(super) fn places(&self) -> watch::Receiver<Option<Places>> {
        self.places.subscribe()
    }
}

impl Places {
    fn of(port: &PublishedPort) -> Self {
        Self { first_port: port.container.first(), v4: port.to_v4.map(Into::into), v6: port.to_v6.map(Into::into) }
    }

    /// Where a client's packets go, best first: the container's address of its own family, then the other.
    pub(super) fn towards(&self, client: SocketAddr, number: u16) -> impl Iterator<Item = SocketAddr> + use<> {
        let port = self.first_port + number;
        let (first, second) = match client.ip().to_canonical() {
            IpAddr::V4(_) => (self.v4, self.v6),
            IpAddr::V6(_) => (self.v6, self.v4),
        };
        first.into_iter().chain(second).map(move |address| SocketAddr::new(address, port))
    }
}

/// Waits until the ports are let go.
pub(super) async fn let_go(places: &mut watch::Receiver<Option<Places>>) {
    // Nobody left to let them go is the same.
    if places.wait_for(Option::is_none).await.is_err() {
        tracing::debug!("the kernel layer has stopped, and with it what it relayed");
    }
}

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

    /// Does something with a held socket, if it is still held for the same ports.
    pub(super) fn with_socket<T>(&self, token: Token, of: &Arc<Binding>, act: impl FnOnce(&OwnedFd) -> T) -> Option<T> {
        let table = self.lock();
        let held = table.held.get(token.0)?.as_ref().filter(|held| Arc::ptr_eq(&held.binding, of))?;
        Some(act(&held.socket))
    }

    fn look_up(&self, token: Token) -> Option<(Arc<Binding>, u16)> {
        let table = self.lock();
        let held = table.held.get(token.0)?.as_ref()?;
        Some((held.binding.clone(), held.number))
    }
}

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
    pub(super) fn add(&self, socket: OwnedFd, binding: &Arc<Binding>, number: u16) -> Result<Token> {
        let mut table = self.table.lock();
        let place = table.free.pop().unwrap_or(table.held.len());
        // Without SCTP's sockets: those only hold.
        if binding.protocol != Protocol::Sctp {
            epoll::add(&self.epoll, &socket, EventData::new_u64(place as u64), EventFlags::IN | EventFlags::ET)
                .map_err(|cause| Error::internal(format!("watching a held socket: {cause}")))?;
        }
        if place == table.held.len() {
            table.held.push(None);
        }
        table.held[place] = Some(Held { socket, binding: binding.clone(), number });
        Ok(Token(place))
    }

    /// Closes a held socket, which takes it out of the epoll set too.
    pub(super) fn remove(&self, token: Token) {
        let mut table = self.table.lock();
        if table.held.get_mut(token.0).and_then(Option::take).is_some() {
            table.free.push(token.0);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
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
            let token = Token(event.data.u64() as usize);
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
    let data = EventData::new_u64(token.0 as u64);
    let set =
        table.with_socket(token, binding, |socket| epoll::modify(epoll, socket, data, EventFlags::IN | EventFlags::ET));
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
