//! What may be asked of Trestle, whichever way it is asked: scenarios are written once and played on every front.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use trestle_core::controller::Spares;
use trestle_core::controller::request::{EndpointRequest, NetnsRequest, NetworkRequest};
use trestle_kernel::firewall::Backend;

use crate::host::Host;

/// A sentence for a person, as the front gave it.
pub type Result<T> = std::result::Result<T, String>;

/// How Trestle is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What programs the firewall.
    pub firewall: Backend,
    /// How many sandboxes are made ahead.
    pub spares: Spares,
    /// Whether containers are run, too; only the daemon does.
    pub engine: bool,
}

impl Default for Setup {
    /// As most scenarios want it: what they count is what they made.
    fn default() -> Self {
        Self { firewall: Backend::NfTables, spares: Spares::NONE, engine: false }
    }
}

/// A way to ask: the library, or the daemon by its command line.
pub trait Front: Send + Sync {
    /// The host that is looked after.
    fn host(&self) -> &Arc<Host>;

    /// `trestle network create`.
    fn create_network(&self, request: &NetworkRequest) -> Result<()>;

    /// `trestle network rm`.
    fn delete_network(&self, network: &str) -> Result<()>;

    /// `trestle network create --dry-run`: what would be made, as text.
    fn plan_network(&self, request: &NetworkRequest) -> Result<String>;

    /// `trestle sandbox create`; the file of the sandbox's namespace.
    fn create_sandbox(&self, name: &str, netns: &NetnsRequest) -> Result<PathBuf>;

    /// `trestle sandbox create --network`: on these networks from the start, the port published by the first.
    fn create_attached(&self, name: &str, networks: &[&str], port: &str) -> Result<PathBuf>;

    /// `trestle sandbox rm`.
    fn delete_sandbox(&self, sandbox: &str) -> Result<()>;

    /// `trestle connect`.
    fn connect(&self, sandbox: &str, request: &EndpointRequest) -> Result<Place>;

    /// `trestle disconnect`.
    fn disconnect(&self, sandbox: &str, network: &str) -> Result<()>;

    /// `trestle endpoint publish`; everything that is published then.
    fn publish(&self, endpoint: &str, port: &str) -> Result<Vec<String>>;

    /// `trestle endpoint unpublish`; everything that is published then.
    fn unpublish(&self, endpoint: &str, port: &str) -> Result<Vec<String>>;

    /// `trestle verify`: what is not as it should be, a line each.
    fn verify(&self) -> Result<Vec<String>>;

    /// The names of all networks, endpoints (`NETWORK/NAME`) and sandboxes, sorted.
    fn objects(&self) -> Result<Vec<String>>;
}

/// A container's place on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
    /// The network's own addresses, which containers use as their way out.
    pub gateways: Vec<IpAddr>,
    /// Its link in the container.
    pub interface: Option<String>,
    /// What is published.
    pub ports: Vec<String>,
}
