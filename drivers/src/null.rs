//! Sandboxes with nothing but their loopback.

use std::collections::BTreeMap;

use async_trait::async_trait;
use trestle_core::driver::{Addresses, Capability, Chosen, Driver, Joined, OptionDoc, Ports, Slot};
use trestle_core::endpoint::Endpoint;
use trestle_core::facts::Facts;
use trestle_core::network::{Network, Pool, Scope};
use trestle_core::port::PortBinding;
use trestle_core::{Error, Plan, Result};

use crate::label::{self, Label};

/// The one network that links nothing: its sandboxes have a namespace of their own, and in it their loopback, which is
/// the sandbox's to make.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

#[async_trait]
impl Driver for Null {
    fn capability(&self) -> Capability {
        Capability {
            scope: Scope::Local,
            ports: Ports::NotApplicable,
            addresses: Addresses::None,
            external: false,
            single: true,
            host_namespace: false,
        }
    }

    fn options(&self) -> Vec<OptionDoc> {
        Vec::new()
    }

    async fn create_network(&self, network: &Network, _facts: &Facts) -> Result<Plan> {
        refuse_everything("null", &network.options, &network.pools)?;
        Ok(Plan::new())
    }

    async fn delete_network(&self, _network: &Network) -> Result<()> {
        Ok(())
    }

    async fn create_endpoint(&self, _network: &Network, endpoint: &Endpoint) -> Result<Chosen> {
        refuse_everything("null", &endpoint.options, &[])?;
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

/// Refuses what a driver without links can do nothing with.
pub(crate) fn refuse_everything(driver: &str, options: &BTreeMap<String, String>, pools: &[Pool]) -> Result<()> {
    const NONE: &[Label<()>] = &[];
    label::read(NONE, options).map_err(|error| error.doing(format!("checking options of the {driver} driver")))?;
    match pools.first() {
        None => Ok(()),
        Some(pool) => Err(Error::invalid(format!(
            "a network of the {driver} driver has no addresses, and subnet {} was given",
            pool.subnet
        ))),
    }
}
