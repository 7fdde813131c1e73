//! All containers, and what each of them stands on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trestle_core::controller::Controller;
use trestle_core::entropy::Entropy;
use trestle_core::id::ContainerId;
use trestle_core::surroundings::Clock;
use trestle_core::{Error, Result};

use super::live::Container;
use super::record::Record;
use super::records::Records;
use crate::container::config::Ulimit;
use crate::event::{Events, Noun};
use crate::exec::Execs;
use crate::image::Images;
use crate::runtime::host::Host;
use crate::runtime::monitor::Monitor;
use crate::runtime::oci::Oci;

/// What containers are given.
pub struct Options {
    /// Where their records and layers lie.
    pub folder: PathBuf,
    /// What lives as long as the kernel's state.
    pub runtime_folder: PathBuf,
    /// What this host has for containers.
    pub host: Host,
    /// Their images.
    pub images: Images,
    /// Who makes their network namespaces.
    pub controller: Controller,
    /// Where what happens to them is told.
    pub events: Arc<Events>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where ids and names come from.
    pub entropy: Arc<dyn Entropy>,
    /// The control group that theirs lie in, unless they say otherwise.
    pub cgroup_parent: String,
    /// Limits for whoever says nothing else.
    pub default_ulimits: Vec<Ulimit>,
}

/// All containers. Cheap to clone; each clone is the same.
#[derive(Clone)]
pub struct Containers(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(super) records: Records,
    pub(super) oci: Oci,
    pub(crate) monitor: Monitor,
    execs: Execs,
    shelf: Mutex<BTreeMap<ContainerId, Arc<Container>>>,
    /// Held by who gives a name, so that no two find it free.
    pub(super) naming: tokio::sync::Mutex<()>,
}

impl Containers {
    /// Opens their folder. Nothing is done about what is there before [`adopt`](Self::adopt).
    ///
    /// # Errors
    /// `Internal` for what can't be read, `Invalid` for a folder whose path leaves no room for sockets.
    pub fn open(options: Options) -> Result<Self> {
        check_room(&options.runtime_folder)?;
        let records = Records::open(options.folder.clone())?;
        let loaded = records.load()?;
        let oci = Oci::new(options.host.runtime.path.clone(), options.runtime_folder.join("oci"));
        crate::durable::make_folder(oci.root())?;
        let monitor = Monitor::new(options.host.monitor.clone(), oci.clone());
        let shelf = loaded.into_iter().map(|record| (record.id, Arc::new(Container::new(record)))).collect();
        let (shelf, naming) = (Mutex::new(shelf), tokio::sync::Mutex::new(()));
        Ok(Self(Arc::new(Inner { options, records, oci, monitor, execs: Execs::default(), shelf, naming })))
    }

    /// Every container, the newest first.
    pub fn list(&self) -> Vec<Arc<Container>> {
        let mut all: Vec<(std::time::SystemTime, Arc<Container>)> =
            self.shelf().values().map(|it| (it.record().created, Arc::clone(it))).collect();
        all.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
        all.into_iter().map(|(_, container)| container).collect()
    }

    /// A container by its id, its name, or the beginning of its id.
    ///
    /// # Errors
    /// `NotFound`, and `Invalid` for the beginning of several ids, worded as Docker words them.
    pub fn find(&self, wanted: &str) -> Result<Arc<Container>> {
        let shelf = self.shelf();
        let missing = || Error::not_found(format!("No such container: {wanted}"));
        if let Some(container) = wanted.parse().ok().and_then(|id: ContainerId| shelf.get(&id)) {
            return Ok(Arc::clone(container));
        }
        let name = wanted.strip_prefix('/').unwrap_or(wanted);
        if let Some(container) = shelf.values().find(|it| it.record().name.as_str() == name) {
            return Ok(Arc::clone(container));
        }
        let mut begun = shelf.values().filter(|it| !wanted.is_empty() && it.id.to_string().starts_with(wanted));
        match (begun.next(), begun.next()) {
            (Some(container), None) => Ok(Arc::clone(container)),
            (Some(_), Some(_)) => Err(Error::invalid(format!("Multiple IDs found with provided prefix: {wanted}"))),
            (None, _) => Err(missing()),
        }
    }

    /// What this host has for containers.
    pub fn host(&self) -> &Host {
        &self.0.options.host
    }

    /// The processes that were started in them beside their own.
    pub fn execs(&self) -> &Execs {
        &self.0.execs
    }

    /// A file of ours that is mounted into a container.
    pub fn file(&self, id: ContainerId, name: &str) -> PathBuf {
        self.0.records.folder(id).join(name)
    }

    /// Where a container's log lies.
    pub fn log_path(&self, id: ContainerId) -> PathBuf {
        self.0.records.folder(id).join("log")
    }

    pub(super) fn shelf(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Arc<Container>>> {
        self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a container's files lie while it runs. Short, because the path of a socket has to be.
    pub(crate) fn bundle(&self, id: ContainerId) -> PathBuf {
        self.0.options.runtime_folder.join(id.short())
    }

    /// Changes a record: on the disk first. Only who has the container's turn does so.
    pub(super) async fn change(&self, container: &Container, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut record = Record::clone(&container.record());
        change(&mut record);
        let records = self.0.records.clone();
        let record = blocking(move || records.write(&record).map(|()| record)).await?;
        container.show(record);
        Ok(())
    }

    /// Tells everybody who listens what happened to a container.
    pub(crate) fn tell(&self, record: &Record, action: &str, more: &[(&str, String)]) {
        let mut attributes = vec![("name", record.name.to_string()), ("image", record.config.image.clone())];
        attributes.extend(record.config.labels.iter().map(|(key, value)| (key.as_str(), value.clone())));
        attributes.extend(more.iter().cloned());
        self.0.options.events.tell(Noun::Container, action, record.id.to_string(), attributes);
    }
}

/// Does what waits for the disk on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|broken| Error::internal(format!("work on the disk broke off: {broken}")))?
}

/// The path of a socket has 107 bytes at most (`sun_path`), and the longest is that of an exec.
fn check_room(folder: &Path) -> Result<()> {
    const LONGEST: usize = 107 - "/0123456789ab/exec-0123456789ab/attach".len();
    let length = folder.as_os_str().len();
    if length > LONGEST {
        return Err(Error::invalid(format!(
            "{} is {length} bytes long, and sockets in it can have {LONGEST} at most; choose a shorter --exec-root",
            folder.display()
        )));
    }
    Ok(())
}
