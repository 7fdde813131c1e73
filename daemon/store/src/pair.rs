//! Two files as one, whatever is killed when.
//!
//! A commit that changes one file is one transaction of that file, or one frame of the journal. One that changes both is made in this order:
//! 1. the runtime file: its own part, and beside it, as *pending*, the durable part with its revision. From here on
//!    the commit stands;
//! 2. the durable file: its part, and the revision.
//!
//! A `kill -9` before 1 leaves nothing of it; after 1 it leaves a pending part whose revision the durable file has not
//! reached, and the next start writes it. A pending part that was written long ago is known by the same comparison
//! and left alone. If the machine dies between 1 and 2, the runtime
//! file is of another boot and its pending part goes with it: nothing is left of the commit, which nobody was told
//! stood. If 2 fails, 1 is cut off
//! again; if it can't be known whether 2 failed, nothing more is written until a start
//! has settled it.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use trestle_core::error::{Doing, Error, ErrorKind, Result};
use trestle_core::failpoint;
use trestle_core::store::{Revision, SCHEMA};

use crate::envelope;
use crate::folder::Folder;
use crate::journal::{Journal, Pending};
use crate::options::Options;
use crate::record_file::{RecordFile, Rows};
use crate::runtime_file::{self, Owner, RuntimeFile};

const SCHEMA_PLACE: &str = "about/schema";
const INSTANCE: &str = "about/instance";

const DURABLE: &str = "trestle.redb";
const RUNTIME: &str = "trestle.journal";

/// The two files.
#[derive(Debug)]
pub(crate) struct Pair {
    durable: RecordFile,
    runtime: Journal,
    /// Why nothing more is written, after an error that left the outcome open.
    unsettled: Option<String>,
    /// Happens between the two steps of a commit to both files.
    #[cfg(test)]
    pub(crate) between: Option<fn() -> Result<()>>,
    /// The files are ours as long as these are.
    _folders: [Folder; 2],
}

/// What was found when the files were opened.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) instance: u32,
    pub(crate) runtime: RuntimeFile,
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
        let data = Folder::take(data_root, DURABLE)?;
        let exec = Folder::take(exec_root, RUNTIME)?;
        let (durable, instance) = open_durable(&data).map_err(explain_durable)?;
        let owner = Owner { stamp: stamp.clone(), instance };
        let (runtime, pending, found) = runtime_file::open(&exec.file(), &owner)?;
        let mut pair = Self {
            durable,
            runtime,
            unsettled: None,
            #[cfg(test)]
            between: None,
            _folders: [data, exec],
        };
        pair.settle(pending)?;
        Ok((pair, Found { instance, runtime: found }))
    }

    /// The last revision that either file has seen.
    pub(crate) fn revision(&self) -> Result<Revision> {
        Ok(self.durable.revision()?.max(self.runtime.revision()))
    }

    /// Every sealed record of the durable file, by place.
    pub(crate) fn durable(&self) -> Result<Vec<(String, String)>> {
        self.durable.records()
    }

    /// Every sealed record of the runtime file, by place.
    pub(crate) fn runtime(&self) -> &BTreeMap<String, String> {
        self.runtime.rows()
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
            (false, true) => self.durable.write(durable, revision),
            (true, false) => self.runtime.write(runtime, revision),
            (false, false) => self.write_both(durable, runtime, revision),
        }
        .inspect_err(|cause| {
            if !self.durable.is_open() || !self.runtime.is_sound() {
                self.unsettled = Some(cause.to_string());
            }
        })
    }

    fn write_both(&mut self, durable: Rows, runtime: Rows, revision: Revision) -> Result<()> {
        let pending = Pending { revision, rows: durable };
        let end = self.runtime.append(&runtime, revision, Some(&envelope::json(&pending)?))?;
        failpoint!("store.pending-written");
        let Err(cause) = self.write_pending(pending) else {
            self.runtime.accept(runtime, revision, end);
            return Ok(());
        };
        if self.durable.is_open() {
            self.runtime.cut()?;
        }
        Err(cause)
    }

    fn write_pending(&mut self, pending: Pending) -> Result<()> {
        #[cfg(test)]
        if let Some(between) = self.between {
            between()?;
        }
        self.durable.write(pending.rows, pending.revision)
    }

    /// Finishes a commit that a death of this process cut in two.
    fn settle(&mut self, pending: Option<Pending>) -> Result<()> {
        match pending {
            Some(pending) if pending.revision > self.durable.revision()? => self.write_pending(pending),
            _ => Ok(()),
        }
    }
}

fn open_durable(folder: &Folder) -> Result<(RecordFile, u32)> {
    let path = folder.file();
    if !path.exists() {
        begin_durable(folder, &path)?;
    }
    let file = RecordFile::open(&path)?;
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
    let mut file = RecordFile::open(&unfinished)?;
    file.write(about, Revision(0))?;
    drop(file);
    fs::rename(&unfinished, path).map_err(failed)?;
    failpoint!("store.file-begun");
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
