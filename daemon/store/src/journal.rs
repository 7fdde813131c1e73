//! The runtime file: a journal of commits, and in memory what they come to.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use trestle_core::error::{Error, Result};
use trestle_core::failpoint;
use trestle_core::store::Revision;

use crate::frame::{self, Frame};
use crate::record_file::Rows;

/// How every journal begins, whatever its format.
const MAGIC: &[u8] = b"trestle journal\n";

/// A smaller file is not worth being written anew.
const SMALL: u64 = 1 << 20;

/// A file is written anew when it is so many times as long as what it comes to: each byte is copied a third of a time
/// on average.
const SLACK: u64 = 4;

/// The durable part of a commit to both files.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) revision: Revision,
    pub(crate) rows: Rows,
}

/// A commit, as it is read.
#[derive(Deserialize)]
struct Entry {
    revision: Revision,
    pending: Option<Pending>,
    rows: BTreeMap<String, Option<Box<RawValue>>>,
}

/// The journal, open for this process alone.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    heading: Vec<u8>,
    /// Sealed records by place.
    rows: BTreeMap<String, String>,
    /// The bytes of all rows.
    live: u64,
    revision: Revision,
    /// Up to here the file stands. What is behind it is not accepted yet.
    length: u64,
    /// No file that is shorter is written anew.
    compact_from: u64,
    /// Whether the file could not be cut back to its length.
    overlong: bool,
}

/// The heading's payload, if a journal begins so.
pub(crate) fn heading(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.starts_with(MAGIC).then(|| frame::at(bytes, MAGIC.len()))? {
        Frame::Whole(payload) => Some(&bytes[payload]),
        Frame::End | Frame::Damaged => None,
    }
}

impl Journal {
    /// Begins a journal, in the place of one that may be there.
    pub(crate) fn begin(path: &Path, heading: &[u8]) -> Result<Self> {
        let write = || {
            let file = replace(path, heading)?;
            Ok(Self::new(path, file, heading.to_vec(), heading.len() as u64))
        };
        write().map_err(|cause: io::Error| Error::internal(format!("{}: {cause}", path.display())))
    }

    /// The journal that has these bytes, and the last durable part that it tells of. A last commit that was not
    /// written to its end is cut off.
    ///
    /// # Errors
    /// `Internal` if it is damaged.
    pub(crate) fn open(path: &Path, bytes: &[u8]) -> Result<(Self, Option<Pending>)> {
        let broken = |why: String| Error::internal(format!("{}: {why}", path.display()));
        let Frame::Whole(about) = frame::at(bytes, MAGIC.len()) else {
            return Err(broken("its heading is damaged".into()));
        };
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|cause| broken(cause.to_string()))?;
        let mut journal = Self::new(path, file, bytes[..about.end].to_vec(), about.end as u64);
        let mut pending = None;
        let mut end = about.end;
        loop {
            match frame::at(bytes, end) {
                Frame::End => break,
                Frame::Damaged => return Err(broken(format!("it is damaged at byte {end} of {}", bytes.len()))),
                Frame::Whole(payload) => {
                    let entry: Entry = serde_json::from_slice(&bytes[payload.clone()])
                        .map_err(|cause| broken(format!("the commit at byte {end} can't be read: {cause}")))?;
                    end = payload.end;
                    let text = |row: Box<RawValue>| Box::<str>::from(row).into_string();
                    let rows = entry.rows.into_iter().map(|(place, row)| (place, row.map(text))).collect();
                    journal.accept(rows, entry.revision, end as u64);
                    pending = entry.pending.or(pending);
                }
            }
        }
        if end < bytes.len() {
            tracing::info!(file = %path.display(), bytes = bytes.len() - end, "a commit was cut short and is not made");
            journal.cut()?;
        }
        Ok((journal, pending))
    }

    fn new(path: &Path, file: File, heading: Vec<u8>, length: u64) -> Self {
        Self {
            path: path.to_owned(),
            file,
            heading,
            rows: BTreeMap::new(),
            live: 0,
            revision: Revision(0),
            length,
            compact_from: SMALL,
            overlong: false,
        }
    }

    /// Every sealed record by place.
    pub(crate) fn rows(&self) -> &BTreeMap<String, String> {
        &self.rows
    }

    /// The last revision that was accepted.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether it can be relied on: nothing stands in the file that was not accepted.
    pub(crate) fn is_sound(&self) -> bool {
        !self.overlong
    }

    /// Writes all or nothing.
    pub(crate) fn write(&mut self, rows: Rows, revision: Revision) -> Result<()> {
        let end = self.append(&rows, revision, None)?;
        failpoint!("store.journal-written");
        self.accept(rows, revision, end);
        Ok(())
    }

    /// Writes a commit behind the others, and answers where it ends. Unless it is [accepted](Self::accept) then, it
    /// is to be [cut off](Self::cut).
    pub(crate) fn append(&mut self, rows: &Rows, revision: Revision, pending: Option<&str>) -> Result<u64> {
        self.compact_if_long();
        let mut bytes = Vec::with_capacity(rows.iter().map(|(place, row)| weight(place, row.as_deref())).sum());
        frame::push(&mut bytes, |payload| {
            let rows = rows.iter().map(|(place, row)| (place.as_str(), row.as_deref()));
            entry(payload, revision, pending, rows);
        });
        if let Err(cause) = self.file.write_all_at(&bytes, self.length) {
            self.cut()?;
            return Err(self.failed(&cause));
        }
        Ok(self.length + bytes.len() as u64)
    }

    /// Lets the commit stand that ends there.
    pub(crate) fn accept(&mut self, rows: Rows, revision: Revision, end: u64) {
        for (place, row) in rows {
            self.live += weight(&place, row.as_deref()) as u64;
            let before = match row {
                Some(row) => self.rows.insert(place.clone(), row),
                None => self.rows.remove(&place),
            };
            self.live -= weight(&place, before.as_deref()) as u64;
        }
        self.revision = self.revision.max(revision);
        self.length = end;
    }

    /// Cuts off what was not accepted.
    pub(crate) fn cut(&mut self) -> Result<()> {
        let cut = self.file.set_len(self.length);
        self.overlong = cut.is_err();
        cut.map_err(|cause| self.failed(&cause))
    }

    /// Writes the file anew if that makes it much shorter. If that fails, it stays as it is until it is twice as long.
    ///
    /// Called before a commit is written, when the durable part of the last one is no longer pending.
    fn compact_if_long(&mut self) {
        if self.length < self.compact_from || self.length < SLACK * self.live {
            return;
        }
        let mut bytes = self.heading.clone();
        frame::push(&mut bytes, |payload| {
            let rows = self.rows.iter().map(|(place, row)| (place.as_str(), Some(row.as_str())));
            entry(payload, self.revision, None, rows);
        });
        match replace(&self.path, &bytes) {
            Ok(file) => {
                self.file = file;
                self.length = bytes.len() as u64;
                self.compact_from = SMALL;
            }
            Err(cause) => {
                self.compact_from = 2 * self.length;
                tracing::warn!(file = %self.path.display(), %cause, "the journal could not be written anew, and grows");
            }
        }
    }

    fn failed(&self, cause: &io::Error) -> Error {
        Error::internal(format!("{}: {cause}", self.path.display()))
    }
}

/// How a journal that has this to say of itself begins.
pub(crate) fn begin_with(heading: &str) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    frame::push(&mut bytes, |payload| payload.extend(heading.as_bytes()));
    bytes
}

/// Makes a file of these bytes, whole under its name or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let unfinished = path.with_extension("journal.new");
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let written = file.write_all_at(bytes, 0).and_then(|()| fs::rename(&unfinished, path));
    if let Err(cause) = written {
        // It would hold the room that a full disk lacks.
        file.set_len(0)?;
        return Err(cause);
    }
    Ok(file)
}

/// Rows are JSON already, and places need no escapes.
fn entry<'a>(
    payload: &mut Vec<u8>,
    revision: Revision,
    pending: Option<&str>,
    rows: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) {
    payload.extend(format!(r#"{{"revision":{},"pending":{},"rows":{{"#, revision.0, pending.unwrap_or("null")).bytes());
    for (number, (place, row)) in rows.enumerate() {
        let comma = if number == 0 { "" } else { "," };
        for part in [comma, "\"", place, "\":", row.unwrap_or("null")] {
            payload.extend(part.as_bytes());
        }
    }
    payload.extend(b"}}");
}

/// The bytes that a row takes in the file, about; none if nothing stands there.
fn weight(place: &str, row: Option<&str>) -> usize {
    row.map_or(0, |row| place.len() + row.len() + 4)
}
