//! One image, whose layers are on the disk.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;
use trestle_core::error::{Error, Result};

use super::configuration::{Configuration, time};
use super::digest::Digest;
use super::layer::Layers;

/// The digest of an image's configuration.
pub type ImageId = Digest;

/// An image whose layers are on the disk. Names change; this does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The digest of its configuration.
    pub id: ImageId,
    /// What it says of itself.
    pub configuration: Configuration,
    /// Folders that overlayfs takes as lower ones (whiteouts are devices 0:0), lowest first; empty for an image
    /// without layers. Nothing is ever changed in them.
    pub layers: Vec<PathBuf>,
    /// Bytes of all files of each layer, lowest first.
    pub sizes: Vec<u64>,
}

impl Image {
    /// Bytes of all files of all layers, hidden ones too.
    pub fn size(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// When it was made, if it tells.
    pub fn created(&self) -> Option<SystemTime> {
        time(&self.configuration.created)
    }

    /// Reads the configuration, and finds its layers.
    ///
    /// # Errors
    /// `NotFound` names the layer that is not there, `Invalid` tells why it is no configuration of an image for here.
    pub(super) fn read(bytes: &[u8], layers: &Layers) -> Result<Self> {
        let configuration = parse(bytes)?;
        let diff_ids = &configuration.rootfs.diff_ids;
        let sizes = diff_ids.iter().map(|diff_id| Ok(layers.measures(*diff_id)?.size)).collect::<Result<_>>()?;
        let layers = diff_ids.iter().map(|diff_id| layers.tree(*diff_id)).collect();
        Ok(Self { id: Digest::of(bytes), configuration, layers, sizes })
    }

    /// The file of a configuration in its folder.
    pub(super) fn file(folder: &Path, id: ImageId) -> PathBuf {
        folder.join(format!("{}.json", id.hex()))
    }
}

/// Reads the configuration of an image that can run here.
pub(super) fn parse(bytes: &[u8]) -> Result<Configuration> {
    let refused = |error: serde_json::Error| Error::invalid(format!("the configuration of the image: {error}"));
    let configuration: Configuration = serde_json::from_slice(bytes).map_err(refused)?;
    if !matches!(configuration.os.as_str(), "" | "linux") {
        let cause = format!("the image is for {}, and can't be used on linux", configuration.os);
        return Err(Error::invalid(cause));
    }
    let extra = |name: &str| configuration.rest.get(name).is_some_and(Value::is_object);
    // Without it, any JSON object would do.
    if configuration.rootfs.diff_ids.is_empty() && configuration.architecture.is_empty() && !extra("container_config") {
        return Err(Error::invalid("the configuration of the image tells neither layers nor a processor"));
    }
    Ok(configuration)
}
