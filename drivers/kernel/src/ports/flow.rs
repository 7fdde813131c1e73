//! UDP has no connections, so a client that asks and its answers are a flow, until nothing comes for a while.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::SendFlags;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::binding::{Binding, let_go};
use super::datagram::{self, Destination};
use super::room;
use super::table::{Shared, Token};

/// How long a flow lasts without a packet either way: the connection tracker's `nf_conntrack_udp_timeout_stream`.
const IDLE: Duration = Duration::from_secs(120);

/// Who asks, at which held socket, and at which address of ours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    socket: Token,
    client: SocketAddr,
    destination: Option<(Ipv6Addr, u32)>,
}

struct Flow {
    socket: UdpSocket,
    /// Datagrams of the client so far: whether it was idle is whether this stood still.
    asked: AtomicU64,
    /// When a datagram last went either way, counted in datagrams of all flows.
    used: AtomicU64,
    /// It has to make room for another.
    ousted: Notify,
    binding: Arc<Binding>,
}

/// Every flow, shared with their tasks.
#[derive(Clone)]
pub(super) struct Flows {
    table: Shared,
    flows: Arc<Mutex<BTreeMap<Key, Arc<Flow>>>>,
    clock: Arc<AtomicU64>,
    /// Room for one answer: they are passed on one at a time, and never wait.
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Flows {
    pub(super) fn new(table: Shared) -> Self {
        let answer = vec![0; usize::from(u16::MAX)];
        Self { table, flows: Arc::default(), clock: Arc::default(), answer: Arc::new(Mutex::new(answer)) }
    }

    /// Passes on what waits at a held socket, at most so many datagrams; whether some are left.
    pub(super) fn take_in(
        &self,
        token: Token,
        binding: &Arc<Binding>,
        number: u16,
        buffer: &mut [u8],
        most: usize,
    ) -> bool {
        for _ in 0..most {
            match self.table.with_socket(token, binding, |socket| datagram::receive(socket, buffer)) {
                Some(Ok((length, client, destination))) => {
                    let passed = self.pass_on(token, binding, number, &buffer[..length], client, destination);
                    if let Err(cause) = passed {
                        tracing::debug!(%client, %cause, "a datagram to a published port is dropped");
                    }
                }
                Some(Err(cause)) if cause.kind() == io::ErrorKind::WouldBlock => return false,
                // The kernel tells an error of an earlier answer this way, once.
                Some(Err(cause)) => tracing::debug!(%cause, "a published UDP port"),
                None => return false,
            }
        }
        true
    }

    fn pass_on(
        &self,
        token: Token,
        binding: &Arc<Binding>,
        number: u16,
        datagram: &[u8],
        client: SocketAddr,
        destination: Option<Destination>,
    ) -> io::Result<()> {
        let key = Key { socket: token, client, destination: destination.map(|it| it.key()) };
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = flows.get(&key).filter(|flow| Arc::ptr_eq(&flow.binding, binding)).cloned();
        let flow = match known {
            Some(flow) => flow,
            None => {
                make_room(&mut flows, binding);
                let flow = Arc::new(begin(binding, client, number)?);
                flows.insert(key, flow.clone());
                tokio::spawn(self.clone().answer(key, flow.clone(), destination));
                flow
            }
        };
        drop(flows);
        flow.asked.fetch_add(1, Ordering::Relaxed);
        self.touch(&flow);
        // Not tokio's: it has yet to learn that a new socket can be written to.
        rustix::net::send(&flow.socket, datagram, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn touch(&self, flow: &Flow) {
        flow.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Passes answers back until the flow is idle or its port let go.
    async fn answer(self, key: Key, flow: Arc<Flow>, destination: Option<Destination>) {
        let mut places = flow.binding.places();
        let flow_ends = async {
            loop {
                let asked = flow.asked.load(Ordering::Relaxed);
                match timeout(IDLE, flow.socket.readable()).await {
                    Ok(Ok(())) => self.pass_back(key, &flow, destination),
                    Ok(Err(_)) => return,
                    Err(_) if flow.asked.load(Ordering::Relaxed) == asked => return,
                    Err(_) => {}
                }
            }
        };
        tokio::select! {
            () = flow_ends => {}
            () = flow.ousted.notified() => {}
            () = let_go(&mut places) => {}
        }
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        if flows.get(&key).is_some_and(|there| Arc::ptr_eq(there, &flow)) {
            flows.remove(&key);
        }
    }

    fn pass_back(&self, key: Key, flow: &Flow, destination: Option<Destination>) {
        let mut buffer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(length) = flow.socket.try_recv(&mut buffer) {
            self.touch(flow);
            let sent = self.table.with_socket(key.socket, &flow.binding, |socket| {
                datagram::answer(socket, &buffer[..length], key.client, destination)
            });
            if let Some(Err(cause)) = sent {
                tracing::debug!(client = %key.client, %cause, "an answer of a published port is dropped");
            }
        }
    }
}

/// Ousts the flow that was idle for longest, where one more would be too many: of the same port if that is full, else of
/// the port with the most.
fn make_room(flows: &mut BTreeMap<Key, Arc<Flow>>, binding: &Arc<Binding>) {
    let mut of_each: BTreeMap<*const Binding, usize> = BTreeMap::new();
    for flow in flows.values() {
        *of_each.entry(Arc::as_ptr(&flow.binding)).or_default() += 1;
    }
    let own = Arc::as_ptr(binding);
    let full = match of_each.get(&own).is_some_and(|count| *count >= room::most_of_one()) {
        true => own,
        false if flows.len() < room::most() => return,
        false => of_each.into_iter().max_by_key(|(_, count)| *count).map_or(own, |(binding, _)| binding),
    };
    let of_it = flows.iter().filter(|(_, flow)| Arc::as_ptr(&flow.binding) == full);
    let idlest = of_it.min_by_key(|(_, flow)| flow.used.load(Ordering::Relaxed)).map(|(key, _)| *key);
    if let Some(flow) = idlest.and_then(|key| flows.remove(&key)) {
        flow.ousted.notify_one();
    }
}

fn begin(binding: &Arc<Binding>, client: SocketAddr, number: u16) -> io::Result<Flow> {
    let places = *binding.places().borrow();
    let target = places.and_then(|it| it.towards(client, number).next()).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(target)?;
    let socket = UdpSocket::from_std(socket)?;
    let (asked, used) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    Ok(Flow { socket, asked, used, ousted: Notify::new(), binding: binding.clone() })
}
