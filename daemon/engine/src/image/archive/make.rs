//! New images: from a root file system, or from what a container has changed.

use std::io::Read;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use trestle_core::error::{Error, Result};

use crate::image::change;
use crate::image::configuration::{Configuration, RunConfig, Step};
use crate::image::layer::decompressed;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::store::{Images, New};
use crate::image::unpacked::ImageId;

/// A root file system that becomes an image.
#[derive(Clone, Debug)]
pub struct Import {
    /// What it is for.
    pub platform: Platform,
    /// Lines like those of a Dockerfile: `CMD ["sh"]`.
    pub changes: Vec<String>,
    /// A word about it; without one, where it came from.
    pub message: String,
    /// Its name.
    pub name: Option<Reference>,
}

/// What a container has changed, to become an image on top of its own.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The image of the container, held by it.
    pub parent: ImageId,
    /// What the new image's containers are to run.
    pub config: RunConfig,
    /// Lines like those of a Dockerfile, on top of it.
    pub changes: Vec<String>,
    /// Who makes it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// What the container ran.
    pub created_by: String,
    /// The container's id.
    pub container: String,
    /// Its name.
    pub name: Option<Reference>,
}

impl Images {
    /// Makes an image of a root file system (gzip, zstd or plain); blocks until it is there.
    ///
    /// # Errors
    /// `Invalid` for what is no archive, or for a change that can't be.
    pub fn import(&self, archive: &mut dyn Read, import: Import) -> Result<ImageId> {
        let mut config = RunConfig::default();
        change::apply(&mut config, &import.changes)?;
        let layer = self.0.layers.add(&mut decompressed(archive)?, None)?;
        let created = written(self.0.clock.now())?;
        let comment = if import.message.is_empty() { "Imported from -".into() } else { import.message };
        let mut configuration = Configuration {
            created: created.clone(),
            architecture: import.platform.architecture,
            variant: import.platform.variant,
            os: import.platform.os,
            config,
            comment: comment.clone(),
            history: vec![Step { created, comment, ..Step::default() }],
            ..Configuration::default()
        };
        configuration.rootfs.diff_ids.push(layer.diff_id());
        self.add_made(&configuration, None, import.name, vec![layer])
    }

    /// Makes an image of a container's changes: a layer's archive, not compressed, with whiteouts as the OCI has them.
    /// Blocks until it is there.
    ///
    /// # Errors
    /// `NotFound` if the container's image is gone, `Invalid` as [`import`](Self::import).
    pub fn commit(&self, archive: &mut dyn Read, commit: Commit) -> Result<ImageId> {
        let parent = self.read(|state| state.images.get(&commit.parent).cloned());
        let parent = parent.ok_or_else(|| Error::not_found(format!("No such image: {}", commit.parent)))?;
        let mut config = commit.config;
        change::apply(&mut config, &commit.changes)?;
        let mut pins: Vec<_> =
            parent.configuration.rootfs.diff_ids.iter().map(|layer| self.0.layers.pin(*layer)).collect();
        let layer = self.0.layers.add(archive, None)?;
        let created = written(self.0.clock.now())?;
        let mut configuration = parent.configuration.clone();
        configuration.history.push(Step {
            created: created.clone(),
            created_by: commit.created_by,
            author: commit.author.clone(),
            comment: commit.comment.clone(),
            empty_layer: false,
        });
        configuration.created = created;
        configuration.author = commit.author;
        configuration.comment = commit.comment;
        configuration.container = commit.container;
        configuration.config = config;
        configuration.rootfs.diff_ids.push(layer.diff_id());
        pins.push(layer);
        self.add_made(&configuration, Some(commit.parent), commit.name, pins)
    }

    fn add_made(
        &self,
        configuration: &Configuration,
        parent: Option<ImageId>,
        name: Option<Reference>,
        layers: Vec<crate::image::layer::Pin>,
    ) -> Result<ImageId> {
        let bytes = serde_json::to_vec(configuration).map_err(|error| Error::internal(error.to_string()))?;
        let names: Vec<_> = name.map(Reference::tagged).into_iter().collect();
        Ok(self.add(New { configuration: &bytes, parent, names: &names, layers })?.id)
    }
}

fn written(time: SystemTime) -> Result<String> {
    OffsetDateTime::from(time).format(&Rfc3339).map_err(|error| Error::internal(error.to_string()))
}
