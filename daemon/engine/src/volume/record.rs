//! One volume.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use trestle_core::error::{Error, Result};

/// The label of a volume that was given no name.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// A volume, as it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name; 64 digits where nobody gave it one.
    pub name: String,
    /// Always `local`.
    pub driver: String,
    /// When it was made.
    pub created: SystemTime,
    /// Words about it; `None` where none were asked for.
    pub labels: Option<BTreeMap<String, String>>,
    /// What the driver was told: `type`, `device`, `o`.
    pub options: Option<BTreeMap<String, String>>,
    /// Where what containers see of it lies.
    #[serde(skip)]
    pub mountpoint: PathBuf,
}

impl Volume {
    /// Whether it was given no name, so that it may go with its container.
    pub fn is_anonymous(&self) -> bool {
        self.labels.as_ref().is_some_and(|labels| labels.contains_key(ANONYMOUS))
    }
}

/// Refuses what can't be a volume's name, in Docker's words.
pub(super) fn check_name(name: &str) -> Result<()> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric();
    if name.len() == 1 && name.bytes().all(is_word) {
        return Err(Error::invalid("volume name is too short, names should be at least two alphanumeric characters"));
    }
    let well_formed = name.bytes().next().is_some_and(is_word)
        && name.bytes().all(|byte| is_word(byte) || b"_.-".contains(&byte))
        && name.len() <= 255;
    match well_formed {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
             allowed. If you intended to pass a host directory, use absolute path"
        ))),
    }
}
