//! Which drivers and address managers there are, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::ipam::Ipam;

/// Drivers and address managers by name.
#[derive(Default)]
pub struct Registry {
    drivers: BTreeMap<String, Arc<dyn Driver>>,
    ipams: BTreeMap<String, Arc<dyn Ipam>>,
}

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a driver; one of the same name gives way.
    #[must_use]
    pub fn with_driver(mut self, name: impl Into<String>, driver: Arc<dyn Driver>) -> Self {
        self.drivers.insert(name.into(), driver);
        self
    }

    /// Adds an address manager; one of the same name gives way.
    #[must_use]
    pub fn with_ipam(mut self, name: impl Into<String>, ipam: Arc<dyn Ipam>) -> Self {
        self.ipams.insert(name.into(), ipam);
        self
    }

    /// The driver of that name; `NotFound` lists the known ones.
    pub fn driver(&self, name: &str) -> Result<Arc<dyn Driver>> {
        self.drivers.get(name).cloned().ok_or_else(|| unknown("network driver", name, self.drivers.keys()))
    }

    /// The address manager of that name; `NotFound` lists the known ones.
    pub fn ipam(&self, name: &str) -> Result<Arc<dyn Ipam>> {
        self.ipams.get(name).cloned().ok_or_else(|| unknown("address manager", name, self.ipams.keys()))
    }

    /// Every driver with its name.
    pub fn drivers(&self) -> impl Iterator<Item = (&str, &Arc<dyn Driver>)> {
        self.drivers.iter().map(|(name, driver)| (name.as_str(), driver))
    }
}

fn unknown<'a>(noun: &str, name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known: Vec<&str> = known.map(String::as_str).collect();
    Error::not_found(format!("there is no {noun} {name:?}; known are: {}", known.join(", ")))
}
