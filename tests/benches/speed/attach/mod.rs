//! What an attach costs: a container with a new namespace and one published port.
//!
//! | to find | look in |
//! |---|---|
//! | Trestle within this process | [`library`] |
//! | Trestle over its daemon's socket | [`socket`] |
//!
//! Each attach is undone, and its debris gone, before the next one starts.

mod library;
pub(crate) mod socket;

use std::time::{Duration, Instant};

use super::NETWORK;
use super::contest::{rest, take_turns};
use super::floor::{Container, Floor};
use super::report::Figure;
use library::InProcess;
use socket::OverSocket;

/// Rounds that count, unless the command line says another number.
const ROUNDS: usize = 200;

/// Rounds that don't, before them: caches fill, modules load.
const WARM_UP: usize = 20;

/// The port that every container publishes.
pub(crate) const PORT: &str = "8080:80/tcp";

/// Someone who attaches, on a host of his own.
pub(crate) trait Contestant {
    /// The name of his figure.
    fn id(&self) -> &'static str;

    /// Attaches a new container with one published port. How long it took.
    fn attach(&mut self) -> Duration;

    /// Undoes it. Whatever can be waited for is gone then.
    fn detach(&mut self);
}

/// Everyone in turn; the first is what the others are compared to.
pub(crate) fn measure(rounds: Option<usize>) -> Vec<Figure> {
    let mut contestants: Vec<Box<dyn Contestant>> = vec![
        Box::new(AtFloor::new()),
        Box::new(InProcess::cold()),
        Box::new(InProcess::warm()),
        Box::new(OverSocket::new()),
    ];
    let times = take_turns(&mut contestants, WARM_UP, rounds.unwrap_or(ROUNDS), |contestant| {
        let spent = contestant.attach();
        contestant.detach();
        rest(1);
        spent
    });
    let figures: Vec<Figure> =
        contestants.iter().zip(times).map(|(it, times)| Figure::times(it.id(), &times)).collect();
    let floor = Figure::median(&figures[0]);
    figures.into_iter().map(|figure| figure.beside_median(floor)).collect()
}

/// Raw netlink.
struct AtFloor {
    floor: Floor,
    attached: Option<Container>,
}

impl AtFloor {
    fn new() -> Self {
        Self { floor: Floor::new(), attached: None }
    }
}

impl Contestant for AtFloor {
    fn id(&self) -> &'static str {
        "floor"
    }

    fn attach(&mut self) -> Duration {
        let (spent, attached) = self.floor.host().run(|| {
            let begun = Instant::now();
            let attached = self.floor.attach(0, 8080..8081);
            (begun.elapsed(), attached)
        });
        self.attached = Some(attached);
        spent
    }

    fn detach(&mut self) {
        let attached = self.attached.take().expect("something is attached");
        self.floor.host().run(|| {
            self.floor.cut_off(attached);
            self.floor.reap();
        });
    }
}
