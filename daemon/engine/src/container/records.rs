//! The records on disk: one folder a container, with one file that is there whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use trestle_core::id::ContainerId;
use trestle_core::{Doing, Error, Result, failpoint};

use super::record::{Record, SCHEMA};
use crate::durable;

/// The record's file in its container's folder.
const FILE: &str = "container.json";

/// The folder of all containers.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Those in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// `Internal`, with the path.
    pub fn open(folder: PathBuf) -> Result<Self> {
        durable::make_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Where a container keeps what survives a restart of the machine.
    pub fn folder(&self, id: ContainerId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Every record. A folder without a record was being made or removed when the daemon died, and goes.
    ///
    /// # Errors
    /// `Internal` for a folder that can't be read, and for a record that this version can't read, with its path.
    pub fn load(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|cause| failed("reading", &self.folder, &cause))? {
            let folder = entry.map_err(|cause| failed("reading", &self.folder, &cause))?.path();
            let path = folder.join(FILE);
            match fs::read(&path) {
                Ok(bytes) => records.push(read(&bytes).doing(|| format!("reading {}", path.display()))?),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => remove_folder(&folder)?,
                Err(cause) => return Err(failed("reading", &path, &cause)),
            }
        }
        Ok(records)
    }

    /// Writes a record, in the place of an earlier one.
    ///
    /// # Errors
    /// `Internal`, with the path; the earlier one stays.
    pub fn write(&self, record: &Record) -> Result<()> {
        let folder = self.folder(record.id);
        durable::make_folder(&folder)?;
        let bytes =
            serde_json::to_vec(record).map_err(|error| Error::internal(format!("writing a record: {error}")))?;
        durable::write(&folder.join(FILE), &bytes)?;
        failpoint!("engine.record-written");
        Ok(())
    }

    /// Removes a record, and whatever lies beside it.
    ///
    /// # Errors
    /// `Internal`, with the path.
    pub fn remove(&self, id: ContainerId) -> Result<()> {
        let folder = self.folder(id);
        durable::remove(&folder.join(FILE))?;
        failpoint!("engine.record-removed");
        remove_folder(&folder)
    }
}

fn read(bytes: &[u8]) -> Result<Record> {
    let record: Record = serde_json::from_slice(bytes).map_err(|error| Error::internal(error.to_string()))?;
    if record.schema != SCHEMA {
        let told = format!("it is of schema {}, and this version reads {SCHEMA}", record.schema);
        return Err(Error::unsupported(told));
    }
    Ok(record)
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed("removing", folder, &cause)),
        _ => Ok(()),
    }
}

fn failed(doing: &str, path: &Path, cause: &io::Error) -> Error {
    Error::internal(cause.to_string()).doing(format!("{doing} {}", path.display()))
}
