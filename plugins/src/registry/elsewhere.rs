//! Plugins as what the controller looks for where nothing is built in.

use std::sync::Arc;

use async_trait::async_trait;
use trestle_core::driver::Driver;
use trestle_core::ipam::Ipam;
use trestle_core::registry::Elsewhere;
use trestle_core::{Error, Result};

use super::Plugins;

#[async_trait]
impl Elsewhere for Plugins {
    async fn find_driver(&self, name: &str) -> Result<Arc<dyn Driver>> {
        Plugins::driver(self, name).await
    }

    async fn find_ipam(&self, name: &str) -> Result<Arc<dyn Ipam>> {
        Plugins::ipam(self, name).await
    }

    fn driver(&self, name: &str) -> Result<Arc<dyn Driver>> {
        self.driver_of_network(name).map_err(|error| Error::not_found(error.to_string()))
    }

    fn ipam(&self, name: &str) -> Result<Arc<dyn Ipam>> {
        self.ipam_of_network(name).map_err(|error| Error::not_found(error.to_string()))
    }

    async fn names(&self) -> Vec<String> {
        self.list().await.into_iter().map(|plugin| plugin.name).collect()
    }
}
