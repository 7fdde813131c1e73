//! What the 500th attach to one bridge costs beside the first, and all of them together.

use std::time::{Duration, Instant};

use super::contest::{rest, take_turns};
use super::floor::Floor;
use super::library::Trestle;
use super::report::{Figure, median};

/// Rounds that count, unless the command line says another number.
const ROUNDS: usize = 5;

/// How many containers are attached in a row, with one published port each.
const MANY: u16 = 500;

/// How many at either end of the row stand for the first and the last: a single one is too much at the mercy of chance.
const SOME: usize = 10;

/// The first of the ports that containers publish.
const PORT: u16 = 20000;

/// Someone who attaches, on a host of his own.
trait Contestant {
    /// Attaches [`MANY`] containers; how long each took. They are gone again afterwards.
    fn attach_many(&mut self) -> Vec<Duration>;
}

pub(crate) fn measure(rounds: Option<usize>) -> Vec<Figure> {
    let mut contestants: Vec<Box<dyn Contestant>> = vec![Box::new(Floor::new()), Box::new(Trestle::new())];
    let rows = take_turns(&mut contestants, 1, rounds.unwrap_or(ROUNDS), |contestant| {
        let times = contestant.attach_many();
        rest(times.len());
        times
    });
    let growth = |rows: &[Vec<Duration>]| -> Vec<f64> {
        rows.iter().map(|row| median(&row[row.len() - SOME..]) / median(&row[..SOME])).collect()
    };
    let totals = |rows: &[Vec<Duration>]| -> Vec<Duration> { rows.iter().map(|row| row.iter().sum()).collect() };
    let growth_floor = Figure::new("attach_500th_over_1st_floor", "x", growth(&rows[0]));
    let growth = Figure::new("attach_500th_over_1st", "x", growth(&rows[1])).beside(&growth_floor);
    let total_floor = Figure::times("attach_500_in_a_row_floor", &totals(&rows[0]));
    let total = Figure::times("attach_500_in_a_row", &totals(&rows[1])).beside(&total_floor);
    vec![growth_floor, growth, total_floor, total]
}

impl Contestant for Floor {
    fn attach_many(&mut self) -> Vec<Duration> {
        self.host().run(|| {
            let attach = |number| {
                let begun = Instant::now();
                let container = self.attach(number, PORT + number..PORT + number + 1);
                (begun.elapsed(), container)
            };
            let (times, containers): (Vec<Duration>, Vec<_>) = (0..MANY).map(attach).unzip();
            containers.into_iter().for_each(|container| self.cut_off(container));
            self.reap();
            times
        })
    }
}

impl Contestant for Trestle {
    fn attach_many(&mut self) -> Vec<Duration> {
        let ports = (0..MANY).map(|number| format!("{}:80/tcp", PORT + number)).collect();
        let (times, attached): (Vec<Duration>, Vec<_>) = self.attach_in_a_row(ports).into_iter().unzip();
        assert_eq!(self.elements("any_ports_v4"), usize::from(MANY));
        assert_eq!(self.host().ip("-o link show type veth").lines().count(), usize::from(MANY));
        self.detach_all(&attached);
        self.settle();
        times
    }
}
