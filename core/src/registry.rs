//! Which drivers and address managers there are, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::driver::Driver;
use crate::error::{Error, ErrorKind, Result};
use crate::ipam::Ipam;

/// Drivers and address managers by name: those that are built in, and those that may be found elsewhere.
#[derive(Default)]
pub struct Registry {
    drivers: BTreeMap<String, Arc<dyn Driver>>,
    ipams: BTreeMap<String, Arc<dyn Ipam>>,
    elsewhere: Option<Arc<dyn Elsewhere>>,
}

/// Finds drivers and address managers that are not built in. They may come and go at any time.
#[async_trait]
pub trait Elsewhere: Send + Sync {
    /// The driver of that name for something new: it answers now.
    ///
    /// # Errors
    /// `NotFound` within a second if there is none; `Unavailable` if it does not answer.
    async fn find_driver(&self, name: &str) -> Result<Arc<dyn Driver>>;

    /// The address manager of that name for something new; likewise.
    async fn find_ipam(&self, name: &str) -> Result<Arc<dyn Ipam>>;

    /// The driver of that name for a network that is there: it need not answer now, nor be there. Each question finds out.
    ///
    /// # Errors
    /// `NotFound` if nothing can be named so.
    fn driver(&self, name: &str) -> Result<Arc<dyn Driver>>;

    /// The address manager of that name for a network that is there; likewise.
    fn ipam(&self, name: &str) -> Result<Arc<dyn Ipam>>;

    /// The names of all that may be found now.
    async fn names(&self) -> Vec<String>;
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

    /// Adds what may be found elsewhere. What is built in goes first.
    #[must_use]
    pub fn with_elsewhere(mut self, elsewhere: Arc<dyn Elsewhere>) -> Self {
        self.elsewhere = Some(elsewhere);
        self
    }

    /// The driver of that name for a new network; `NotFound` lists the known ones.
    pub async fn find_driver(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let elsewhere = match (self.drivers.get(name), &self.elsewhere) {
            (Some(driver), _) => return Ok(Arc::clone(driver)),
            (None, None) => return Err(unknown("network driver", name, self.drivers.keys().cloned())),
            (None, Some(elsewhere)) => elsewhere,
        };
        match elsewhere.find_driver(name).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let known = self.drivers.keys().cloned().chain(elsewhere.names().await);
                Err(unknown("network driver", name, known))
            }
            outcome => outcome,
        }
    }

    /// The address manager of that name for a new network; `NotFound` lists the known ones.
    pub async fn find_ipam(&self, name: &str) -> Result<Arc<dyn Ipam>> {
        let elsewhere = match (self.ipams.get(name), &self.elsewhere) {
            (Some(ipam), _) => return Ok(Arc::clone(ipam)),
            (None, None) => return Err(unknown("address manager", name, self.ipams.keys().cloned())),
            (None, Some(elsewhere)) => elsewhere,
        };
        match elsewhere.find_ipam(name).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let known = self.ipams.keys().cloned().chain(elsewhere.names().await);
                Err(unknown("address manager", name, known))
            }
            outcome => outcome,
        }
    }

    /// The driver of a network that is there; `NotFound` if nothing can be named so.
    pub fn driver(&self, name: &str) -> Result<Arc<dyn Driver>> {
        match (self.drivers.get(name), &self.elsewhere) {
            (Some(driver), _) => Ok(Arc::clone(driver)),
            (None, Some(elsewhere)) => elsewhere.driver(name),
            (None, None) => Err(unknown("network driver", name, self.drivers.keys().cloned())),
        }
    }

    /// The address manager of a network that is there; `NotFound` if nothing can be named so.
    pub fn ipam(&self, name: &str) -> Result<Arc<dyn Ipam>> {
        match (self.ipams.get(name), &self.elsewhere) {
            (Some(ipam), _) => Ok(Arc::clone(ipam)),
            (None, Some(elsewhere)) => elsewhere.ipam(name),
            (None, None) => Err(unknown("address manager", name, self.ipams.keys().cloned())),
        }
    }

    /// Every built-in driver with its name.
    pub fn drivers(&self) -> impl Iterator<Item = (&str, &Arc<dyn Driver>)> {
        self.drivers.iter().map(|(name, driver)| (name.as_str(), driver))
    }
}

fn unknown(noun: &str, name: &str, known: impl Iterator<Item = String>) -> Error {
    let known: Vec<String> = known.collect();
    Error::not_found(format!("there is no {noun} {name:?}; known are: {}", known.join(", ")))
}
