//! `trestle sandbox`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process;

use clap::{Args, Subcommand};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use trestle_core::name::SandboxName;

use super::client::{Client, part};
use super::failure::{Code, Failure, Outcome};
use super::output::{self, Format, Listing, or_dash};
use super::read;
use crate::api::model::endpoint::NewEndpoint;
use crate::api::model::sandbox::{NewSandbox, Sandbox};

const PUBLISH: &str = "Publish ports on the first of the networks: [ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]. May be repeated";

/// What can be done with sandboxes.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    /// Create a sandbox; its id is shown
    Create(Create),
    /// List sandboxes
    #[command(visible_alias = "list")]
    Ls(Listing),
    /// Show all about sandboxes, as JSON
    Inspect {
        /// Sandboxes
        #[arg(required = true)]
        sandboxes: Vec<String>,
    },
    /// Cut sandboxes off from all networks, and remove them
    #[command(visible_alias = "remove")]
    Rm {
        /// Sandboxes
        #[arg(required = true)]
        sandboxes: Vec<String>,
    },
    /// Run a command in a sandbox's network namespace, and end with its exit code
    Exec {
        /// The sandbox
        sandbox: String,
        /// The command with its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// A sandbox to create. Without --netns, --pid and --host its namespace is made.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name [default: made from its id]
    #[arg(value_parser = |text: &str| SandboxName::try_from(text))]
    name: Option<SandboxName>,
    /// Use the namespace that is bound to a file
    #[arg(long, value_name = "FILE", group = "namespace")]
    netns: Option<String>,
    /// Use the namespace of a process
    #[arg(long, group = "namespace", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
    /// Use the host's own namespace
    #[arg(long, group = "namespace")]
    host_namespace: bool,
    /// Connect it to a network from the start; may be given several times
    #[arg(long, value_name = "NETWORK")]
    network: Vec<String>,
    #[arg(short, long, value_name = "PORTS", requires = "network", value_parser = read::published, help = PUBLISH)]
    publish: Vec<String>,
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Create {
    /// The request. The daemon may be elsewhere in the file system: a path is made absolute here.
    pub(super) fn body(self) -> Result<NewSandbox, Failure> {
        let absolute = |path: String| {
            let absolute = std::path::absolute(&path).map_err(|error| Failure::usage(format!("--netns: {error}")))?;
            absolute.into_os_string().into_string().map_err(|_| Failure::usage(format!("--netns: {path:?} is no text")))
        };
        let mut endpoints: Vec<NewEndpoint> =
            self.network.into_iter().map(|network| NewEndpoint { network, ..NewEndpoint::default() }).collect();
        if let Some(first) = endpoints.first_mut() {
            first.ports = self.publish;
        }
        Ok(NewSandbox {
            name: self.name.map(String::from),
            path: self.netns.map(absolute).transpose()?,
            pid: self.pid,
            host: self.host_namespace,
            endpoints,
        })
    }
}

impl Command {
    /// Does it.
    pub async fn run(self, client: &Client) -> Outcome {
        match self {
            Self::Create(create) => {
                let format = create.format;
                let sandbox: Sandbox = client.post("/sandboxes", &create.body()?).await?;
                match format {
                    Format::Json => output::json(&sandbox),
                    Format::Table => output::line(sandbox.id),
                }
            }
            Self::Ls(listing) => list(client, listing).await,
            Self::Inspect { sandboxes } => {
                let inspect = async |name: &str| client.get::<Sandbox>(&path(name)).await;
                let (found, outcome) = output::each(&sandboxes, inspect).await;
                output::json(&found)?;
                outcome
            }
            Self::Rm { sandboxes } => {
                let remove = async |name: &str| {
                    client.delete(&path(name)).await?;
                    output::line(name)
                };
                output::each(&sandboxes, remove).await.1
            }
            Self::Exec { sandbox, command } => exec(client, &sandbox, &command).await,
        }
    }
}

/// Becomes the command, in the sandbox's namespace.
async fn exec(client: &Client, sandbox: &str, command: &[String]) -> Outcome {
    let untried = |message: String| Failure::new(Code::ExecFailed, message);
    if !client.is_local() {
        return Err(untried("sandbox exec works only where the daemon runs: with -H unix://…".into()));
    }
    let found: Result<Sandbox, Failure> = client.get(&path(sandbox)).await;
    let found = found.map_err(|failure| Failure { code: Code::ExecFailed, ..failure })?;
    if let Some(namespace) = &found.namespace {
        let entered = File::open(namespace).and_then(|file| {
            // The whole process moves: this runtime has no thread but this one.
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(io::Error::from)
        });
        entered.map_err(|error| {
            let way_out = match error.kind() {
                io::ErrorKind::PermissionDenied => "; it takes root",
                _ => "",
            };
            untried(format!("entering the namespace of {} ({namespace}): {error}{way_out}", found.name))
        })?;
    }
    let [program, arguments @ ..] = command else {
        return Err(Failure::usage("a command is needed"));
    };
    // Only comes back if the command could not be run.
    let error = process::Command::new(program).args(arguments).exec();
    let code = match error.kind() {
        io::ErrorKind::NotFound => Code::ExecMissing,
        _ => Code::ExecRefused,
    };
    Err(Failure::new(code, format!("running {program}: {error}")))
}

async fn list(client: &Client, listing: Listing) -> Outcome {
    let sandboxes: Vec<Sandbox> = client.get("/sandboxes").await?;
    let header = ["SANDBOX ID", "NAME", "NAMESPACE", "NETWORKS", "STATE"];
    listing.show(
        header,
        &sandboxes,
        |sandbox| &sandbox.id,
        |sandbox, id| {
            [
                id,
                sandbox.name.clone(),
                sandbox.namespace.clone().unwrap_or_else(|| "host".to_owned()),
                or_dash(sandbox.endpoints.iter().map(|endpoint| &endpoint.network.name)),
                sandbox.state.clone(),
            ]
        },
    )
}

fn path(sandbox: &str) -> String {
    format!("/sandboxes/{}", part(sandbox))
}
