//! A container as it is stored.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use trestle_core::id::ContainerId;

use super::config::{Config, HostConfig, NetworkingConfig};
use super::name::ContainerName;
use super::state::State;

/// The form of the records that this version writes.
pub const SCHEMA: u32 = 1;

/// A container as it is stored, in one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The form of the record.
    pub schema: u32,
    /// For ever.
    pub id: ContainerId,
    /// Unique among containers.
    pub name: ContainerName,
    /// When it was made.
    pub created: SystemTime,
    /// The image's id, `sha256:…`.
    pub image: String,
    /// The folders of the image's layers, lowest first: they stay as long as the container holds the image.
    pub layers: Vec<PathBuf>,
    /// What runs in it, with what the image adds.
    pub config: Config,
    /// What it gets of the host.
    pub host_config: HostConfig,
    /// Which networks it is on, from its next start on.
    pub networking: NetworkingConfig,
    /// What is mounted into it.
    pub mounts: Vec<MountPoint>,
    /// Where it stands.
    pub state: State,
    /// How often in a row it was started again by its restart policy.
    pub restarts: u32,
    /// Whether a person stopped it, so that no restart policy starts it again.
    pub stopped: bool,
    /// Where its output goes.
    pub log_driver: LogDriver,
}

/// Where a container's output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Into a file beside the record.
    #[default]
    JsonFile,
    /// Nowhere but to who is attached.
    None,
}

/// Something that is mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// Docker's word: `bind`, `volume` or `tmpfs`.
    pub kind: MountPointKind,
    /// The folder or file on the host; empty for memory.
    pub source: PathBuf,
    /// The path in the container.
    pub destination: String,
    /// Whether it may only be read.
    pub read_only: bool,
    /// How mounts beneath it travel.
    pub propagation: String,
    /// The options as they were written.
    pub mode: String,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MountPointKind {
    /// A path of the host.
    Bind,
    /// A volume.
    Volume {
        /// Its name.
        name: String,
        /// Whether it was made for this container, and goes with it.
        anonymous: bool,
    },
    /// Memory, with mount options such as `size=64m`.
    Tmpfs {
        /// The options.
        options: Vec<String>,
    },
}

impl Record {
    /// The first twelve digits of the id, which also is the host name of who has none.
    pub fn short(&self) -> String {
        self.id.short()
    }

    /// The program and its arguments.
    pub fn command(&self) -> Vec<String> {
        self.config.entrypoint.iter().chain(self.config.cmd.iter()).cloned().collect()
    }
}
