//! `trestle network`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ipnet::IpNet;

use trestle_core::name::NetworkName;

use super::client::{Client, part};
use super::failure::{Failure, Outcome};
use super::filter::{Facet, Filters};
use super::output::{self, Format, Inspection, Listing, or_dash};
use super::{read, system};
use crate::api::model::endpoint::Endpoint;
use crate::api::model::network::{Network, NetworkDetails, NewNetwork, NewPool};
use crate::api::model::plan::{Drifts, Plan};

const CREATE_EXAMPLES: &str = "\
Examples:
  trestle network create front
  trestle network create --ipv6 --subnet 10.1.0.0/24 --gateway 10.1.0.254 front
  trestle network create --internal -o com.docker.network.bridge.enable_icc=false vault";

const FILTER: &str = "Only what fits, as in name=web; the keys are driver, id, label, name and scope. May be repeated: any value of a key, every key";

/// What can be done with networks.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    /// Create a network; its id is shown
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Box<Create>),
    /// List networks
    #[command(visible_alias = "list", mut_arg("filter", |filter| filter.short('f').help(FILTER)))]
    Ls(Listing),
    /// Show all about networks
    Inspect(Inspection),
    /// Remove networks that no endpoint is on
    #[command(visible_alias = "remove")]
    Rm {
        /// Networks
        #[arg(required = true)]
        networks: Vec<String>,
    },
    /// Remove every network that no endpoint is on; their names are shown
    #[command(mut_arg("filter", |filter| filter.help(FILTER)))]
    Prune {
        /// Do not ask whether it is meant
        #[arg(short, long)]
        force: bool,
        #[command(flatten)]
        filter: Filters,
    },
    /// Show what is in the kernel because of a network, as the commands a person would type
    Plan {
        /// The network
        network: String,
        /// In which form
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Compare what is in the kernel because of a network with what should be
    Verify {
        /// The network
        network: String,
        /// In which form
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// A network to create.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name
    #[arg(value_parser = |text: &str| NetworkName::try_from(text))]
    name: NetworkName,
    /// The driver that lays it out; `trestle drivers` lists them
    #[arg(short, long, default_value = "bridge")]
    driver: String,
    /// A subnet, as in 10.1.0.0/24. May be repeated, for IPv4 and IPv6
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<IpNet>,
    /// The part of a subnet that automatic addresses come from
    #[arg(long, value_name = "SUBNET")]
    ip_range: Vec<IpNet>,
    /// The network's own address in a subnet
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<IpAddr>,
    /// An address kept for another use
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = read::named_address)]
    aux_address: Vec<(String, IpAddr)>,
    /// Give it no way out
    #[arg(long)]
    internal: bool,
    /// Give it IPv4
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ipv4: Option<bool>,
    /// Give it IPv6
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ipv6: Option<bool>,
    /// An option of the driver
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = read::pair)]
    opt: Vec<(String, String)>,
    /// A label
    #[arg(long, value_name = "KEY=VALUE", value_parser = read::label)]
    label: Vec<(String, String)>,
    /// The address manager
    #[arg(long, value_name = "NAME", default_value = "default")]
    ipam_driver: String,
    /// An option of the address manager
    #[arg(long, value_name = "KEY=VALUE", value_parser = read::pair)]
    ipam_opt: Vec<(String, String)>,
    /// Change nothing, and show what would be done as the commands a person would type
    #[arg(long)]
    dry_run: bool,
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Command {
    /// Does it.
    pub async fn run(self, client: &Client) -> Outcome {
        match self {
            Self::Create(create) => create.run(client).await,
            Self::Ls(listing) => list(client, listing).await,
            Self::Inspect(inspection) => {
                inspection.show(async |name| client.get::<NetworkDetails>(&path(name)).await).await
            }
            Self::Rm { networks } => {
                let remove = async |name: &str| {
                    client.delete(&path(name)).await?;
                    output::line(name)
                };
                output::each(&networks, remove).await.1
            }
            Self::Prune { force, filter } => prune(client, force, &filter).await,
            Self::Plan { network, format } => {
                show_plan(&client.get(&format!("{}/plan", path(&network))).await?, format)
            }
            Self::Verify { network, format } => {
                let drifts: Drifts = client.get(&format!("{}/verify", path(&network))).await?;
                system::show_drifts(&drifts, format)
            }
        }
    }
}

impl Create {
    async fn run(self, client: &Client) -> Outcome {
        let (dry_run, format) = (self.dry_run, self.format);
        let body = self.body()?;
        if dry_run {
            return show_plan(&client.post("/networks?dry_run=true", &body).await?, format);
        }
        let network: Network = client.post("/networks", &body).await?;
        match format {
            Format::Json => output::json(&network),
            Format::Table => output::line(network.id),
        }
    }

    /// The request. As with docker, a range, gateway or auxiliary address belongs to the subnet that contains it.
    pub(super) fn body(self) -> Result<NewNetwork, Failure> {
        let mut pools: Vec<(IpNet, NewPool)> = Vec::new();
        for subnet in self.subnet {
            pools.push((subnet, NewPool { subnet: subnet.to_string(), ..NewPool::default() }));
        }
        for range in self.ip_range {
            let pool = pool_of(&mut pools, "--ip-range", &range.to_string(), |subnet| subnet.contains(&range))?;
            once("--ip-range", pool.range.replace(range.to_string()))?;
        }
        for gateway in self.gateway {
            let pool = pool_of(&mut pools, "--gateway", &gateway.to_string(), |subnet| subnet.contains(&gateway))?;
            once("--gateway", pool.gateway.replace(gateway.to_string()))?;
        }
        for (name, address) in self.aux_address {
            let pool = pool_of(&mut pools, "--aux-address", &address.to_string(), |subnet| subnet.contains(&address))?;
            once("--aux-address", pool.auxiliary.insert(name, address.to_string()))?;
        }
        Ok(NewNetwork {
            name: self.name.to_string(),
            driver: Some(self.driver),
            ipam: Some(self.ipam_driver),
            ipam_options: map("--ipam-opt", self.ipam_opt)?,
            pools: pools.into_iter().map(|(_, pool)| pool).collect(),
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            internal: self.internal,
            options: map("--opt", self.opt)?,
            labels: map("--label", self.label)?,
        })
    }
}

fn pool_of<'a>(
    pools: &'a mut [(IpNet, NewPool)],
    flag: &str,
    value: &str,
    contains: impl Fn(&IpNet) -> bool,
) -> Result<&'a mut NewPool, Failure> {
    let found = pools.iter_mut().find(|(subnet, _)| contains(subnet)).map(|(_, pool)| pool);
    found.ok_or_else(|| Failure::usage(format!("{flag} {value}: no --subnet contains it")))
}

fn once(flag: &str, before: Option<String>) -> Result<(), Failure> {
    match before {
        Some(before) => Err(Failure::usage(format!("{flag}: {before} was given for the same already"))),
        None => Ok(()),
    }
}

/// Pairs as a map; a key that comes twice with different values is no slip to pass over.
pub(super) fn map(flag: &str, pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        if map.get(&key).is_some_and(|before| *before != value) {
            return Err(Failure::usage(format!("{flag}: {key:?} is given twice")));
        }
        map.insert(key, value);
    }
    Ok(map)
}

/// Shows a plan: as the commands a person would type, or whole.
pub(super) fn show_plan(plan: &Plan, format: Format) -> Outcome {
    match format {
        Format::Json => output::json(plan),
        Format::Table if plan.script.is_empty() => Ok(ExitCode::SUCCESS),
        Format::Table => output::line(plan.script.trim_end()),
    }
}

async fn prune(client: &Client, force: bool, filter: &Filters) -> Outcome {
    let networks = filter.select(client.get("/networks").await?, KEYS, facet)?;
    let endpoints: Vec<Endpoint> = client.get("/endpoints").await?;
    let is_used = |network: &Network| endpoints.iter().any(|endpoint| endpoint.network.id == network.id);
    let unused: Vec<String> = networks.into_iter().filter(|it| !is_used(it)).map(|it| it.name).collect();
    if unused.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !force && !output::is_meant(&format!("This removes the networks {}.", unused.join(", ")))? {
        return Err(Failure::failed("nothing was removed"));
    }
    let remove = async |name: &str| {
        client.delete(&path(name)).await?;
        output::line(name)
    };
    output::each(&unused, remove).await.1
}

async fn list(client: &Client, listing: Listing) -> Outcome {
    let networks = listing.select(client.get("/networks").await?, KEYS, facet)?;
    let header = ["NETWORK ID", "NAME", "DRIVER", "SCOPE", "SUBNETS"];
    listing.show(
        header,
        &networks,
        |network| &network.id,
        |network, id| {
            let subnets = or_dash(network.pools.iter().map(|pool| &pool.subnet));
            [id, network.name.clone(), network.driver.clone(), network.scope.clone(), subnets]
        },
    )
}

/// What networks are filtered by.
const KEYS: &[&str] = &["driver", "id", "label", "name", "scope"];

fn facet<'a>(network: &'a Network, key: &str) -> Facet<'a> {
    match key {
        "driver" => Facet::Whole(vec![&network.driver]),
        "id" => Facet::Beginning(&network.id),
        "label" => Facet::Labels(&network.labels),
        "name" => Facet::Part(&network.name),
        _ => Facet::Whole(vec![&network.scope]),
    }
}

fn path(network: &str) -> String {
    format!("/networks/{}", part(network))
}
