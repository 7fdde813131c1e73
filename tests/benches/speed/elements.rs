//! What it costs to map one port more where 50,000 are mapped: at the kernel layer, where no sockets hold them.

use std::ops::Range;
use std::time::{Duration, Instant};

use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{PublishedPort, Resource};
use trestle_kernel::firewall::Firewall;
use trestle_kernel::mark::Instance;
use trestle_tests::host::Host;

use super::contest::take_turns;
use super::floor::Floor;
use super::library::count_elements;
use super::report::{Figure, median};

/// Rounds that count, unless the command line says another number.
const ROUNDS: usize = 30;
const WARM_UP: usize = 3;

/// How many times in a round a port is added, and removed again.
const TIMES: usize = 200;

const PRESENT: Range<u16> = 10_000..60_000;
const ONE: Range<u16> = 9_000..9_001;

/// A firewall with nothing or much in it.
trait Contestant {
    /// Adds one port, which is removed again; how long the adding took.
    fn add(&mut self) -> Duration;
}

pub(crate) fn measure(rounds: Option<usize>) -> Vec<Figure> {
    let mut contestants: Vec<Box<dyn Contestant>> = vec![
        Box::new(Raw::with(0..0)),
        Box::new(Raw::with(PRESENT)),
        Box::new(Ours::with(0..0)),
        Box::new(Ours::with(PRESENT)),
    ];
    let medians = take_turns(&mut contestants, WARM_UP, rounds.unwrap_or(ROUNDS), |contestant| {
        let times: Vec<Duration> = (0..TIMES).map(|_| contestant.add()).collect();
        median(&times)
    });
    let ratios =
        |with: &[f64], without: &[f64]| with.iter().zip(without).map(|(with, without)| with / without).collect();
    let floor = Figure::new("port_with_50000_over_none_floor", "x", ratios(&medians[1], &medians[0]));
    let figure = Figure::new("port_with_50000_over_none", "x", ratios(&medians[3], &medians[2])).beside(&floor);
    vec![floor, figure]
}

/// Raw netlink.
struct Raw(Floor);

impl Raw {
    fn with(ports: Range<u16>) -> Self {
        let floor = Floor::new();
        let all: Vec<u16> = ports.clone().step_by(CHUNK).collect();
        all.iter().for_each(|first| floor.map(true, &(*first..ports.end.min(first + CHUNK as u16))));
        assert_eq!(count_elements(floor.host(), "floor", "ports"), ports.len());
        Self(floor)
    }
}

/// How many are added at once while it is filled.
const CHUNK: usize = 10_000;

impl Contestant for Raw {
    fn add(&mut self) -> Duration {
        let begun = Instant::now();
        self.0.map(true, &ONE);
        let spent = begun.elapsed();
        self.0.map(false, &ONE);
        spent
    }
}

/// The kernel layer's firewall.
struct Ours {
    firewall: Firewall,
    one: Vec<Resource>,
    _host: Host,
}

impl Ours {
    fn with(ports: Range<u16>) -> Self {
        let host = Host::new("elements");
        let mut firewall = host.run(|| Firewall::open(Instance::new(1))).expect("this kernel has netfilter");
        let resources = published(&ports);
        let all: Vec<&Resource> =
            [Resource::FirewallBase].iter().chain(&resources).collect::<Vec<_>>().into_iter().collect();
        firewall.change(&[], &[], &all).expect("the ports can be mapped");
        assert_eq!(count_elements(&host, "trestle", "any_ports_v4"), ports.len());
        Self { firewall, one: published(&ONE), _host: host }
    }
}

impl Contestant for Ours {
    fn add(&mut self) -> Duration {
        let one: Vec<&Resource> = self.one.iter().collect();
        let begun = Instant::now();
        self.firewall.change(&[], &[], &one).expect("the port can be mapped");
        let spent = begun.elapsed();
        self.firewall.change(&one, &[], &[]).expect("the port can be taken back");
        spent
    }
}

fn published(ports: &Range<u16>) -> Vec<Resource> {
    let port = |number| {
        let range = PortRange::single(number).expect("it is not 0");
        Resource::PublishedPort(PublishedPort {
            protocol: Protocol::Tcp,
            address: None,
            host: range,
            container: range,
            to_v4: Some([10, 84, 1, 0].into()),
            to_v6: None,
        })
    };
    ports.clone().map(port).collect()
}
