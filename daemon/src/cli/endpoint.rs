//! `trestle endpoint`.

use std::net::{Ipv4Addr, Ipv6Addr};

use clap::{Args, Subcommand};

use trestle_core::dns::{DnsName, Link};
use trestle_core::mac::MacAddress;
use trestle_core::name::{EndpointName, IfName};

use super::client::{Client, part};
use super::failure::{Failure, Outcome};
use super::filter::Facet;
use super::network::map;
use super::output::{self, Format, Inspection, Listing, or_dash};
use super::read;
use crate::api::model::endpoint::{Calls, Endpoint, JoinSandbox, NewEndpoint, PortList, Published, PublishedPort};

// Not doc comments: these brackets are no links.
const PUBLISHED: &str = "Ports: [ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]";
const EXPOSED: &str = "The container's ports: PORT[-PORT][/PROTOCOL]";
const PUBLISH: &str = "Publish ports: [ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]; an IPv6 address in brackets. May be repeated";
const EXPOSE: &str = "Say that programs listen on ports: PORT[-PORT][/PROTOCOL]. May be repeated";

const PUBLISH_EXAMPLES: &str = "\
Examples:
  trestle endpoint publish front/web 8080:80
  trestle endpoint publish front/web 127.0.0.1:53:53/udp 8000-8010:9000-9010";

const FILTER: &str = "Only what fits, as in name=web; the keys are id, name, network, sandbox and state. May be repeated: any value of a key, every key";

/// What can be done with endpoints.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    /// Reserve a place on a network; its id is shown
    Create {
        /// The network
        network: String,
        #[command(flatten)]
        wishes: Box<Wishes>,
        /// In which form
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List endpoints
    #[command(visible_alias = "list", mut_arg("filter", |filter| filter.short('f').help(FILTER)))]
    Ls(Listing),
    /// Show all about endpoints
    Inspect(Inspection),
    /// Publish more ports of an endpoint; all that are published then are shown
    #[command(after_help = PUBLISH_EXAMPLES)]
    Publish {
        /// The endpoint
        endpoint: String,
        #[arg(required = true, value_parser = read::published, help = PUBLISHED)]
        ports: Vec<String>,
    },
    /// Take published ports back; all that are published then are shown
    Unpublish {
        /// The endpoint
        endpoint: String,
        #[arg(required = true, value_parser = read::exposed, help = EXPOSED)]
        ports: Vec<String>,
    },
    /// Call an endpoint, and those that it links to, by these names and no others; its traffic goes on
    Call {
        /// The endpoint
        endpoint: String,
        /// Another name that everybody on the network knows it by. May be repeated
        #[arg(long, value_name = "NAME")]
        alias: Vec<DnsName>,
        /// Another name by which only its sandbox knows somebody on the network. May be repeated
        #[arg(long, value_name = "NAME[:ALIAS]")]
        link: Vec<Link>,
    },
    /// Attach a reserved endpoint to a sandbox
    Join {
        /// The endpoint
        endpoint: String,
        /// The sandbox
        sandbox: String,
    },
    /// Cut an endpoint off from its sandbox
    Leave {
        /// The endpoint
        endpoint: String,
    },
    /// Remove endpoints
    #[command(visible_alias = "remove")]
    Rm {
        /// Endpoints
        #[arg(required = true)]
        endpoints: Vec<String>,
        /// Cut attached ones off first
        #[arg(short, long)]
        force: bool,
    },
}

/// What an endpoint is to be like.
#[derive(Debug, Args)]
pub struct Wishes {
    /// Its name [default: the sandbox's, or one made from its id]
    #[arg(long, value_parser = |text: &str| EndpointName::try_from(text))]
    name: Option<EndpointName>,
    /// Its IPv4 address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// Its IPv6 address
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// Its MAC address
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<MacAddress>,
    #[arg(short, long, value_name = "PORTS", value_parser = read::published, help = PUBLISH)]
    publish: Vec<String>,
    #[arg(long, value_name = "PORTS", value_parser = read::exposed, help = EXPOSE)]
    expose: Vec<String>,
    /// Which endpoint's network the default route uses: the larger wins
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    gw_priority: i64,
    /// Say that the network is the container's main one: it wins the default route among equals
    #[arg(long)]
    primary: bool,
    /// An option of the driver for this endpoint
    #[arg(long, value_name = "KEY=VALUE", value_parser = read::pair)]
    driver_opt: Vec<(String, String)>,
    /// The name of its link in the sandbox [default: the next free eth]
    #[arg(long, value_name = "NAME", value_parser = |text: &str| IfName::try_from(text))]
    interface: Option<IfName>,
    /// Another name that everybody on the network knows it by. May be repeated
    #[arg(long, value_name = "NAME")]
    alias: Vec<DnsName>,
    /// Another name by which only its sandbox knows somebody on the network. May be repeated
    #[arg(long, value_name = "NAME[:ALIAS]")]
    link: Vec<Link>,
}

impl Wishes {
    /// The request.
    pub fn body(self, network: String) -> Result<NewEndpoint, Failure> {
        Ok(NewEndpoint {
            network,
            name: self.name.map(String::from),
            ipv4: self.ip.map(|address| address.to_string()),
            ipv6: self.ip6.map(|address| address.to_string()),
            mac: self.mac_address.map(String::from),
            exposed: self.expose,
            ports: self.publish,
            options: map("--driver-opt", self.driver_opt)?,
            priority: self.gw_priority,
            primary: self.primary,
            interface: self.interface.map(String::from),
            aliases: self.alias.into_iter().map(String::from).collect(),
            links: self.link.iter().map(Link::to_string).collect(),
        })
    }
}

impl Command {
    /// Does it.
    pub async fn run(self, client: &Client) -> Outcome {
        match self {
            Self::Create { network, wishes, format } => {
                let endpoint: Endpoint = client.post("/endpoints", &wishes.body(network)?).await?;
                match format {
                    Format::Json => output::json(&endpoint),
                    Format::Table => output::line(endpoint.id),
                }
            }
            Self::Ls(listing) => list(client, listing).await,
            Self::Inspect(inspection) => inspection.show(async |name| client.get::<Endpoint>(&path(name)).await).await,
            Self::Publish { endpoint, ports } => change_ports(client, &endpoint, "publish", ports).await,
            Self::Unpublish { endpoint, ports } => change_ports(client, &endpoint, "unpublish", ports).await,
            Self::Call { endpoint, alias, link } => {
                let aliases = alias.into_iter().map(String::from).collect();
                let body = Calls { aliases, links: link.iter().map(Link::to_string).collect() };
                let endpoint: Endpoint = client.post(&format!("{}/names", path(&endpoint)), &body).await?;
                output::line(described(&endpoint))
            }
            Self::Join { endpoint, sandbox } => {
                let body = JoinSandbox { sandbox };
                let endpoint: Endpoint = client.post(&format!("{}/join", path(&endpoint)), &body).await?;
                output::line(described(&endpoint))
            }
            Self::Leave { endpoint } => {
                client.post_quietly(&format!("{}/leave", path(&endpoint)), &serde_json::json!({})).await?;
                output::line(endpoint)
            }
            Self::Rm { endpoints, force } => {
                let remove = async |name: &str| {
                    client.delete(&format!("{}?force={force}", path(name))).await?;
                    output::line(name)
                };
                output::each(&endpoints, remove).await.1
            }
        }
    }
}

/// An attachment in one line: `web on front: eth0, 172.18.0.2/16, 0.0.0.0:8080:80/tcp`.
pub(super) fn described(endpoint: &Endpoint) -> String {
    let published: Vec<String> = endpoint.published.iter().map(noted).collect();
    let place = endpoint.interface.iter().chain(&endpoint.ipv4).chain(&endpoint.ipv6).chain(&published);
    format!("{} on {}: {}", endpoint.name, endpoint.network.name, or_dash(place))
}

/// A port with what is out of the ordinary about it: `9:9/sctp (not held)`, `80/tcp (open)`.
fn noted(port: &PublishedPort) -> String {
    let is_open = !port.opened.is_empty();
    let notes: Vec<&str> = [(is_open, "open"), (!port.held && !is_open, "not held"), (port.masqueraded, "masqueraded")]
        .into_iter()
        .filter_map(|(is_so, note)| is_so.then_some(note))
        .collect();
    match notes.is_empty() {
        true => port.port.clone(),
        false => format!("{} ({})", port.port, notes.join(", ")),
    }
}

async fn change_ports(client: &Client, endpoint: &str, how: &str, ports: Vec<String>) -> Outcome {
    let published: Published = client.post(&format!("{}/{how}", path(endpoint)), &PortList { ports }).await?;
    output::lines(published.ports)
}

async fn list(client: &Client, listing: Listing) -> Outcome {
    let endpoints: Vec<Endpoint> = client.get("/endpoints").await?;
    let known = ["id", "name", "network", "sandbox", "state"];
    let endpoints = listing.select(endpoints, &known, |endpoint, key| match key {
        "id" => Facet::Beginning(&endpoint.id),
        "name" => Facet::Part(&endpoint.name),
        "network" => Facet::Whole(vec![&endpoint.network.name]),
        "sandbox" => Facet::Whole(endpoint.sandbox.iter().map(|it| it.name.as_str()).collect()),
        _ => Facet::Whole(vec![&endpoint.state]),
    })?;
    let header = ["ENDPOINT ID", "NAME", "NETWORK", "SANDBOX", "ADDRESSES", "PORTS", "STATE"];
    listing.show(
        header,
        &endpoints,
        |endpoint| &endpoint.id,
        |endpoint, id| {
            [
                id,
                endpoint.name.clone(),
                endpoint.network.name.clone(),
                or_dash(endpoint.sandbox.iter().map(|sandbox| &sandbox.name)),
                or_dash(endpoint.ipv4.iter().chain(&endpoint.ipv6)),
                match endpoint.sandbox.is_some() {
                    true => or_dash(endpoint.published.iter().map(noted)),
                    false => or_dash(&endpoint.ports),
                },
                endpoint.state.clone(),
            ]
        },
    )
}

fn path(endpoint: &str) -> String {
    format!("/endpoints/{}", part(endpoint))
}
