//! Which images there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use trestle_core::error::{Doing, Error, Result};
use trestle_core::surroundings::Clock;

use super::arriving::Arriving;
use super::digest::Digest;
use super::index::Index;
use super::layer::{Layers, Pin};
use super::reference::Reference;
use super::unpacked::{Image, ImageId};
use crate::durable;

/// The images in a folder. Clones are the same.
///
/// What reads or writes archives blocks; so do all changes, for as long as the disk takes to write a small file.
#[derive(Clone)]
pub struct Images(pub(super) Arc<Inner>);

pub(super) struct Inner {
    folder: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) layers: Layers,
    pub(super) arriving: Arriving,
    /// One change after another; held while the index is written.
    changing: Mutex<()>,
    state: RwLock<State>,
    /// Which containers have an image. Changes together with what is removed.
    holds: Mutex<BTreeMap<ImageId, BTreeSet<String>>>,
}

/// What readers see: the index as it is on the disk, and the images it names.
#[derive(Clone)]
pub(super) struct State {
    pub(super) index: Index,
    pub(super) images: HashMap<ImageId, Arc<Image>>,
}

/// An image, and what is known of it besides.
#[derive(Clone, Debug)]
pub struct Known {
    /// The image.
    pub image: Arc<Image>,
    /// Its names with a tag.
    pub tags: Vec<Reference>,
    /// Its names with the digest of a manifest.
    pub digests: Vec<Reference>,
    /// The image that it was made on top of, here.
    pub parent: Option<ImageId>,
    /// Whether others were made on top of it.
    pub has_children: bool,
    /// When it last got a name.
    pub tagged: Option<SystemTime>,
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

impl Images {
    /// Opens the folder, or begins it, and sweeps what was not finished. One process at a time.
    ///
    /// # Errors
    /// `Unsupported` if a newer version wrote it, `Internal` if it can't be read.
    pub fn open(folder: PathBuf, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::try_open(&folder, clock).doing(|| format!("opening the images in {}", folder.display()))
    }

    fn try_open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        durable::make_folder(&folder.join(CONFIGURATIONS))?;
        durable::make_folder(&folder.join(UNFINISHED))?;
        let layers = Layers::open(folder.join("layers"), folder.join(UNFINISHED))?;
        let index = Index::read(&folder.join(INDEX))?;
        empty(&folder.join(UNFINISHED))?;
        let mut images = HashMap::new();
        for id in index.images.keys() {
            match read_image(folder, *id, &layers) {
                Ok(image) => drop(images.insert(*id, Arc::new(image))),
                Err(error) => tracing::error!(image = %id, %error, "an image is damaged, and left out"),
            }
        }
        let state = RwLock::new(State { index, images });
        let inner = Inner {
            folder: folder.to_owned(),
            clock,
            layers,
            arriving: Arriving::default(),
            changing: Mutex::default(),
            state,
            holds: Mutex::default(),
        };
        let images = Self(Arc::new(inner));
        images.sweep_configurations()?;
        images.sweep_layers(images.0.layers.all()?)?;
        Ok(images)
    }

    /// Finds an image by `name[:tag]`, `name@digest`, id or the beginning of an id.
    ///
    /// # Errors
    /// `NotFound` and `Invalid`, in Docker's words.
    pub fn find(&self, asked: &str) -> Result<Arc<Image>> {
        Ok(self.read(|state| state.find(asked))?.image)
    }

    /// The same, with its names.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn inspect(&self, asked: &str) -> Result<Known> {
        self.read(|state| state.find(asked))
    }

    /// All of them, the newest first.
    pub fn all(&self) -> Vec<Known> {
        let mut all: Vec<_> = self.read(|state| {
            let present = state.index.images.iter().filter(|(_, entry)| !entry.removed);
            present.filter_map(|(id, _)| state.known(*id)).collect()
        });
        all.sort_by(|one, other| other.image.configuration.created.cmp(&one.image.configuration.created));
        all
    }

    /// Gives an image one more name. Another image that has it loses it.
    ///
    /// # Errors
    /// `NotFound` if there is no such image, `Invalid` for a name with a digest.
    pub fn tag(&self, asked: &str, name: &Reference) -> Result<ImageId> {
        if name.digest().is_some() {
            return Err(Error::invalid("refusing to create a tag with a digest reference"));
        }
        let (name, now) = (name.clone().tagged(), self.0.clock.now());
        self.change(|state| {
            let id = state.find(asked)?.image.id;
            state.index.name(name, id, now);
            Ok(id)
        })
    }

    /// Keeps an image for a container, removed by force or not. To be told again after each start.
    ///
    /// # Errors
    /// `NotFound` if it is gone for good.
    pub fn hold(&self, id: &ImageId, container: &str) -> Result<Arc<Image>> {
        // Nobody removes it between these two.
        let _one_after_another = self.changing();
        let image = self.read(|state| state.images.get(id).cloned());
        let image = image.ok_or_else(|| missing(&id.to_string()))?;
        self.holds().entry(*id).or_default().insert(container.to_owned());
        Ok(image)
    }

    /// A container is done with an image. If that was removed by force, and this the last container, it goes for good.
    ///
    /// # Errors
    /// `Internal` if it can't be deleted; at the next start it is swept.
    pub fn release(&self, id: &ImageId, container: &str) -> Result<()> {
        let is_last = {
            let mut holds = self.holds();
            let Some(holders) = holds.get_mut(id) else {
                return Ok(());
            };
            holders.remove(container);
            let is_last = holders.is_empty();
            if is_last {
                holds.remove(id);
            }
            is_last
        };
        let is_removed = self.read(|state| state.index.images.get(id).is_some_and(|entry| entry.removed));
        if is_last && is_removed { self.forget_unheld() } else { Ok(()) }
    }

    /// Deletes images that were removed by force and that no container has any more. Call it once after a start, when
    /// all containers have told what they hold.
    ///
    /// # Errors
    /// `Internal` if they can't be deleted.
    pub fn forget_unheld(&self) -> Result<()> {
        let layers = self.change(|state| {
            let holds = self.holds();
            let gone = |id: &ImageId, removed: bool| removed && !holds.contains_key(id);
            let ids: Vec<_> =
                state.index.images.iter().filter(|(id, entry)| gone(id, entry.removed)).map(|(id, _)| *id).collect();
            Ok(ids.into_iter().flat_map(|id| state.forget(id)).collect::<Vec<_>>())
        })?;
        self.sweep_configurations()?;
        self.sweep_layers(layers).map(drop)
    }

    /// Which containers have the image.
    pub fn holders(&self, id: &ImageId) -> Vec<String> {
        self.holds().get(id).into_iter().flatten().cloned().collect()
    }

    /// Takes in an image whose layers are pinned, and gives it names. Which of them were another image's before.
    pub(super) fn add(&self, new: New<'_>) -> Result<Added> {
        let image = Image::read(new.configuration, &self.0.layers)?;
        let id = image.id;
        let file = Image::file(&self.0.folder.join(CONFIGURATIONS), id);
        let now = self.0.clock.now();
        let moved = self.change(|state| {
            durable::write(&file, new.configuration)?;
            state.index.add(id, new.parent);
            let names = new.names.iter().cloned();
            let moved = names.filter_map(|name| Some((name.clone(), state.index.name(name, id, now)?))).collect();
            state.images.insert(id, Arc::new(image));
            Ok(moved)
        })?;
        drop(new.layers);
        Ok(Added { id, moved })
    }

    /// The bytes of an image's configuration.
    pub(super) fn configuration(&self, id: ImageId) -> Result<Vec<u8>> {
        read_configuration(&self.0.folder, id)
    }

    /// Where something may be made that is not finished yet.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.0.folder.join(UNFINISHED)
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the index: all of it or nothing, on the disk before anyone sees it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let _one_after_another = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.read(State::clone);
        let before = state.index.clone();
        let outcome = change(&mut state)?;
        if state.index != before {
            state.index.write(&self.0.folder.join(INDEX))?;
        }
        *self.0.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(outcome)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes those layers that no image has and nobody needs; which were deleted, and how many bytes their files had.
    pub(super) fn sweep_layers(&self, layers: Vec<Digest>) -> Result<Vec<(Digest, u64)>> {
        let mut swept = Vec::new();
        for layer in layers {
            let size = self.0.layers.sweep(layer, || self.read(|state| state.has_layer(layer)))?;
            swept.extend(size.map(|size| (layer, size)));
        }
        Ok(swept)
    }

    pub(super) fn sweep_configurations(&self) -> Result<()> {
        // An image that is on its way has its configuration written within a change.
        self.change(|state| {
            let folder = self.0.folder.join(CONFIGURATIONS);
            let failed = |error: std::io::Error| Error::internal(format!("looking into {}: {error}", folder.display()));
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let id = path.file_stem().and_then(|name| name.to_str()).and_then(Digest::from_hex);
                if !id.is_some_and(|id| state.index.images.contains_key(&id)) {
                    durable::remove(&path)?;
                }
            }
            Ok(())
        })
    }

    pub(super) fn holds(&self) -> MutexGuard<'_, BTreeMap<ImageId, BTreeSet<String>>> {
        self.0.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An image on its way in.
pub(super) struct New<'a> {
    pub(super) configuration: &'a [u8],
    pub(super) parent: Option<ImageId>,
    pub(super) names: &'a [Reference],
    pub(super) layers: Vec<Pin>,
}

/// An image that has come in.
pub(super) struct Added {
    pub(super) id: ImageId,
    /// Names that were another image's before.
    pub(super) moved: Vec<(Reference, ImageId)>,
}

impl State {
    pub(super) fn find(&self, asked: &str) -> Result<Known> {
        if let Some(id) = asked.parse().ok().or_else(|| Digest::from_hex(asked)) {
            return self.present(id).ok_or_else(|| missing(asked));
        }
        let name = asked.parse::<Reference>()?.tagged();
        if let Some(known) = self.named(&name).and_then(|id| self.present(id)) {
            return Ok(known);
        }
        let prefix = asked.strip_prefix("sha256:").unwrap_or(asked);
        let mut begun = self.index.images.keys().filter(|id| id.hex().starts_with(prefix));
        let found = begun.find_map(|id| self.present(*id));
        match (found, begun.find_map(|id| self.present(*id))) {
            (Some(known), None) => Ok(known),
            (None, _) => Err(missing(&name.familiar())),
            (Some(_), Some(_)) => {
                Err(Error::not_found(format!("No such image: {asked}: more than one image's id begins so")))
            }
        }
    }

    /// A name with a digest means that, whatever its tag says.
    pub(super) fn named(&self, name: &Reference) -> Option<ImageId> {
        let name = name.digest().map_or_else(|| name.clone(), |digest| name.at(digest));
        self.index.names.get(&name).copied()
    }

    pub(super) fn present(&self, id: ImageId) -> Option<Known> {
        self.index.images.get(&id).filter(|entry| !entry.removed)?;
        self.known(id)
    }

    fn known(&self, id: ImageId) -> Option<Known> {
        let (image, entry) = (self.images.get(&id)?, self.index.images.get(&id)?);
        let (digests, tags) = self.index.names_of(id).into_iter().partition(|name| name.digest().is_some());
        Some(Known {
            image: Arc::clone(image),
            tags,
            digests,
            parent: entry.parent,
            has_children: self.index.children(id).next().is_some(),
            tagged: entry.tagged,
        })
    }

    /// Takes an image out for good; the layers that it had.
    pub(super) fn forget(&mut self, id: ImageId) -> Vec<Digest> {
        self.index.images.remove(&id);
        self.index.names.retain(|_, named| *named != id);
        let image = self.images.remove(&id);
        image.map(|image| image.configuration.rootfs.diff_ids.clone()).unwrap_or_default()
    }

    /// While an image is damaged, nobody knows what it has: then it may be any.
    fn has_layer(&self, layer: Digest) -> bool {
        self.images.len() < self.index.images.len()
            || self.images.values().any(|image| image.configuration.rootfs.diff_ids.contains(&layer))
    }
}

const INDEX: &str = "index.json";
const CONFIGURATIONS: &str = "configurations";
const UNFINISHED: &str = "unfinished";

pub(super) fn missing(asked: &str) -> Error {
    Error::not_found(format!("No such image: {asked}"))
}

fn read_configuration(folder: &Path, id: ImageId) -> Result<Vec<u8>> {
    let path = Image::file(&folder.join(CONFIGURATIONS), id);
    let bytes = fs::read(&path).map_err(|error| Error::internal(format!("reading {}: {error}", path.display())))?;
    match Digest::of(&bytes) == id {
        true => Ok(bytes),
        false => Err(Error::internal(format!("{} was changed: it is not {id}", path.display()))),
    }
}

fn read_image(folder: &Path, id: ImageId, layers: &Layers) -> Result<Image> {
    Image::read(&read_configuration(folder, id)?, layers)
}

fn empty(folder: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::internal(format!("emptying {}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let removed = match entry.file_type().map_err(failed)?.is_dir() {
            true => fs::remove_dir_all(entry.path()),
            false => fs::remove_file(entry.path()),
        };
        removed.map_err(failed)?;
    }
    Ok(())
}
