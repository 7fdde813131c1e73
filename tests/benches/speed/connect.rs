//! What a connection's set-up costs through one of 500 published ports, and through a single one.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use trestle_tests::host::Host;
use trestle_tests::landscape::{ROUTER, hosts};
use trestle_tests::namespace::Namespace;
use trestle_tests::wire;

use super::contest::take_turns;
use super::library::{Attached, Trestle};
use super::report::{Figure, median};

/// Rounds that count, unless the command line says another number.
const ROUNDS: usize = 30;
const WARM_UP: usize = 2;

/// Connections in a round.
const TIMES: usize = 300;

const FIRST: u16 = 20_000;
const MANY: u16 = 500;

pub(crate) fn measure(rounds: Option<usize>) -> Vec<Figure> {
    let mut contestants = vec![Box::new(Service::with(1)), Box::new(Service::with(MANY))];
    let medians = take_turns(&mut contestants, WARM_UP, rounds.unwrap_or(ROUNDS), |service| service.connect());
    let ratios = medians[1].iter().zip(&medians[0]).map(|(many, one)| many / one).collect();
    let one = Figure::new("connect_1_port", "ms", medians[0].clone());
    let many = Figure::new("connect_500_ports", "ms", medians[1].clone()).beside(&one);
    vec![one, many, Figure::new("connect_500_ports_over_1", "x", ratios)]
}

/// A container that is reached from a host beyond a wire.
struct Service {
    outside: Host,
    port: u16,
    /// How many connections the container has seen.
    accepted: Arc<AtomicUsize>,
    _trestle: Trestle,
    _attached: Attached,
}

impl Service {
    fn with(ports: u16) -> Self {
        let (router, outside) = hosts(wire::MTU);
        let trestle = Trestle::on(Arc::clone(&router));
        let requests: Vec<String> = (FIRST..FIRST + ports).map(|port| format!("{port}:80/tcp")).collect();
        let (_, attached) = trestle.attach(&requests);
        assert_eq!(trestle.elements("any_ports_v4"), usize::from(ports));
        let inside: Namespace = trestle.host().namespace_at(&attached.path);
        let server = inside.run(|| TcpListener::bind(("0.0.0.0", 80))).expect("nobody else listens there");
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        // It ends with the program: what waits for connections can't be told to stop otherwise.
        thread::spawn(move || {
            server.incoming().for_each(|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        Self { outside, port: FIRST + ports - 1, accepted, _trestle: trestle, _attached: attached }
    }

    /// Connects again and again through the last port: how long one took, in milliseconds.
    fn connect(&self) -> f64 {
        let [target @ IpAddr::V4(_), _] = ROUTER else { panic!("the router's first address is IPv4") };
        let target = SocketAddr::new(target, self.port);
        let before = self.accepted.load(Ordering::Relaxed);
        let times: Vec<Duration> = self.outside.run(|| (0..TIMES).map(|_| connect(target)).collect());
        // Had the daemon's own socket taken them, this would wait for ever.
        while self.accepted.load(Ordering::Relaxed) < before + TIMES {
            thread::yield_now();
        }
        median(&times)
    }
}

/// How long one connection took. It ends at once, without leaving its port of the client in use.
fn connect(target: SocketAddr) -> Duration {
    let (kind, flags) = (SocketType::STREAM, SocketFlags::CLOEXEC);
    let socket =
        rustix::net::socket_with(AddressFamily::INET, kind, flags, Some(ipproto::TCP)).expect("a socket opens");
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).expect("a socket can be told to end at once");
    let begun = Instant::now();
    rustix::net::connect(&socket, &target).expect("the published port is reached");
    begun.elapsed()
}
