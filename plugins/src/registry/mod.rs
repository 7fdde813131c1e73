//! Which plugins there are, and the drivers and address managers that they give.

mod contact;
mod debts;
mod elsewhere;
mod plugin;
mod view;

pub use contact::{Contact, NetworkCapability};
pub use debts::Debt;
pub(crate) use plugin::Lack;
pub use plugin::Plugin;
pub use view::{Inspection, Phase, Summary};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use trestle_core::driver::Driver;
use trestle_core::ipam::Ipam;
use trestle_core::{Error, Result};

use crate::client::Limits;
use crate::discovery::{Folders, PluginName, Watch};
use crate::remote::{RemoteDriver, RemoteIpam};

/// How plugins are found and asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where their files are.
    pub folders: Folders,
    /// What a call may take.
    pub limits: Limits,
    /// How long a request waits for a plugin's handshake. The handshake itself goes on.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { folders: Folders::default(), limits: Limits::default(), patience: Duration::from_millis(900) }
    }
}

/// Every plugin by name. Nothing here waits for a plugin longer than [`Settings::patience`].
#[derive(Clone, Debug)]
pub struct Plugins {
    settings: Arc<Settings>,
    plugins: Arc<Mutex<BTreeMap<PluginName, Known>>>,
}

/// A plugin with what it gives: one each, for they remember.
#[derive(Clone, Debug)]
struct Known {
    plugin: Arc<Plugin>,
    driver: Arc<RemoteDriver>,
    ipam: Arc<RemoteIpam>,
}

impl Known {
    fn new(name: &PluginName, settings: &Arc<Settings>) -> Self {
        let plugin = Arc::new(Plugin::new(name.clone(), Arc::clone(settings)));
        let driver = Arc::new(RemoteDriver::new(Arc::clone(&plugin)));
        let ipam = Arc::new(RemoteIpam::new(Arc::clone(&plugin)));
        Self { plugin, driver, ipam }
    }
}

/// How long to wait before the folders are watched again when they could not be.
const WATCH_AGAIN: Duration = Duration::from_secs(30);

impl Plugins {
    /// No plugin yet: they are found by [`Plugins::run`], and when they are asked for.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), plugins: Arc::default() }
    }

    /// Shakes hands with every plugin that comes, as long as it is polled. Call it within a tokio runtime.
    pub async fn run(&self) {
        loop {
            let watched = async {
                let mut watch = Watch::begin(self.settings.folders.clone())?;
                loop {
                    self.look(false).await;
                    watch.changed().await?;
                }
            };
            let outcome: Result<()> = watched.await;
            if let Err(error) = outcome {
                tracing::warn!(%error, "new plugins are found when they are asked for, and every now and then");
            }
            tokio::time::sleep(WATCH_AGAIN).await;
        }
    }

    /// Looks at the folders, and begins to shake hands with whoever is new, changed or failed before. Waits for none.
    pub async fn refresh(&self) {
        self.look(true).await;
    }

    async fn look(&self, forgives: bool) {
        let folders = self.settings.folders.clone();
        let Some(found) = aside(move || folders.list()).await else { return };
        for name in found.keys() {
            self.entry(name);
        }
        for (name, known) in self.entries() {
            known.plugin.look_again(found.get(&name), forgives);
        }
    }

    /// Every plugin, by name.
    pub async fn list(&self) -> Vec<Summary> {
        let folders = self.settings.folders.clone();
        let found = aside(move || folders.list()).await.unwrap_or_default();
        found.keys().for_each(|name| drop(self.entry(name)));
        let entries = self.entries();
        entries.iter().map(|(name, known)| Summary::of(&known.plugin, found.get(name))).collect()
    }

    /// All that is known of one plugin.
    ///
    /// # Errors
    /// `NotFound` lists those that there are.
    pub async fn inspect(&self, name: &str) -> Result<Inspection> {
        let known = self.find("plugin", name).await?;
        Ok(Inspection::of(&known.plugin))
    }

    /// The network driver of that name, once its plugin has shaken hands.
    ///
    /// # Errors
    /// `NotFound` lists the known ones; `Unavailable` tells why the plugin can't be asked now; `Invalid` that it is
    /// no network driver.
    pub async fn driver(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let Known { plugin, driver, .. } = self.find("network driver", name).await?;
        plugin.contact().await.map_err(|failure| plugin.told(failure))?.network()?;
        Ok(driver)
    }

    /// The address manager of that name, once its plugin has shaken hands.
    ///
    /// # Errors
    /// As for [`Plugins::driver`].
    pub async fn ipam(&self, name: &str) -> Result<Arc<dyn Ipam>> {
        let Known { plugin, ipam, .. } = self.find("address manager", name).await?;
        plugin.contact().await.map_err(|failure| plugin.told(failure))?.ipam()?;
        Ok(ipam)
    }

    /// The network driver of that name for a network that is there already: it need not be up, nor known yet. Each
    /// call finds out.
    ///
    /// # Errors
    /// `Invalid` if nothing can be named so.
    pub fn driver_of_network(&self, name: &str) -> Result<Arc<dyn Driver>> {
        Ok(self.entry(&name.try_into()?).driver)
    }

    /// The address manager of that name for a network that is there already. As [`Plugins::driver_of_network`].
    ///
    /// # Errors
    /// `Invalid` if nothing can be named so.
    pub fn ipam_of_network(&self, name: &str) -> Result<Arc<dyn Ipam>> {
        Ok(self.entry(&name.try_into()?).ipam)
    }

    /// A plugin that there is a file for, or was when it was last looked for.
    async fn find(&self, noun: &str, name: &str) -> Result<Known> {
        if let Ok(name) = PluginName::try_from(name) {
            let known = self.map().get(&name).cloned();
            if let Some(known) = known.filter(|known| known.plugin.is_active()) {
                return Ok(known);
            }
            let (folders, wanted) = (self.settings.folders.clone(), name.clone());
            if aside(move || folders.find(&wanted)).await.flatten().is_some() {
                return Ok(self.entry(&name));
            }
        }
        let folders = self.settings.folders.clone();
        let known = aside(move || folders.list()).await.unwrap_or_default();
        let known: Vec<&str> = known.keys().map(PluginName::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let name = crate::client::shown(name);
        Err(Error::not_found(format!("there is no {noun} {name:?}; plugins that are known are: {known}")))
    }

    fn entry(&self, name: &PluginName) -> Known {
        let mut plugins = self.map();
        plugins.entry(name.clone()).or_insert_with(|| Known::new(name, &self.settings)).clone()
    }

    fn entries(&self) -> Vec<(PluginName, Known)> {
        self.map().iter().map(|(name, known)| (name.clone(), known.clone())).collect()
    }

    fn map(&self) -> MutexGuard<'_, BTreeMap<PluginName, Known>> {
        // Every change of it is one insertion.
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at files where it holds nobody up.
async fn aside<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(look)
        .await
        .inspect_err(|error| tracing::error!(%error, "looking at the plugin folders failed"))
        .ok()
}
