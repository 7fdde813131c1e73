//! What Trestle costs, beside the least that the kernel must be asked for the same: `make bench`.
//!
//! | to find | look in |
//! |---|---|
//! | `attach_cold_library`, `attach_cold_socket` | [`attach`] |
//! | `detach_answer`, `detach_sustained` | [`detach`] |
//! | `attach_500th_over_1st`, `attach_500_in_a_row` | [`row`] |
//! | `ports_1000`, `ports_10000`, `ports_10000_detach` | [`ports`] |
//! | `port_with_50000_over_none` | [`elements`] |
//! | `memory_per_port_kib`, `rss_500_endpoints_mib` | [`memory`] |
//! | `connect_500_ports_over_1` | [`connect`] |
//! | `dns`, `dns_p99`, `dns_10000_names_over_10` | [`dns`] |
//! | the least | [`floor`], its messages in [`netlink`] |
//! | Trestle within this process | [`library`] |
//! | who takes turns, and how | [`contest`] |
//! | goals, table and file | [`report`] |
//!
//! `cargo bench -p trestle-tests -- ports memory` measures these subjects only; a number among them is how many rounds
//! count. Contestants take turns, so that whatever else the machine does falls on all of them alike: trust the ratios
//! of one run, not the times of two. Whatever was made is looked for in the kernel before its time counts.

mod attach;
mod connect;
mod contest;
mod detach;
mod dns;
mod elements;
mod floor;
mod library;
mod memory;
mod netlink;
mod ports;
mod report;
mod row;

use std::env;
use std::process::{Command, ExitCode};

use trestle_tests::privileges;

use report::Figure;

/// The network that every container is attached to.
pub(crate) const NETWORK: &str = "front";

/// Measures some figures, in so many rounds, or in as many as it takes.
type Subject = fn(Option<usize>) -> Vec<Figure>;

/// Everything that can be measured, by name.
const SUBJECTS: [(&str, Subject); 8] = [
    ("attach", attach::measure),
    ("detach", detach::measure),
    ("row", row::measure),
    ("ports", ports::measure),
    ("elements", elements::measure),
    ("memory", memory::measure),
    ("connect", connect::measure),
    ("dns", dns::measure),
];

fn main() -> ExitCode {
    if !privileges::may_make_namespaces() {
        return again_in_user_namespace();
    }
    if let Err(error) = trestle_kernel::raise_file_limit() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    // Cargo adds options of its own.
    let wishes: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let rounds = wishes.iter().find_map(|wish| wish.parse().ok());
    let names: Vec<&String> = wishes.iter().filter(|wish| wish.parse::<usize>().is_err()).collect();
    if let Some(unknown) = names.iter().find(|name| !SUBJECTS.iter().any(|(subject, _)| subject == **name)) {
        let known: Vec<&str> = SUBJECTS.iter().map(|(name, _)| *name).collect();
        eprintln!("{unknown}: no such subject; there are {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    let wanted = SUBJECTS.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|wish| wish == name));
    let mut figures = Vec::new();
    for (_, measure) in wanted {
        let measured = measure(rounds);
        report::print(&measured);
        figures.extend(measured);
    }
    report::write(&figures);
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
