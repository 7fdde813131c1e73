//! `trestle sandbox`.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process;

use clap::{Args, Subcommand};

use trestle_core::name::SandboxName;

use super::client::{Client, part};
use super::failure::{Code, Failure, Outcome};
use super::filter::Facet;
use super::output::{self, Format, Inspection, Listing, or_dash};
use super::read;
use crate::api::model::endpoint::NewEndpoint;
use crate::api::model::sandbox::{NewSandbox, Sandbox};

const PUBLISH: &str = "Publish ports on the first of the networks: [ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]. May be repeated";

const CREATE_EXAMPLES: &str = "\
Examples:
  trestle sandbox create web
  trestle sandbox create --pid 4711 web             # the namespace of a container that runs already";

const EXEC_EXAMPLES: &str = "\
Examples:
  trestle sandbox exec web ip -brief address
  trestle sandbox exec web -- python3 -m http.server 80";

const FILTER: &str = "Only what fits, as in name=web; the keys are id, name, network and state. May be repeated: any value of a key, every key";

/// What can be done with sandboxes.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    /// Create a sandbox; its id is shown
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Create),
    /// List sandboxes
    #[command(visible_alias = "list", mut_arg("filter", |filter| filter.short('f').help(FILTER)))]
    Ls(Listing),
    /// Show all about sandboxes
    Inspect(Inspection),
    /// Cut sandboxes off from all networks, and remove them
    #[command(visible_alias = "remove")]
    Rm {
        /// Sandboxes
        #[arg(required = true)]
        sandboxes: Vec<String>,
    },
    /// Run a command in a sandbox's network namespace, and end with its exit code
    ///
    /// The command has the files of the host, but for /sys, which shows the links of the sandbox.
    #[command(after_help = EXEC_EXAMPLES)]
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
            Self::Inspect(inspection) => inspection.show(async |name| client.get::<Sandbox>(&path(name)).await).await,
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
        // The whole process moves: this runtime has no thread but this one.
        trestle_kernel::enter(Path::new(namespace)).map_err(|error| {
            let way_out = match error.kind() {
                io::ErrorKind::PermissionDenied => "; it takes root",
                _ => "",
            };
            untried(format!("entering the namespace of {} ({namespace}): {error}{way_out}", found.name))
        })?;
        if let Err(error) = trestle_kernel::renew_sys() {
            eprintln!("trestle: /sys shows the host's links, not those of {}: mounting it: {error}", found.name);
        }
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
    let sandboxes = listing.select(sandboxes, &["id", "name", "network", "state"], |sandbox, key| match key {
        "id" => Facet::Beginning(&sandbox.id),
        "name" => Facet::Part(&sandbox.name),
        "network" => Facet::Whole(sandbox.endpoints.iter().map(|it| it.network.name.as_str()).collect()),
        _ => Facet::Whole(vec![&sandbox.state]),
    })?;
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
