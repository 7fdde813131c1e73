//! The daemon.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    trestle::daemon::main(trestle::config::Flags::parse())
}
