//! Networks as containers have them: what is asked in Docker's words is asked of the controller in its own.
//!
//! | to find | look in |
//! |---|---|
//! | the networks that are always there | [`boot`] |
//! | making and removing one, by Docker's rules | [`create`], [`remove`] |
//! | which network is meant | `find` |
//! | a container's way onto its networks and off them: the seam that containers use | [`attach`], [`connect`] |
//! | what a container may not ask for at once | [`conflict`] |
//! | what is asked of one network | `endpoint`; of the host's ports: [`ports`] |
//! | what inspect tells of it | [`settings`] |
//!
//! Absent here: addresses, links, rules. The controller keeps them, and what is told is what it has.

pub mod attach;
pub mod boot;
pub mod conflict;
pub mod connect;
pub mod create;
mod endpoint;
mod find;
pub mod ports;
pub mod remove;
pub mod settings;

use std::sync::Arc;

use tokio::sync::Mutex;
use trestle_core::controller::Controller;

use crate::container::config::{Config, HostConfig, NetworkingConfig};
use crate::event::{Events, Noun};

/// The networks, as containers have them.
pub struct Networks {
    controller: Controller,
    events: Arc<Events>,
    /// For networks that don't say, by driver: `--default-network-opt`.
    defaults: Vec<DefaultOption>,
    pruning: Mutex<()>,
}

/// An option that new networks of a driver get where they don't say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultOption {
    /// The driver.
    pub driver: String,
    /// The option.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A container, as far as its networks are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its id, 64 digits, which is the name of its sandbox.
    pub id: &'a str,
    /// Its name, without a slash, which is the name of its endpoints.
    pub name: &'a str,
    /// What runs in it.
    pub config: &'a Config,
    /// What it gets of the host.
    pub host_config: &'a HostConfig,
    /// Which networks it is on: what [`Networks::settled`] made of it.
    pub networking: &'a NetworkingConfig,
}

impl Networks {
    /// Those of a controller.
    pub(crate) fn new(controller: Controller, events: Arc<Events>, defaults: Vec<DefaultOption>) -> Self {
        Self { controller, events, defaults, pruning: Mutex::new(()) }
    }

    fn tell(&self, action: &str, network: &trestle_core::network::Network, container: Option<&str>) {
        let mut attributes = vec![("name", network.name.to_string()), ("type", network.driver.clone())];
        attributes.extend(container.map(|id| ("container", id.to_owned())));
        self.events.tell(Noun::Network, action, network.id.to_string(), attributes);
    }
}

/// The networks whose names mean something to everybody; nobody makes or removes one by that name.
pub const PREDEFINED: [&str; 4] = ["bridge", "host", "none", "default"];

/// The name of the network that containers join when they name none.
pub const DEFAULT: &str = "bridge";
