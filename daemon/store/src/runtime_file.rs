//! Whose the runtime file is, and what becomes of it at the start.
//!
//! The journal's heading says for which kernel state it was begun, and so does a small file beside it, the stamp,
//! which is written once, after the journal: so a stamp that is ours says that there was a journal of ours. If that
//! can't be read now, what is attached is not known but lives on, and beginning anew would end it. Nobody but the
//! machine's owner can want that.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use trestle_core::error::{Doing, Error, ErrorKind, Result};
use trestle_core::failpoint;
use trestle_core::store::SCHEMA;

use crate::envelope;
use crate::journal::{self, Journal, Pending};
use crate::options::Stamp;

/// The version of the journal's own form.
const FORMAT: u32 = 1;

/// What became of the runtime file when the store was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeFile {
    /// There was none.
    New,
    /// It is of this boot, this namespace and this installation.
    Kept,
    /// It was not, and was begun anew.
    Outlived,
}

/// Whose attachments a runtime file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    #[serde(flatten)]
    pub(crate) stamp: Stamp,
    pub(crate) instance: u32,
}

/// What a journal says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Heading {
    format: u32,
    schema: u32,
    owner: Owner,
}

/// Whose a file is, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// There is no such file.
    Nobodys,
    Ours,
    /// Of another boot, namespace or installation.
    Anothers,
    /// It does not say.
    Unknown,
}

/// Opens the runtime file, or begins it, and tells which durable part may not be written yet.
///
/// # Errors
/// `Internal` if there was one of ours that can't be read, `Unsupported` if a newer version wrote it.
pub(crate) fn open(path: &Path, owner: &Owner) -> Result<(Journal, Option<Pending>, RuntimeFile)> {
    let stamp = path.with_extension("stamp");
    let bytes = read(path)?;
    let heading = bytes.as_deref().and_then(journal::heading);
    let heading = heading.and_then(|payload| serde_json::from_slice::<Heading>(payload).ok());
    let journals = whose(bytes.is_some(), heading.as_ref().map(|heading| &heading.owner), owner);
    let stamped = read(&stamp)?;
    let stamped_for = stamped.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
    let stamps = whose(stamped.is_some(), stamped_for.as_ref(), owner);

    match (journals, stamps, bytes, heading) {
        (Whose::Ours, _, Some(bytes), Some(heading)) => {
            let (journal, pending) = open_ours(path, &bytes, &heading).map_err(|cause| match cause.kind() {
                ErrorKind::Internal => refusal(&cause.to_string(), path, &stamp),
                _ => cause,
            })?;
            if stamps != Whose::Ours {
                write_stamp(&stamp, owner)?;
            }
            Ok((journal, pending, RuntimeFile::Kept))
        }
        (Whose::Nobodys, Whose::Nobodys, ..) => Ok((begin(path, &stamp, owner)?, None, RuntimeFile::New)),
        (Whose::Anothers, Whose::Nobodys | Whose::Anothers | Whose::Unknown, ..)
        | (Whose::Nobodys | Whose::Unknown, Whose::Anothers, ..) => {
            Ok((begin(path, &stamp, owner)?, None, RuntimeFile::Outlived))
        }
        (journals, _, bytes, _) => {
            let found = match (journals, bytes) {
                (Whose::Nobodys, _) | (_, None) => "is missing".into(),
                (Whose::Anothers, _) => "was replaced by one of another boot, network namespace or installation".into(),
                (_, Some(bytes)) if bytes.is_empty() => "is empty".into(),
                (_, Some(bytes)) => format!("can't be read: the first of its {} bytes are no heading", bytes.len()),
            };
            Err(refusal(&format!("{} {found}", path.display()), path, &stamp))
        }
    }
}

fn whose(there: bool, says: Option<&Owner>, owner: &Owner) -> Whose {
    match says {
        None if there => Whose::Unknown,
        None => Whose::Nobodys,
        Some(says) if says == owner => Whose::Ours,
        Some(_) => Whose::Anothers,
    }
}

fn open_ours(path: &Path, bytes: &[u8], heading: &Heading) -> Result<(Journal, Option<Pending>)> {
    let file = || path.display().to_string();
    if heading.format > FORMAT {
        return Err(Error::unsupported(format!(
            "{}: it was written by a newer Trestle (journal format {}, this one knows up to {FORMAT}); \
             start that version again, or one after it",
            file(),
            heading.format
        )));
    }
    envelope::check_schema(heading.schema).doing(file)?;
    let (journal, pending) = Journal::open(path, bytes)?;
    for (place, sealed) in journal.rows() {
        envelope::open(place, sealed).doing(file)?;
    }
    Ok((journal, pending))
}

fn begin(path: &Path, stamp: &Path, owner: &Owner) -> Result<Journal> {
    let heading = Heading { format: FORMAT, schema: SCHEMA, owner: owner.clone() };
    let journal = Journal::begin(path, &journal::begin_with(&envelope::json(&heading)?))?;
    failpoint!("store.journal-begun");
    write_stamp(stamp, owner)?;
    failpoint!("store.stamp-written");
    Ok(journal)
}

/// Syncs it, so that after the machine's death it still tells that what is in an exec root on a disk is outlived.
fn write_stamp(stamp: &Path, owner: &Owner) -> Result<()> {
    let text = envelope::json(owner)?;
    let unfinished = stamp.with_extension("stamp.new");
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&unfinished, stamp)
    };
    write().map_err(|cause| Error::internal(format!("{}: {cause}", stamp.display())))
}

fn refusal(found: &str, path: &Path, stamp: &Path) -> Error {
    Error::internal(format!(
        "{found}, but the containers that it attached may be running; nothing was changed. Put the file back, or move \
         {} and {} away to begin without the attachments: their sandboxes will be removed",
        path.display(),
        stamp.display()
    ))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::internal(format!("{}: {cause}", path.display()))),
    }
}
