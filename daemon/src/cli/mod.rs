//! The command line: asks the daemon, shows the answer, and ends with a code that means something.
//!
//! | to find | look in |
//! |---|---|
//! | how the daemon is reached, and what TLS may say to it | [`client`], `handshake` |
//! | what went wrong, and with which exit code | [`failure`] |
//! | tables and JSON, and what of a list is shown | [`output`], [`filter`] |
//! | the commands | [`network`], [`endpoint`], [`sandbox`], [`attach`], [`system`] |

pub mod attach;
pub mod client;
pub mod endpoint;
pub mod failure;
pub mod filter;
mod handshake;
pub mod network;
pub mod output;
pub mod read;
pub mod sandbox;
pub mod system;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Host, TlsFiles};
use client::Client;
use failure::{Failure, Outcome};

/// Container networks from the command line.
#[derive(Debug, Parser)]
#[command(name = "trestle", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: Command,
}

const CONNECT_EXAMPLES: &str = "\
Examples:
  trestle connect -p 8080:80 front web
  trestle connect --ip 10.1.0.7 --dry-run front web";

const EVENTS_EXAMPLES: &str = "\
Examples:
  trestle events --subject endpoint --action connect
  trestle events --object web --format json";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  trestle completion bash > /usr/share/bash-completion/completions/trestle
  source <(trestle completion bash)";

const AFTER_HELP: &str = "\
Objects are named by name, by id, or by the beginning of an id; endpoints also as NETWORK/NAME.

Exit codes: 0 done; 1 refused or failed; 2 the command line is wrong; 3 there is no such object; 4 something is in the
way, or used up; 5 no daemon answers; 6 `verify` found something amiss. `sandbox exec` ends with the command's own code,
with 125 where it could not be tried, 126 where the command can't be run, 127 where there is no such command.";

/// How the daemon is reached.
#[derive(Clone, Debug, Args)]
struct Reach {
    /// Where the daemon listens: unix:///PATH or tcp://HOST:PORT
    #[arg(short = 'H', long, global = true, help_heading = REACH, value_name = "HOST", env = "TRESTLE_HOST", default_value = DEFAULT_HOST)]
    host: Host,
    /// Use TLS; needed for tcp:// hosts that ask for it
    #[arg(long, global = true, help_heading = REACH)]
    tlsverify: bool,
    /// Folder with ca.pem, cert.pem and key.pem; says --tlsverify too
    #[arg(long, global = true, help_heading = REACH, value_name = "FOLDER", env = "TRESTLE_CERT_PATH")]
    cert_path: Option<PathBuf>,
    /// Trust only daemons with certificates signed by these authorities (PEM)
    #[arg(long, global = true, help_heading = REACH, value_name = "FILE")]
    tlscacert: Option<PathBuf>,
    /// The certificate to show the daemon (PEM)
    #[arg(long, global = true, help_heading = REACH, value_name = "FILE")]
    tlscert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, global = true, help_heading = REACH, value_name = "FILE")]
    tlskey: Option<PathBuf>,
}

/// These flags stand apart in the help: every command has them.
const REACH: &str = "Reaching the daemon";

const DEFAULT_HOST: &str = "unix:///run/trestle/trestle.sock";

#[derive(Debug, Subcommand)]
enum Command {
    /// Networks
    #[command(subcommand)]
    Network(network::Command),
    /// Endpoints: places on networks, with addresses and ports
    #[command(subcommand)]
    Endpoint(endpoint::Command),
    /// Sandboxes: network namespaces of containers
    #[command(subcommand)]
    Sandbox(sandbox::Command),
    /// Attach a sandbox to a network
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(attach::Connect),
    /// Cut a sandbox off from a network
    Disconnect(attach::Disconnect),
    /// Show what happens from now on, until interrupted
    #[command(after_help = EVENTS_EXAMPLES)]
    Events(system::Events),
    /// Compare everything in the kernel with what should be there
    Verify(system::Verify),
    /// Make everything in the kernel as it should be, and show what was amiss
    Repair(system::Repair),
    /// Show the network drivers and the options that their networks take
    Drivers(system::Drivers),
    /// Show the versions of this command and of the daemon
    Version(system::Version),
    /// Write the completions for a shell to the standard output
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completion {
        /// Which shell
        shell: Shell,
    },
}

/// Runs a command line, and ends.
pub fn main(cli: Cli) -> ExitCode {
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            if let Some(message) = failure.message {
                eprintln!("trestle: {message}");
            }
            failure.code.into()
        }
    }
}

fn run(cli: Cli) -> Outcome {
    if let Command::Completion { shell } = cli.command {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "trestle", &mut text);
        return output::write(&text);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("starting: {error}")))?;
    let client = Client::new(cli.reach.host.clone(), cli.reach.tls()?)?;
    runtime.block_on(async {
        match cli.command {
            Command::Network(command) => command.run(&client).await,
            Command::Endpoint(command) => command.run(&client).await,
            Command::Sandbox(command) => command.run(&client).await,
            Command::Connect(command) => command.run(&client).await,
            Command::Disconnect(command) => command.run(&client).await,
            Command::Events(command) => command.run(&client).await,
            Command::Verify(command) => command.run(&client).await,
            Command::Repair(command) => command.run(&client).await,
            Command::Drivers(command) => command.run(&client).await,
            Command::Version(command) => command.run(&client).await,
            // Answered above: it needs no daemon.
            Command::Completion { .. } => Ok(ExitCode::SUCCESS),
        }
    })
}

impl Reach {
    fn tls(&self) -> Result<Option<TlsFiles>, Failure> {
        let asked = self.tlsverify || self.cert_path.is_some() || self.tlscacert.is_some() || self.tlscert.is_some();
        if !asked || !matches!(self.host, Host::Tcp { .. }) {
            return Ok(None);
        }
        let file = |flag: &Option<PathBuf>, name: &str, told: &str| {
            let found = flag.clone().or_else(|| self.cert_path.as_ref().map(|folder| folder.join(name)));
            found.ok_or_else(|| Failure::usage(format!("--{told}: TLS needs it, or --cert-path")))
        };
        Ok(Some(TlsFiles {
            authorities: file(&self.tlscacert, "ca.pem", "tlscacert")?,
            certificate: file(&self.tlscert, "cert.pem", "tlscert")?,
            key: file(&self.tlskey, "key.pem", "tlskey")?,
        }))
    }
}

#[cfg(test)]
mod tests;
