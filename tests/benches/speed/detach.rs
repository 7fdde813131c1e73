//! What a detach costs: until the answer, and until nothing is left.

use std::time::{Duration, Instant};

use super::contest::{rest, take_turns};
use super::floor::Floor;
use super::library::Trestle;
use super::report::Figure;

/// Rounds that count, unless the command line says another number.
const ROUNDS: usize = 100;
const WARM_UP: usize = 10;

/// How many containers go in one go, where everything is waited for.
const MANY: u16 = 64;

/// The first of the ports that containers publish, one each.
const PORT: u16 = 20000;

/// Someone who detaches, on a host of his own.
trait Contestant {
    /// How long it took to detach a container that was attached for it, until the answer.
    fn answer(&mut self) -> Duration;

    /// How long it took to detach [`MANY`], until everything of all is gone, for each.
    fn sustained(&mut self) -> Duration;
}

pub(crate) fn measure(rounds: Option<usize>) -> Vec<Figure> {
    let mut contestants: Vec<Box<dyn Contestant>> = vec![Box::new(Floor::new()), Box::new(Trestle::new())];
    let rounds = rounds.unwrap_or(ROUNDS);
    let answers = take_turns(&mut contestants, WARM_UP, rounds, |contestant| {
        let spent = contestant.answer();
        rest(1);
        spent
    });
    let sustained = take_turns(&mut contestants, 1, rounds.div_ceil(10), |contestant| {
        let spent = contestant.sustained();
        rest(usize::from(MANY));
        spent
    });
    [("detach_answer_floor", "detach_answer", answers), ("detach_sustained_floor", "detach_sustained", sustained)]
        .into_iter()
        .flat_map(|(floor, id, times)| {
            let floor = Figure::times(floor, &times[0]);
            let figure = Figure::times(id, &times[1]).beside(&floor);
            [floor, figure]
        })
        .collect()
}

impl Contestant for Floor {
    fn answer(&mut self) -> Duration {
        self.host().run(|| {
            let container = self.attach(0, PORT..PORT + 1);
            let begun = Instant::now();
            self.cut_off(container);
            let spent = begun.elapsed();
            self.reap();
            spent
        })
    }

    fn sustained(&mut self) -> Duration {
        self.host().run(|| {
            let containers: Vec<_> =
                (0..MANY).map(|number| self.attach(number, PORT + number..PORT + number + 1)).collect();
            let begun = Instant::now();
            containers.into_iter().for_each(|container| self.cut_off(container));
            self.reap();
            begun.elapsed() / u32::from(MANY)
        })
    }
}

impl Contestant for Trestle {
    fn answer(&mut self) -> Duration {
        let (_, attached) = self.attach(&[format!("{PORT}:80/tcp")]);
        assert_eq!(self.elements("any_ports_v4"), 1);
        let spent = self.detach(&attached);
        assert_eq!(self.elements("any_ports_v4"), 0);
        self.settle();
        spent
    }

    fn sustained(&mut self) -> Duration {
        let ports = (0..MANY).map(|number| format!("{}:80/tcp", PORT + number)).collect();
        let attached: Vec<_> = self.attach_in_a_row(ports).into_iter().map(|(_, attached)| attached).collect();
        assert_eq!(self.elements("any_ports_v4"), usize::from(MANY));
        let spent = self.detach_all(&attached);
        assert_eq!(self.elements("any_ports_v4"), 0);
        self.settle();
        spent / u32::from(MANY)
    }
}
