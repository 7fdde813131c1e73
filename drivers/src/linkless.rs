//! Sandboxes without a link of ours: the host itself, and those with nothing but their loopback.

use std::collections::BTreeMap;

use async_trait::async_trait;
use trestle_core::driver::{Addresses, Capability, Chosen, Driver, Joined, OptionDoc, Ports, Slot};
use trestle_core::endpoint::Endpoint;
use trestle_core::facts::Facts;
use trestle_core::network::{Network, Scope};
use trestle_core::port::PortBinding;
use trestle_core::{Error, Plan, Result};

use crate::label::{self, Label};

/// A driver of one network that links nothing, and so has nothing to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkless {
    /// Sandboxes are the host's own namespace: its links, addresses and ports.
    Host,
    /// Sandboxes have a namespace of their own, and in it their loopback, which is the sandbox's to make.
    Null,
}

impl Linkless {
    fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Null => "null",
        }
    }

    /// There are no options: whichever is given is refused, with the driver's name.
    fn refuse_options(self, options: &BTreeMap<String, String>) -> Result<()> {
        const NONE: &[Label<()>] = &[];
        let name = self.name();
        label::read(NONE, options).map_err(|error| error.doing(format!("checking options of the {name} driver")))
    }
}

#[async_trait]
impl Driver for Linkless {
    fn capability(&self) -> Capability {
        Capability {
            scope: Scope::Local,
            ports: Ports::NotApplicable,
            addresses: Addresses::None,
            external: false,
            single: true,
            host_namespace: *self == Self::Host,
        }
    }

    fn options(&self) -> Vec<OptionDoc> {
        Vec::new()
    }

    async fn create_network(&self, network: &Network, _facts: &Facts) -> Result<Plan> {
        if *self == Self::Host && network.internal {
            return Err(Error::invalid("a network of the host driver can't be internal: it is the host"));
        }
        self.refuse_options(&network.options)?;
        match network.pools.first() {
            None => Ok(Plan::new()),
            Some(pool) => Err(Error::invalid(format!(
                "a network of the {} driver has no addresses, and subnet {} was given",
                self.name(),
                pool.subnet
            ))),
        }
    }

    async fn delete_network(&self, _network: &Network) -> Result<()> {
        Ok(())
    }

    async fn create_endpoint(&self, _network: &Network, endpoint: &Endpoint) -> Result<Chosen> {
        self.refuse_options(&endpoint.options)?;
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
