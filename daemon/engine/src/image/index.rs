//! Which images there are, and their names: one small file, the only word on it.
//!
//! What it does not name is left over from something that was not finished, and swept at the next start.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use trestle_core::error::{Error, Result};

use super::digest::Digest;
use super::reference::Reference;
use crate::durable;

/// The version that is written. One that is newer is refused.
const VERSION: u32 = 1;

/// Images and names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Index {
    version: u32,
    /// By id.
    pub(super) images: BTreeMap<Digest, Entry>,
    /// Names with a tag, and names with the digest of a manifest; which image each means.
    pub(super) names: BTreeMap<Reference, Digest>,
}

/// What is known of an image besides its configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The image that it was made on top of, here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Digest>,
    /// When it last got a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tagged: Option<SystemTime>,
    /// Removed by force while containers had it: it is there for them alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) removed: bool,
}

impl Index {
    fn empty() -> Self {
        Self { version: VERSION, images: BTreeMap::new(), names: BTreeMap::new() }
    }

    /// # Errors
    /// `Unsupported` if a newer version wrote it, `Internal` if it can't be read.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let unreadable = |cause: String| Error::internal(format!("reading {}: {cause}", path.display()));
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::empty()),
            read => read.map_err(|error| unreadable(error.to_string()))?,
        };
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let found: Versioned = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if found.version > VERSION {
            let cause = format!("{} is of version {}; this program knows {VERSION}", path.display(), found.version);
            return Err(Error::unsupported(cause));
        }
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))
    }

    /// # Errors
    /// `Internal`; what was there before is still.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| Error::internal(error.to_string()))?;
        durable::write(path, &bytes)
    }

    /// The names of an image: those with tags first.
    pub(super) fn names_of(&self, id: Digest) -> Vec<Reference> {
        let mut names: Vec<_> =
            self.names.iter().filter(|(_, named)| **named == id).map(|(name, _)| name.clone()).collect();
        names.sort_by_key(|name| name.digest().is_some());
        names
    }

    /// Images that were made on top of it and not removed.
    pub(super) fn children(&self, id: Digest) -> impl Iterator<Item = Digest> {
        self.images.iter().filter(move |(_, entry)| entry.parent == Some(id) && !entry.removed).map(|(id, _)| *id)
    }

    /// Takes an image in, or takes one back that was removed and is held.
    pub(super) fn add(&mut self, id: Digest, parent: Option<Digest>) {
        let entry = self.images.entry(id).or_insert(Entry { parent: None, tagged: None, removed: false });
        entry.removed = false;
        entry.parent = entry.parent.or(parent).filter(|parent| *parent != id);
    }

    /// Gives an image a name; the image that had it before, if it was another.
    pub(super) fn name(&mut self, name: Reference, id: Digest, now: SystemTime) -> Option<Digest> {
        if let Some(entry) = self.images.get_mut(&id) {
            entry.tagged = Some(now);
        }
        self.names.insert(name, id).filter(|before| *before != id)
    }
}
