//! Networks of containers behind a bridge of the host.

use std::net::IpAddr;

use async_trait::async_trait;
use trestle_core::driver::{Addresses, Capability, Chosen, Driver, InterfaceName, Joined, OptionDoc, Ports, Slot};
use trestle_core::endpoint::Endpoint;
use trestle_core::facts::Facts;
use trestle_core::network::{Network, Scope};
use trestle_core::port::{PortBinding, PortRequest};
use trestle_core::{Plan, Result};

mod endpoint;
mod family;
mod gateway;
mod network;
mod options;
mod publish;
mod setting;

pub use options::{BridgeOptions, EndpointOptions};
pub use setting::LinkSetting;

/// Each network is a bridge; each endpoint a veth pair with one end in it.
///
/// - The host forwards between its uplink and the bridge; the bridge bears the network's gateway addresses.
/// - An **internal** network neither forwards nor publishes: its bridge has its addresses, so that the host reaches the
///   containers, but its endpoints have no way out. Publishing a port of it is `Forbidden`: where Docker ignores such a
///   wish, a person would look for the fault elsewhere.
/// - Each family has its **gateway mode**: translated (nat), translated and open by route (nat-unprotected), open by
///   route where ports are published (routed), or, of internal networks, without the host (isolated). Where a family is
///   routed, publishing takes no port of the host.
/// - A bridge that **somebody else made** is used with its own MTU and MAC address, and never configured or removed. It
///   gets the gateway address where it lacks it, for nothing would leave the network otherwise; that address is ours
///   and goes with the network. What it has stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bridge;

impl Bridge {
    /// The options that its endpoints take.
    pub fn endpoint_options(&self) -> Vec<OptionDoc> {
        EndpointOptions::documentation()
    }
}

#[async_trait]
impl Driver for Bridge {
    fn capability(&self) -> Capability {
        Capability {
            scope: Scope::Local,
            ports: Ports::Maps,
            addresses: Addresses::Pools(1),
            external: false,
            single: false,
            host_namespace: false,
        }
    }

    fn options(&self) -> Vec<OptionDoc> {
        BridgeOptions::documentation()
    }

    fn interface_name(&self, network: &Network, endpoint: &Endpoint) -> InterfaceName {
        endpoint::interface_name(network, endpoint)
    }

    fn default_address(&self, network: &Network) -> Option<IpAddr> {
        BridgeOptions::read(&network.options).ok().and_then(|options| options.host_address)
    }

    fn takes_host_ports(&self, network: &Network, request: &PortRequest) -> bool {
        BridgeOptions::read(&network.options)
            .map_or(true, |options| publish::takes_host_ports(network, &options, request))
    }

    fn is_default(&self, network: &Network) -> bool {
        BridgeOptions::read(&network.options).is_ok_and(|options| options.default)
    }

    async fn create_network(&self, network: &Network, facts: &Facts) -> Result<Plan> {
        network::plan(network, facts)
    }

    async fn delete_network(&self, _network: &Network) -> Result<()> {
        Ok(())
    }

    async fn create_endpoint(&self, network: &Network, endpoint: &Endpoint) -> Result<Chosen> {
        endpoint::check(network, endpoint)?;
        Ok(Chosen::default())
    }

    async fn delete_endpoint(&self, _network: &Network, _endpoint: &Endpoint) -> Result<()> {
        Ok(())
    }

    async fn join(&self, network: &Network, endpoint: &Endpoint, slot: &Slot) -> Result<Joined> {
        endpoint::join(network, endpoint, slot)
    }

    async fn publish(&self, network: &Network, endpoint: &Endpoint, ports: &[PortBinding]) -> Result<Plan> {
        publish::plan(network, endpoint, ports)
    }

    async fn leave(&self, _network: &Network, _endpoint: &Endpoint) -> Result<()> {
        Ok(())
    }
}
