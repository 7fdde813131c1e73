//! All layers, and who needs which at the moment.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trestle_core::error::{Doing, Error, Result};

use super::extract::{self, ATTIC, Measures, RECIPE, TREE};
use super::recipe;
use crate::durable;
use crate::image::digest::Digest;
use crate::tree::Root;

/// In a layer's folder: its [`Measures`].
const MEASURES: &str = "measures.json";

/// The layers in a folder. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Layers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// On the same file system; for what is not whole yet, or not any more.
    unfinished: PathBuf,
    /// How many works need a layer that no image may name yet.
    pins: Mutex<HashMap<Digest, usize>>,
}

/// As long as this lives, the layer is not swept.
#[derive(Debug)]
pub(crate) struct Pin {
    layers: Layers,
    diff_id: Digest,
}

impl Layers {
    /// # Errors
    /// `Internal` if the folder can't be made.
    pub(crate) fn open(folder: PathBuf, unfinished: PathBuf) -> Result<Self> {
        durable::make_folder(&folder)?;
        Ok(Self(Arc::new(Inner { folder, unfinished, pins: Mutex::default() })))
    }

    /// Keeps a layer, which may not be there yet, from being swept.
    pub(crate) fn pin(&self, diff_id: Digest) -> Pin {
        *self.pins().entry(diff_id).or_default() += 1;
        Pin { layers: self.clone(), diff_id }
    }

    /// What overlayfs takes as a lower folder.
    pub(crate) fn tree(&self, diff_id: Digest) -> PathBuf {
        self.folder(diff_id).join(TREE)
    }

    /// # Errors
    /// `NotFound` if there is no such layer.
    pub(crate) fn measures(&self, diff_id: Digest) -> Result<Measures> {
        measures(&self.folder(diff_id), diff_id)
    }

    /// Unpacks an archive that is not compressed. One that is there already is left as it is.
    ///
    /// # Errors
    /// `Invalid` for an archive that can't be a layer, or is another than was expected.
    pub(crate) fn add(&self, archive: &mut dyn Read, expected: Option<Digest>) -> Result<Pin> {
        let failed = |error: io::Error| Error::internal(format!("making a layer: {error}"));
        let made = tempfile::tempdir_in(&self.0.unfinished).map_err(failed)?;
        let (diff_id, measures) = extract::extract(made.path(), archive)?;
        if let Some(expected) = expected.filter(|expected| *expected != diff_id) {
            return Err(Error::invalid(format!("the layer should be {expected}, and is {diff_id}")));
        }
        let written = serde_json::to_vec(&measures).map_err(io::Error::from);
        written.and_then(|bytes| fs::write(made.path().join(MEASURES), bytes)).map_err(failed)?;
        let pin = self.pin(diff_id);
        match durable::publish_folder(made.path(), &self.folder(diff_id)) {
            // Somebody made the same layer in the meantime.
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {}
            published => published.map_err(failed)?,
        }
        Ok(pin)
    }

    /// Writes the layer's archive, to the byte as it once came.
    ///
    /// # Errors
    /// `Internal` if the layer was damaged, or the other side takes no more.
    pub(crate) fn write_archive(&self, diff_id: Digest, out: &mut dyn Write) -> Result<()> {
        let folder = self.folder(diff_id);
        let mut out = crate::image::digest::Digesting::new(out);
        let followed = Root::open(&folder.join(TREE))
            .and_then(|tree| recipe::follow(&folder.join(RECIPE), &tree, &folder.join(ATTIC), &mut out));
        followed
            .map_err(|error| Error::internal(error.to_string()))
            .doing(|| format!("writing the layer {diff_id}"))?;
        match out.finish().0 {
            written if written == diff_id => Ok(()),
            written => {
                Err(Error::internal(format!("the layer {diff_id} was changed on the disk: it is {written} now")))
            }
        }
    }

    /// Those on the disk.
    pub(crate) fn all(&self) -> Result<Vec<Digest>> {
        let failed = |error: io::Error| Error::internal(format!("looking into {}: {error}", self.0.folder.display()));
        let names = fs::read_dir(&self.0.folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        Ok(names.iter().filter_map(|name| Digest::from_hex(name.to_str()?)).collect())
    }

    /// Deletes a layer, unless somebody needs it at the moment, or `is_named` by an image. How many bytes its files
    /// had, if it was deleted.
    ///
    /// # Errors
    /// `Internal` if its folder can't be deleted.
    pub(crate) fn sweep(&self, diff_id: Digest, is_named: impl FnOnce() -> bool) -> Result<Option<u64>> {
        let failed = |error: io::Error| Error::internal(format!("deleting the layer {diff_id}: {error}"));
        let away = tempfile::tempdir_in(&self.0.unfinished).map_err(failed)?;
        {
            // Who pins it from now on finds it gone; who named it has done so before letting go of his pin.
            let pins = self.pins();
            if pins.contains_key(&diff_id) || is_named() {
                return Ok(None);
            }
            match fs::rename(self.folder(diff_id), away.path().join("layer")) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                moved => moved.map_err(failed)?,
            }
        }
        // One that lost its measures is deleted all the same.
        let size = measures(&away.path().join("layer"), diff_id).map_or(0, |measures| measures.size);
        away.close().map_err(failed)?;
        Ok(Some(size))
    }

    fn folder(&self, diff_id: Digest) -> PathBuf {
        self.0.folder.join(diff_id.hex())
    }

    fn pins(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        self.0.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pin {
    /// Which layer it keeps.
    pub(crate) fn diff_id(&self) -> Digest {
        self.diff_id
    }

    /// Whether the layer is there.
    pub(crate) fn is_there(&self) -> bool {
        Path::new(&self.layers.tree(self.diff_id)).is_dir()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.layers.pins();
        if let Some(count) = pins.get_mut(&self.diff_id) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.diff_id);
            }
        }
    }
}

fn measures(folder: &Path, diff_id: Digest) -> Result<Measures> {
    let path = folder.join(MEASURES);
    let bytes = fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("there is no layer {diff_id}")),
        _ => Error::internal(format!("reading {}: {error}", path.display())),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Error::internal(format!("{}: {error}", path.display())))
}
