//! What it costs to attach a container with thousands of published ports, each its own mapping, and to detach it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::contest::{rest, take_turns};
use super::floor::Floor;
use super::library::{Trestle, each_to_itself};
use super::report::Figure;

/// Rounds that count, unless the command line says another number.
const ROUNDS: usize = 10;
const WARM_UP: usize = 2;

const FIRST: u16 = 20000;

/// Someone who publishes, on a host of his own.
trait Contestant {
    /// Attaches a container with these ports, and detaches it. How long each took, until the answer.
    fn publish(&mut self, ports: &Range<u16>) -> (Duration, Duration);
}

pub(crate) fn measure(rounds: Option<usize>) -> Vec<Figure> {
    let mut contestants: Vec<Box<dyn Contestant>> = vec![Box::new(Floor::new()), Box::new(Trestle::new())];
    let rounds = rounds.unwrap_or(ROUNDS);
    let mut measure =
        |count: u16, rounds, [floor_id, id]: [&'static str; 2], [floor_gone_id, gone_id]: [&'static str; 2]| {
            let times = take_turns(&mut contestants, WARM_UP, rounds, |contestant| {
                let times = contestant.publish(&(FIRST..FIRST + count));
                rest(1);
                times
            });
            let [floor, ours] = [0, 1].map(|at: usize| times[at].iter().copied().unzip::<_, _, Vec<_>, Vec<_>>());
            let floor_come = Figure::times(floor_id, &floor.0);
            let floor_gone = Figure::times(floor_gone_id, &floor.1);
            let come = Figure::times(id, &ours.0).beside(&floor_come);
            let gone = Figure::times(gone_id, &ours.1).beside(&floor_gone);
            [floor_come, come, floor_gone, gone]
        };
    let thousand =
        measure(1000, rounds * 3, ["ports_1000_floor", "ports_1000"], ["ports_1000_detach_floor", "ports_1000_detach"]);
    let ten_thousand = measure(
        10_000,
        rounds,
        ["ports_10000_floor", "ports_10000"],
        ["ports_10000_detach_floor", "ports_10000_detach"],
    );
    thousand.into_iter().chain(ten_thousand).collect()
}

impl Contestant for Floor {
    fn publish(&mut self, ports: &Range<u16>) -> (Duration, Duration) {
        self.host().run(|| {
            let begun = Instant::now();
            let container = self.attach(0, ports.clone());
            let come = begun.elapsed();
            let begun = Instant::now();
            self.cut_off(container);
            let gone = begun.elapsed();
            self.reap();
            (come, gone)
        })
    }
}

impl Contestant for Trestle {
    fn publish(&mut self, ports: &Range<u16>) -> (Duration, Duration) {
        let (come, attached) = self.attach(&each_to_itself(ports));
        assert_eq!(self.elements("any_ports_v4"), ports.len());
        let last = ports.end - 1;
        let inside = self.host().namespace_at(&attached.path);
        let server = inside.run(|| TcpListener::bind(("0.0.0.0", last))).expect("nobody else listens there");
        let client = self.host().run(|| TcpStream::connect(("127.0.0.1", last))).expect("the last port leads there");
        let (_, seen) = server.accept().expect("it was connected to");
        assert!(matches!(seen, SocketAddr::V4(_)) && client.peer_addr().is_ok());
        drop((client, server));
        let gone = self.detach(&attached);
        assert_eq!(self.elements("any_ports_v4"), 0);
        self.host().run(|| TcpListener::bind(("::", last))).expect("the last port is free again");
        self.settle();
        (come, gone)
    }
}
