//! The engine: what is put together at start, and handed to whoever asks it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use trestle_core::controller::Controller;
use trestle_core::entropy::Entropy;
use trestle_core::surroundings::Clock;
use trestle_core::{Doing, Error, Result};

use crate::container::{Containers, containers};
use crate::event::{Events, Noun};
use crate::image::Images;
use crate::network::boot::{self, BridgeSettings};
use crate::network::{DefaultOption, Networks};
use crate::runtime::host::Host;
use crate::volume::Volumes;

/// What an engine is given.
#[derive(Clone)]
pub struct Options {
    /// Whose networks the containers join.
    pub controller: Controller,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// For what survives a restart of the machine.
    pub data_root: PathBuf,
    /// For what lives as long as the kernel's state.
    pub exec_root: PathBuf,
    /// Where ids and names come from.
    pub entropy: Arc<dyn Entropy>,
    /// What the network `bridge` is like; `None` leaves it out.
    pub bridge: Option<BridgeSettings>,
    /// What networks get that don't say.
    pub network_defaults: Vec<DefaultOption>,
    /// The control group that containers' own lie in, unless they say otherwise.
    pub cgroup_parent: String,
}

/// Containers, and all that they need. Cheap to clone; each clone is the same one.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<Parts>,
}

struct Parts {
    options: Options,
    images: Images,
    volumes: Volumes,
    events: Arc<Events>,
    networks: Networks,
    containers: std::result::Result<Containers, String>,
}

impl Engine {
    /// Takes over what an earlier one left.
    ///
    /// A host without a runtime for containers still has networks and images: why it has no containers is told to whoever
    /// asks for one.
    pub async fn open(options: Options) -> Result<Self> {
        boot::make(&options.controller, options.bridge.as_ref()).await?;
        let images = Images::open(options.data_root.join("image"), Arc::clone(&options.clock))?;
        let (clock, entropy) = (Arc::clone(&options.clock), Arc::clone(&options.entropy));
        let volumes = Volumes::open(options.data_root.join("volumes"), Arc::clone(&clock), entropy)?;
        let events = Arc::new(Events::new(clock));
        let defaults = options.network_defaults.clone();
        let networks = Networks::new(options.controller.clone(), Arc::clone(&events), defaults);
        let containers = match Host::look_around() {
            Err(error) => {
                tracing::warn!("no containers: {error}");
                Err(error.to_string())
            }
            Ok(host) => Ok(open_containers(&options, host, images.clone(), Arc::clone(&events)).await?),
        };
        Ok(Self { parts: Arc::new(Parts { options, events, networks, images, volumes, containers }) })
    }

    /// The containers.
    ///
    /// # Errors
    /// `Unsupported`, with what this host lacks.
    pub fn containers(&self) -> Result<&Containers> {
        self.parts.containers.as_ref().map_err(|why| Error::unsupported(why.clone()))
    }

    /// What containers are made from.
    pub fn images(&self) -> &Images {
        &self.parts.images
    }

    /// Folders that outlive the containers that have them.
    pub fn volumes(&self) -> &Volumes {
        &self.parts.volumes
    }

    /// Whose networks the containers join.
    pub fn controller(&self) -> &Controller {
        &self.parts.options.controller
    }

    /// The time of day.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.parts.options.clock
    }

    /// For what survives a restart of the machine.
    pub fn data_root(&self) -> &Path {
        &self.parts.options.data_root
    }

    /// For what lives as long as the kernel's state.
    pub fn exec_root(&self) -> &Path {
        &self.parts.options.exec_root
    }

    /// The networks that containers join.
    pub fn networks(&self) -> &Networks {
        &self.parts.networks
    }

    /// What happened to containers, images, networks and volumes.
    pub fn events(&self) -> &Events {
        &self.parts.events
    }

    /// Tells everybody who listens what happened just now.
    pub fn tell<'a>(
        &self,
        noun: Noun,
        action: impl Into<String>,
        id: impl Into<String>,
        attributes: impl IntoIterator<Item = (&'a str, String)>,
    ) {
        self.events().tell(noun, action, id, attributes);
    }
}

async fn open_containers(options: &Options, host: Host, images: Images, events: Arc<Events>) -> Result<Containers> {
    let containers = Containers::open(containers::Options {
        folder: options.data_root.join("containers"),
        runtime_folder: options.exec_root.join("containers"),
        host,
        images,
        controller: options.controller.clone(),
        events,
        clock: Arc::clone(&options.clock),
        entropy: Arc::clone(&options.entropy),
        cgroup_parent: options.cgroup_parent.clone(),
        default_ulimits: Vec::new(),
    })
    .doing(|| "opening the containers")?;
    containers.hold_images()?;
    containers.adopt().await;
    Ok(containers)
}
