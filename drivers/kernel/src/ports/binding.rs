//! Where published ports lead to, and how one notices that they are let go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use trestle_core::port::Protocol;
use trestle_core::resource::PublishedPort;

/// Where the ports of one [`PublishedPort`] lead to, until they are let go. Made when something arrives for the first
/// time, for most ports never relay anything.
pub(super) struct Binding {
    pub(super) protocol: Protocol,
    led: Mutex<Led>,
    connections: AtomicUsize,
    /// Somebody was refused since a connection last came.
    full: AtomicBool,
}

/// Where it leads to now, and who is to be told of a change. The channel is made for the first who asks.
struct Led {
    places: Option<Places>,
    watched: Option<watch::Sender<Option<Places>>>,
}

/// The container's side of a [`Binding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    first_port: u16,
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl Binding {
    pub(super) fn new(protocol: Protocol, places: Places) -> Self {
        Self {
            protocol,
            led: Mutex::new(Led { places: Some(places), watched: None }),
            connections: AtomicUsize::new(0),
            full: AtomicBool::new(false),
        }
    }

    /// From now on what arrives is relayed there; what is relayed already goes on.
    pub(super) fn lead_to(&self, places: Places) {
        self.lead(Some(places));
    }

    /// The ports are let go: what is relayed for them ends.
    pub(super) fn end(&self) {
        self.lead(None);
    }

    fn lead(&self, places: Option<Places>) {
        let mut led = self.led();
        led.places = places;
        if let Some(watched) = &led.watched {
            watched.send_replace(places);
        }
    }

    fn led(&self) -> MutexGuard<'_, Led> {
        self.led.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut led = self.led();
        let now = led.places;
        led.watched.get_or_insert_with(|| watch::Sender::new(now)).subscribe()
    }
}

impl Places {
    pub(super) fn of(port: &PublishedPort) -> Self {
        Self { first_port: port.container.first(), v4: port.to_v4, v6: port.to_v6 }
    }

    /// Where a client's packets go, best first: the container's address of its own family, then the other.
    pub(super) fn towards(&self, client: SocketAddr, number: u16) -> impl Iterator<Item = SocketAddr> + use<> {
        let port = self.first_port + number;
        let (v4, v6) = (self.v4.map(IpAddr::V4), self.v6.map(IpAddr::V6));
        let (first, second) = match client.ip().to_canonical() {
            IpAddr::V4(_) => (v4, v6),
            IpAddr::V6(_) => (v6, v4),
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
