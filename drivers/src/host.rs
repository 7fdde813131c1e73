//! Sandboxes that are the host itself.

use async_trait::async_trait;
use trestle_core::driver::{Addresses, Capability, Chosen, Driver, Joined, OptionDoc, Ports, Slot};
use trestle_core::endpoint::Endpoint;
use trestle_core::facts::Facts;
use trestle_core::network::{Network, Scope};
use trestle_core::port::PortBinding;
use trestle_core::{Error, Plan, Result};

use crate::null::refuse_everything;

/// The one network whose sandboxes are the host's own namespace: its links, addresses and ports, and nothing to make.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host;

#[async_trait]
impl Driver for Host {
    fn capability(&self) -> Capability {
        Capability {
            scope: Scope::Local,
            ports: Ports::NotApplicable,
            addresses: Addresses::None,
            external: false,
            single: true,
            host_namespace: true,
        }
    }

    fn options(&self) -> Vec<OptionDoc> {
        Vec::new()
    }

    async fn create_network(&self, network: &Network, _facts: &Facts) -> Result<Plan> {
        if network.internal {
            return Err(Error::invalid("a network of the host driver can't be internal: it is the host"));
        }
        refuse_everything("host", &network.options, &network.pools)?;
        Ok(Plan::new())
    }

    async fn delete_network(&self, _network: &Network) -> Result<()> {
        Ok(())
    }

    async fn create_endpoint(&self, _network: &Network, endpoint: &Endpoint) -> Result<Chosen> {
        refuse_everything("host", &endpoint.options, &[])?;
        Ok(Chosen::default())
    }

    async fn delete_endpoint(&self, _network: &Network, _endpoint: &Endpoint) -> Result<()> {
        Ok(())
    }

    async fn join(&self, _network: &Network, _endpoint: &Endpoint, _slot: &Slot) -> Result<Joined> {
        Ok(Joined::default())
    }

    async fn publish(&self, _network: &Network, _endpoint: &Endpoint, _ports: &[PortBinding]) -> Result<Plan> {
        Ok(Plan::new())
    }

    async fn leave(&self, _network: &Network, _endpoint: &Endpoint) -> Result<()> {
        Ok(())
    }
}
