//! The command line.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    trestle::cli::main(trestle::cli::Cli::parse())
}
