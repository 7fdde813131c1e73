//! `trestle sandbox`.

use std::io;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process;

use clap::{Args, Subcommand};

use trestle_core::dns::{DnsName, DnsOption, DomainServers, ExtraHost, Link};
use trestle_core::name::SandboxName;

use super::client::{Client, part};
use super::failure::{Code, Failure, Outcome};
use super::filter::Facet;
use super::output::{self, Format, Inspection, Listing, or_dash};
use super::read;
use crate::api::model::endpoint::NewEndpoint;
use crate::api::model::naming::{Files, NamingWishes};
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
    Create(Box<Create>),
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
    /// The command has the files of the host, but for /sys, which shows the links of the sandbox, and for hosts, hostname
    /// and resolv.conf in /etc, which are the sandbox's own.
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
    /// Another name that everybody on the first of the networks knows it by. May be repeated
    #[arg(long, value_name = "NAME", requires = "network")]
    alias: Vec<DnsName>,
    /// Another name by which it knows somebody on the first of the networks. May be repeated
    #[arg(long, value_name = "NAME[:ALIAS]", requires = "network")]
    link: Vec<Link>,
    #[command(flatten)]
    naming: Naming,
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What it is told about names.
#[derive(Debug, Args)]
struct Naming {
    /// Its host name [default: the beginning of its id]
    #[arg(long, value_name = "NAME")]
    hostname: Option<DnsName>,
    /// The domain that its host name is in
    #[arg(long, value_name = "DOMAIN")]
    domainname: Option<DnsName>,
    /// Ask this server for names that no container has. May be repeated [default: the daemon's]
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,
    /// Ask other servers for names in a domain, as in corp.example=10.0.0.5. May be repeated
    #[arg(long, value_name = "DOMAIN=ADDRESS")]
    dns_domain: Vec<DomainServers>,
    /// Look for short names in this domain; "." is none. May be repeated [default: the daemon's]
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// An option of resolv.conf, as in ndots:1. May be repeated [default: the daemon's]
    #[arg(long, value_name = "OPTION")]
    dns_opt: Vec<DnsOption>,
    /// One more line of its hosts file; host-gateway is the address of the host. May be repeated
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<ExtraHost>,
    /// Tell it nothing about names: it gets no name server, and no files
    #[arg(
        long,
        conflicts_with_all = ["hostname", "domainname", "dns", "dns_domain", "dns_search", "dns_opt", "add_host"]
    )]
    no_names: bool,
}

impl Naming {
    /// The part of the request.
    fn body(self) -> NamingWishes {
        NamingWishes {
            hostname: self.hostname.map(String::from),
            domainname: self.domainname.map(String::from),
            servers: self.dns.iter().map(IpAddr::to_string).collect(),
            domains: self.dns_domain.iter().map(DomainServers::to_string).collect(),
            search: self.dns_search,
            options: self.dns_opt.into_iter().map(String::from).collect(),
            hosts: self.add_host.iter().map(ExtraHost::to_string).collect(),
        }
    }
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
            first.aliases = self.alias.into_iter().map(String::from).collect();
            first.links = self.link.iter().map(Link::to_string).collect();
        }
        Ok(NewSandbox {
            name: self.name.map(String::from),
            path: self.netns.map(absolute).transpose()?,
            pid: self.pid,
            host: self.host_namespace,
            without_names: self.naming.no_names,
            naming: self.naming.body(),
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
        match trestle_kernel::renew_sys() {
            Ok(()) => found.files.iter().for_each(|files| show_files(&found.name, files)),
            Err(error) => eprintln!("trestle: /sys and names are the host's, not those of {}: {error}", found.name),
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

/// Lets the command see the sandbox's own files, as far as the host has such files.
fn show_files(sandbox: &str, files: &Files) {
    let places =
        [(&files.hosts, "/etc/hosts"), (&files.hostname, "/etc/hostname"), (&files.resolv_conf, "/etc/resolv.conf")];
    for (file, place) in places {
        if let Err(error) = trestle_kernel::show(Path::new(file), Path::new(place)) {
            eprintln!("trestle: {place} is the host's, not that of {sandbox}: {error}");
        }
    }
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
