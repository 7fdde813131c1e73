//! Two files as one, whatever is killed when.
//!
//! A commit that changes one file is one transaction of that file. One that changes both is made in this order:
//! 1. the runtime file: its own part, and beside it, as *pending*, the durable part with its revision. From here on
//!    the commit stands;
//! 2. the durable file: its part, and the revision.
//!
//! A `kill -9` before 1 leaves nothing of it; after 1 it leaves a pending part whose revision the durable file has not
//! reached, and the next start writes it. A pending part that was written long ago is known by the same comparison
//! and left alone; the next commit to both files takes its place. If the machine dies between 1 and 2, the runtime
//! file is of another boot and its pending part goes with it: nothing is left of the commit, which nobody was told
//! stood. If 2 fails, 1 is taken back; if it can't be known whether 2 failed, nothing more is written until a start
//! has settled it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use trestle_core::error::{Doing, Error, ErrorKind, Result};
use trestle_core::store::{Revision, SCHEMA};

use crate::envelope;
use crate::folder::Folder;
use crate::options::{Options, Stamp};
use crate::record_file::{Lifetime, RecordFile, Rows};

const SCHEMA_PLACE: &str = "about/schema";
const INSTANCE: &str = "about/instance";
const STAMP: &str = "about/stamp";
const PENDING: &str = "about/pending";

/// The two files.
#[derive(Debug)]
pub(crate) struct Pair {
    durable: RecordFile,
    runtime: RecordFile,
    /// Why nothing more is written, after an error that left the outcome open.
    unsettled: Option<String>,
    /// Happens between the two steps of a commit to both files.
    #[cfg(test)]
    pub(crate) between: Option<fn() -> Result<()>>,
    /// The files are ours as long as these are.
    _folders: [Folder; 2],
}

/// What became of the runtime file when the store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeFile {
    /// There was none.
    New,
    /// It is of this boot, this namespace and this installation.
    Kept,
    /// It was not, and was emptied.
    Outlived,
    /// It was damaged, is there now for whoever wants to look at it, and a new one was begun.
    SetAside(PathBuf),
}

/// What was found when the files were opened.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) instance: u32,
    pub(crate) runtime: RuntimeFile,
}

/// The durable part of a commit to both files.
#[derive(Debug, Serialize, Deserialize)]
struct Pending {
    revision: Revision,
    rows: Rows,
}

/// Whose attachments a runtime file holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    #[serde(flatten)]
    stamp: Stamp,
    instance: u32,
}

impl Pair {
    /// Opens both files, or begins them.
    pub(crate) fn open(options: &Options) -> Result<(Self, Found)> {
        let Options { data_root, exec_root, stamp } = options;
        if data_root == exec_root {
            return Err(Error::invalid(format!(
                "{} can't be both the data root and the exec root",
                data_root.display()
            )));
        }
        let data = Folder::take(data_root)?;
        let exec = Folder::take(exec_root)?;
        let (durable, instance) = open_durable(&data).map_err(explain_durable)?;
        let owner = Owner { stamp: stamp.clone(), instance };
        let (runtime, found) = open_runtime(&exec.file(), &owner)?;
        let mut pair = Self {
            durable,
            runtime,
            unsettled: None,
            #[cfg(test)]
            between: None,
            _folders: [data, exec],
        };
        pair.settle_pending()?;
        Ok((pair, Found { instance, runtime: found }))
    }

    /// The last revision that either file has seen.
    pub(crate) fn revision(&self) -> Result<Revision> {
        Ok(self.durable.revision()?.max(self.runtime.revision()?))
    }

    /// Every sealed record of the durable file, by place.
    pub(crate) fn durable(&self) -> Result<Vec<(String, String)>> {
        self.durable.records()
    }

    /// Every sealed record of the runtime file, by place.
    pub(crate) fn runtime(&self) -> Result<Vec<(String, String)>> {
        self.runtime.records()
    }

    /// Writes all or nothing.
    pub(crate) fn write(&mut self, durable: Rows, runtime: Rows, revision: Revision) -> Result<()> {
        if let Some(why) = &self.unsettled {
            return Err(Error::unavailable(format!(
                "nothing can be stored since an error ({why}); restart the daemon"
            )));
        }
        match (durable.is_empty(), runtime.is_empty()) {
            (true, true) => Ok(()),
            (false, true) => self.durable.write(durable, revision).map(drop),
            (true, false) => self.runtime.write(runtime, revision).map(drop),
            (false, false) => self.write_both(durable, runtime, revision),
        }
        .inspect_err(|cause| {
            if !self.durable.is_open() || !self.runtime.is_open() {
                self.unsettled = Some(cause.to_string());
            }
        })
    }

    fn write_both(&mut self, durable: Rows, mut runtime: Rows, revision: Revision) -> Result<()> {
        let pending = Pending { revision, rows: durable };
        runtime.insert(PENDING.into(), Some(envelope::json(&pending)?));
        let before = self.runtime.write(runtime, revision)?;
        let Err(cause) = self.write_pending(pending) else {
            return Ok(());
        };
        if self.durable.is_open() {
            let taken_back = self.runtime.write(before, revision);
            taken_back.inspect_err(|cause| self.unsettled = Some(cause.to_string()))?;
        }
        Err(cause)
    }

    fn write_pending(&mut self, pending: Pending) -> Result<()> {
        #[cfg(test)]
        if let Some(between) = self.between {
            between()?;
        }
        self.durable.write(pending.rows, pending.revision).map(drop)
    }

    /// Finishes a commit that a death of this process cut in two.
    fn settle_pending(&mut self) -> Result<()> {
        let Some(text) = self.runtime.row(PENDING)? else {
            return Ok(());
        };
        let pending: Pending = serde_json::from_str(&text).map_err(|cause| {
            Error::internal(format!("{}: the pending part can't be read: {cause}", self.runtime.path().display()))
        })?;
        if pending.revision > self.durable.revision()? {
            self.write_pending(pending)?;
        }
        Ok(())
    }
}

fn open_durable(folder: &Folder) -> Result<(RecordFile, u32)> {
    let path = folder.file();
    if !path.exists() {
        begin_durable(folder, &path)?;
    }
    let file = RecordFile::open(&path, Lifetime::Durable)?;
    check(&file)?;
    let instance = file.row(INSTANCE)?.and_then(|text| text.parse().ok());
    let instance =
        instance.ok_or_else(|| Error::internal(format!("{}: the installation's number is missing", path.display())))?;
    Ok((file, instance))
}

/// Makes the durable file under another name first, so that under its own it is always whole.
fn begin_durable(folder: &Folder, path: &Path) -> Result<()> {
    let failed = |cause: io::Error| Error::internal(format!("{}: {cause}", path.display()));
    let unfinished = path.with_extension("redb.new");
    if unfinished.exists() {
        fs::remove_file(&unfinished).map_err(failed)?;
    }
    let mut number = [0; 4];
    rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty())
        .map_err(|cause| Error::internal(format!("drawing the installation's number: {cause}")))?;
    let instance = u32::from_ne_bytes(number);
    let about =
        Rows::from([(SCHEMA_PLACE.into(), Some(SCHEMA.to_string())), (INSTANCE.into(), Some(instance.to_string()))]);
    let mut file = RecordFile::open(&unfinished, Lifetime::Durable)?;
    file.write(about, Revision(0))?;
    drop(file);
    fs::rename(&unfinished, path).map_err(failed)?;
    folder.sync().map_err(failed)
}

fn explain_durable(cause: Error) -> Error {
    match cause.kind() {
        ErrorKind::Internal => Error::internal(format!(
            "{cause}; nothing was changed. Put the file back from a backup, or move it away to begin without the \
             networks and endpoints that it held"
        )),
        _ => cause,
    }
}

fn open_runtime(path: &Path, owner: &Owner) -> Result<(RecordFile, RuntimeFile)> {
    let cause = match open_whole_runtime(path, owner) {
        Err(cause) if cause.kind() == ErrorKind::Internal && path.exists() => cause,
        opened => return opened,
    };
    let aside = path.with_extension("redb.broken");
    fs::rename(path, &aside)
        .map_err(|error| Error::internal(format!("{cause}; and it can't be moved to {}: {error}", aside.display())))?;
    tracing::error!(%cause, "the runtime file is damaged; it was moved to {}", aside.display());
    let (file, _) = open_whole_runtime(path, owner)?;
    Ok((file, RuntimeFile::SetAside(aside)))
}

fn open_whole_runtime(path: &Path, owner: &Owner) -> Result<(RecordFile, RuntimeFile)> {
    let mut file = RecordFile::open(path, Lifetime::Runtime)?;
    let found = match file.row(STAMP)? {
        None => RuntimeFile::New,
        Some(text) if serde_json::from_str::<Owner>(&text).is_ok_and(|stamped| stamped == *owner) => RuntimeFile::Kept,
        Some(_) => RuntimeFile::Outlived,
    };
    if found == RuntimeFile::Kept {
        check(&file)?;
    } else {
        let stamp = envelope::json(owner)?;
        let about = Rows::from([(SCHEMA_PLACE.into(), Some(SCHEMA.to_string())), (STAMP.into(), Some(stamp))]);
        file.begin_anew(about)?;
    }
    Ok((file, found))
}

/// Sees to it that every record can be read.
fn check(file: &RecordFile) -> Result<()> {
    let path = file.path().display();
    let schema = file.row(SCHEMA_PLACE)?.and_then(|text| text.parse().ok());
    let schema = schema.ok_or_else(|| Error::internal(format!("{path}: it does not say which schema it has")))?;
    envelope::check_schema(schema).doing(|| path.to_string())?;
    for (place, sealed) in file.records()? {
        envelope::open(&place, &sealed).doing(|| path.to_string())?;
    }
    Ok(())
}
