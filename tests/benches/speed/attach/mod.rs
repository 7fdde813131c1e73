//! What an attach costs, beside the least that the kernel must do for it: `make bench`.
//!
//! | to find | look in |
//! |---|---|
//! | the least | [`floor`], its messages in [`netlink`] |
//! | Trestle within this process | [`library`] |
//! | Trestle over its daemon's socket | [`socket`] |
//! | table and file | [`report`] |
//!
//! The contestants take turns, so that whatever else the machine does falls on all of them alike: trust the ratios of
//! one run, not the times of two. Each attach is undone, and its debris gone, before the next one starts.

mod floor;
mod library;
mod netlink;
mod report;
mod socket;

use std::env;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use trestle_tests::privileges;

use floor::Floor;
use library::InProcess;
use report::Samples;
use socket::OverSocket;

/// Rounds that count, unless the command line says another number.
const ROUNDS: usize = 200;

/// Rounds that don't, before them: caches fill, modules load.
const WARM_UP: usize = 20;

/// The network that every container is attached to.
pub(crate) const NETWORK: &str = "front";

/// The port that every container publishes.
pub(crate) const PORT: &str = "8080:80/tcp";

/// How long the kernel is left alone after an attach was undone. It frees namespaces in the background, and holds the
/// lock of all links meanwhile.
const REST: Duration = Duration::from_millis(20);

/// Someone who attaches, on a host of his own.
pub(crate) trait Contestant {
    /// The name of his figure.
    fn id(&self) -> &'static str;

    /// Attaches a new container with one published port. How long it took.
    fn attach(&mut self) -> Duration;

    /// Undoes it. Whatever can be waited for is gone then.
    fn detach(&mut self);
}

fn main() -> ExitCode {
    if !privileges::may_make_namespaces() {
        return again_in_user_namespace();
    }
    let rounds = env::args().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    let mut contestants: Vec<Box<dyn Contestant>> = vec![
        Box::new(Floor::new()),
        Box::new(InProcess::cold()),
        Box::new(InProcess::warm()),
        Box::new(OverSocket::new()),
    ];
    let mut times = vec![Vec::new(); contestants.len()];
    for round in 0..WARM_UP + rounds {
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            let spent = contestant.attach();
            contestant.detach();
            thread::sleep(REST);
            if round >= WARM_UP {
                times.push(spent);
            }
        }
    }
    let samples: Vec<Samples> = contestants.iter().zip(times).map(|(it, times)| Samples::new(it.id(), times)).collect();
    report::tell(&samples);
    ExitCode::SUCCESS
}

fn again_in_user_namespace() -> ExitCode {
    let program = env::current_exe().expect("a program can find itself");
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1));
    let status = privileges::in_user_namespace(&mut command).status();
    match status.unwrap_or_else(|error| panic!("making a user namespace: {error}")).success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
