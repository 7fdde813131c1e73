//! Which volumes there are, and who has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trestle_core::entropy::Entropy;
use trestle_core::error::{Doing, Error, ErrorKind, Result};
use trestle_core::surroundings::Clock;

use super::local::Source;
use super::record::{ANONYMOUS, Volume, check_name};
use crate::durable;
use crate::tree;

/// The one driver there is.
const LOCAL: &str = "local";

const RECORD: &str = "volume.json";
const DATA: &str = "_data";

/// The volumes in a folder. Clones are the same.
///
/// All but looking blocks, for as long as the disk takes.
#[derive(Clone)]
pub struct Volumes(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// One change of the folder, and of what is mounted in it, after another.
    changing: Mutex<()>,
    state: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Clone)]
struct Entry {
    volume: Volume,
    source: Source,
    /// Containers that have it.
    holders: BTreeSet<String>,
    /// Those of them that use it at the moment.
    users: BTreeSet<String>,
}

/// What is asked of a new volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its name; one without gets one, and is anonymous.
    pub name: Option<String>,
    /// Empty for `local`.
    pub driver: String,
    /// Words about it; `None` where nothing was told.
    pub labels: Option<BTreeMap<String, String>>,
    /// What the driver is told.
    pub options: Option<BTreeMap<String, String>>,
}

impl fmt::Debug for Volumes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volumes").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

impl Volumes {
    /// Opens the folder, or begins it, and sweeps what was not finished. One process at a time.
    ///
    /// # Errors
    /// `Internal` if it can't be read.
    pub fn open(folder: PathBuf, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let state = read_all(&folder).doing(|| format!("opening the volumes in {}", folder.display()))?;
        Ok(Self(Arc::new(Inner { folder, clock, entropy, changing: Mutex::default(), state: Mutex::new(state) })))
    }

    /// Makes a volume, or finds the one of that name. Whether it was made.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` for a driver that there is not, `Unsupported` for what can't be mounted, in Docker's words.
    pub fn create(&self, asked: Asked) -> Result<(Volume, bool)> {
        let name = asked.name.clone().filter(|name| !name.is_empty());
        let told = name.clone().unwrap_or_default();
        self.try_create(name, asked).doing(|| format!("create {told}"))
    }

    fn try_create(&self, name: Option<String>, asked: Asked) -> Result<(Volume, bool)> {
        if !matches!(asked.driver.as_str(), "" | LOCAL) {
            let driver = asked.driver;
            let cause = format!("error looking up volume plugin {driver}: plugin \"{driver}\" not found");
            return Err(Error::not_found(cause));
        }
        let source = Source::read(asked.options.as_ref().unwrap_or(&BTreeMap::new()))?;
        let mut labels = asked.labels;
        let name = match name {
            Some(name) => name,
            None => {
                labels.get_or_insert_default().insert(ANONYMOUS.into(), String::new());
                self.invent()
            }
        };
        check_name(&name)?;
        let _one_after_another = self.changing();
        if let Some(entry) = self.state().get(&name) {
            return Ok((entry.volume.clone(), false));
        }
        let volume = Volume {
            mountpoint: self.0.folder.join(&name).join(DATA),
            name: name.clone(),
            driver: LOCAL.into(),
            created: self.0.clock.now(),
            labels,
            options: asked.options,
        };
        self.write(&volume).map_err(|error| Error::internal(error.to_string()))?;
        let entry = Entry { volume: volume.clone(), source, holders: BTreeSet::new(), users: BTreeSet::new() };
        self.state().insert(name, entry);
        Ok((volume, true))
    }

    /// 32 random bytes, as all ids are.
    fn invent(&self) -> String {
        let mut bytes = [0; 32];
        self.0.entropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn write(&self, volume: &Volume) -> io::Result<()> {
        let made = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.0.folder)?;
        fs::write(made.path().join(RECORD), serde_json::to_vec_pretty(volume)?)?;
        make_data(&made.path().join(DATA))?;
        durable::publish_folder(made.path(), &self.0.folder.join(&volume.name))
    }

    /// # Errors
    /// `NotFound`, in Docker's words.
    pub fn find(&self, name: &str) -> Result<Volume> {
        Ok(self.entry(name)?.volume)
    }

    /// All of them, by name, and how many containers have each.
    pub fn all(&self) -> Vec<(Volume, usize)> {
        self.state().values().map(|entry| (entry.volume.clone(), entry.holders.len())).collect()
    }

    /// Keeps a volume for a container, so that nobody removes it. To be told again after each start.
    ///
    /// # Errors
    /// `NotFound`, in Docker's words.
    pub fn hold(&self, name: &str, container: &str) -> Result<Volume> {
        let mut state = self.state();
        let entry = state.get_mut(name).ok_or_else(|| missing(name))?;
        entry.holders.insert(container.to_owned());
        Ok(entry.volume.clone())
    }

    /// A container is done with a volume; that it does not use it any more was told before.
    pub fn release(&self, name: &str, container: &str) {
        if let Some(entry) = self.state().get_mut(name) {
            entry.holders.remove(container);
        }
    }

    /// Makes a volume ready for a container that holds it and starts; where it lies. To be told again after each
    /// start, for containers that run.
    ///
    /// # Errors
    /// `NotFound`, or `Internal` if it can't be mounted.
    pub fn mount(&self, name: &str, container: &str) -> Result<PathBuf> {
        let _one_after_another = self.changing();
        let entry = self.entry(name)?;
        entry.source.mount(&entry.volume.mountpoint)?;
        if let Some(entry) = self.state().get_mut(name) {
            entry.users.insert(container.to_owned());
        }
        Ok(entry.volume.mountpoint)
    }

    /// A container that has stopped uses it no more.
    ///
    /// # Errors
    /// `Internal` if it can't be unmounted.
    pub fn unmount(&self, name: &str, container: &str) -> Result<()> {
        let _one_after_another = self.changing();
        let last = {
            let mut state = self.state();
            let Some(entry) = state.get_mut(name) else {
                return Ok(());
            };
            entry.users.remove(container);
            entry.users.is_empty().then(|| entry.clone())
        };
        last.map_or(Ok(()), |entry| entry.source.unmount(&entry.volume.mountpoint))
    }

    /// Copies what an image has at a volume's place into the volume, if that is empty: owners, modes and all. To be
    /// called when it is mounted, before the container that mounts it runs.
    ///
    /// # Errors
    /// `Internal` if it can't be copied; an ordinary volume is empty then.
    pub fn fill(&self, name: &str, from: &Path) -> Result<()> {
        let _one_after_another = self.changing();
        let entry = self.entry(name)?;
        let target = &entry.volume.mountpoint;
        let fill = || {
            if fs::read_dir(target)?.next().is_some() {
                return Ok(());
            }
            match entry.source {
                Source::Folder => {
                    let made = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.0.folder)?;
                    let copy = made.path().join(DATA);
                    fs::create_dir(&copy)?;
                    tree::copy(from, &copy)?;
                    // An empty folder gives way to the whole copy.
                    durable::publish_folder(&copy, target)
                }
                // What is in memory is gone with the machine that could have left it half.
                Source::Memory { .. } => tree::copy(from, target),
                // It is the host's own folder.
                Source::Bind { .. } => Ok(()),
            }
        };
        fill().map_err(|error: io::Error| {
            Error::internal(error.to_string()).doing(format!("copying {} into the volume {name}", from.display()))
        })
    }

    /// Removes a volume. Whether there was one: by `force`, one that there is not is no error.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` if containers have it, in Docker's words.
    pub fn remove(&self, name: &str, force: bool) -> Result<bool> {
        let _one_after_another = self.changing();
        let entry = match self.entry(name) {
            Err(error) if force && error.kind() == ErrorKind::NotFound => return Ok(false),
            entry => entry?,
        };
        {
            let mut state = self.state();
            let holders = state.get(name).map(|entry| &entry.holders).into_iter().flatten().cloned();
            let holders: Vec<String> = holders.collect();
            if !holders.is_empty() {
                let cause = format!("volume is in use - [{}]", holders.join(", "));
                return Err(Error::conflict(cause).doing(format!("remove {name}")));
            }
            state.remove(name);
        }
        let removed = self.delete(&entry).doing(|| format!("remove {name}"));
        if removed.is_err() && entry.volume.mountpoint.exists() {
            self.state().insert(name.to_owned(), entry);
        }
        removed.map(|()| true)
    }

    fn delete(&self, entry: &Entry) -> Result<()> {
        // Never delete what is only mounted here.
        entry.source.unmount(&entry.volume.mountpoint)?;
        let delete = || {
            let away = tempfile::Builder::new().prefix(".old-").tempdir_in(&self.0.folder)?;
            fs::rename(self.0.folder.join(&entry.volume.name), away.path().join("volume"))?;
            durable::sync_folder(&self.0.folder)?;
            away.close()
        };
        delete().map_err(|error: io::Error| Error::internal(error.to_string()))
    }

    /// Removes those among `chosen` that no container has; their names, and how many bytes their files had.
    ///
    /// # Errors
    /// `Internal` if one can't be deleted; those before it are.
    pub fn prune(&self, chosen: &dyn Fn(&Volume) -> bool) -> Result<(Vec<String>, u64)> {
        let mut pruned = (Vec::new(), 0);
        for (volume, holders) in self.all() {
            if holders > 0 || !chosen(&volume) {
                continue;
            }
            let size = size(&volume.mountpoint);
            match self.remove(&volume.name, true) {
                Ok(true) => {
                    pruned.0.push(volume.name);
                    pruned.1 += size;
                }
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pruned)
    }

    /// How many bytes the files of a volume have.
    pub fn size(&self, volume: &Volume) -> u64 {
        size(&volume.mountpoint)
    }

    fn entry(&self, name: &str) -> Result<Entry> {
        self.state().get(name).cloned().ok_or_else(|| missing(name))
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(name: &str) -> Error {
    Error::not_found("no such volume").doing(format!("get {name}"))
}

fn make_data(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn read_all(folder: &Path) -> Result<BTreeMap<String, Entry>> {
    durable::make_folder(folder)?;
    let failed = |error: io::Error| Error::internal(error.to_string());
    let mut state = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            fs::remove_dir_all(&path).map_err(failed).doing(|| format!("sweeping {}", path.display()))?;
            continue;
        }
        match read_one(&path) {
            Ok(entry) => drop(state.insert(name, entry)),
            Err(error) => tracing::error!(volume = %name, %error, "a volume is damaged, and left out"),
        }
    }
    Ok(state)
}

fn read_one(path: &Path) -> Result<Entry> {
    let record = path.join(RECORD);
    let unreadable = |cause: String| Error::internal(format!("reading {}: {cause}", record.display()));
    let bytes = fs::read(&record).map_err(|error| unreadable(error.to_string()))?;
    let volume: Volume = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let source = Source::read(volume.options.as_ref().unwrap_or(&BTreeMap::new()))?;
    let volume = Volume { mountpoint: path.join(DATA), ..volume };
    Ok(Entry { volume, source, holders: BTreeSet::new(), users: BTreeSet::new() })
}

/// Files that go while they are counted have no size.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) if found.is_file() => found.size(),
        _ => 0,
    };
    entries.map(of).sum()
}
