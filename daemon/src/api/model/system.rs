//! The daemon itself, and its drivers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use trestle_core::driver;

/// Which daemon this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The daemon's version.
    pub version: String,
    /// The version of this API.
    pub api: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's architecture.
    pub architecture: String,
    /// The daemon's process id.
    pub pid: u32,
    /// Where it keeps what survives a restart of the machine.
    pub data_root: String,
    /// Where it keeps what lives as long as the kernel's state.
    pub exec_root: String,
}

/// A network driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Driver {
    /// Its name.
    pub name: String,
    /// The options that its networks take.
    pub options: Vec<DriverOption>,
}

/// An option of a driver's networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DriverOption {
    /// The label.
    pub key: String,
    /// What values it takes.
    pub values: String,
    /// What it is when not given.
    pub default: String,
    /// What it does.
    pub meaning: String,
    /// Whether this version honours it; if not, using it is refused.
    pub supported: bool,
}

impl From<(String, Vec<driver::OptionDoc>)> for Driver {
    fn from((name, options): (String, Vec<driver::OptionDoc>)) -> Self {
        let option = |it: driver::OptionDoc| DriverOption {
            key: it.key,
            values: it.values,
            default: it.default,
            meaning: it.meaning,
            supported: it.supported,
        };
        Self { name, options: options.into_iter().map(option).collect() }
    }
}
