//! The durable file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, TableError,
};
use trestle_core::error::{Error, Result};
use trestle_core::failpoint;
use trestle_core::store::Revision;

/// Sealed records by place, and among them what is to be known of the file itself. One table for both, because each
/// table that a commit touches costs it pages.
const ROWS: TableDefinition<'_, &'static str, &'static str> = TableDefinition::new("rows");

/// Where that stands which is no record.
const ABOUT: &str = "about/";

/// The last revision that was written.
const REVISION: &str = "about/revision";

/// Enough for the records of a busy host; the rest is read from the kernel's cache.
const CACHE: usize = 16 << 20;

/// What shall stand where; `None` is nothing.
pub(crate) type Rows = BTreeMap<String, Option<String>>;

/// A file of records that outlive the machine, open for this process alone.
#[derive(Debug)]
pub(crate) struct RecordFile {
    path: PathBuf,
    /// `None` after an error, until it could be opened again.
    database: Option<Database>,
}

impl RecordFile {
    /// Opens the file, and begins it if it is not there. Every page is checked, so that no later read finds damage.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let database = open_database(path)?;
        Ok(Self { path: path.to_owned(), database: Some(database) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can be relied on: its last write succeeded, or surely changed nothing.
    pub(crate) fn is_open(&self) -> bool {
        self.database.is_some()
    }

    /// Every sealed record by place.
    pub(crate) fn records(&self) -> Result<Vec<(String, String)>> {
        Ok(self.rows()?.into_iter().filter(|(place, _)| !place.starts_with(ABOUT)).collect())
    }

    /// What stands at that place.
    pub(crate) fn row(&self, place: &str) -> Result<Option<String>> {
        let Some(table) = self.table()? else {
            return Ok(None);
        };
        let row = table.get(place).map_err(|cause| self.failed(cause))?;
        Ok(row.map(|value| value.value().to_owned()))
    }

    /// The last revision that was written.
    pub(crate) fn revision(&self) -> Result<Revision> {
        match self.row(REVISION)? {
            None => Ok(Revision(0)),
            Some(text) => text.parse().map(Revision).map_err(|_| self.broken(format!("{text:?} is no revision"))),
        }
    }

    /// Writes all or nothing.
    ///
    /// After an error nothing has changed, if the file is still [open](Self::is_open); else only opening it again can
    /// tell.
    pub(crate) fn write(&mut self, mut rows: Rows, revision: Revision) -> Result<()> {
        rows.insert(REVISION.into(), Some(revision.0.to_string()));
        let Err(cause) = self.transact(&rows) else {
            return Ok(());
        };
        // redb refuses all further work after a failure. What the file says now is what came of it.
        self.database = None;
        self.database = Some(open_database(&self.path)?);
        if self.revision()? == revision {
            tracing::warn!(file = %self.path.display(), %cause, "a commit was told to have failed, and stands");
            return Ok(());
        }
        Err(cause)
    }

    fn transact(&self, rows: &Rows) -> Result<()> {
        let transaction = self.database()?.begin_write().map_err(|cause| self.failed(cause))?;
        {
            let mut table = transaction.open_table(ROWS).map_err(|cause| self.failed(cause))?;
            for (place, value) in rows {
                let before = match value {
                    Some(value) => table.insert(place.as_str(), value.as_str()),
                    None => table.remove(place.as_str()),
                };
                before.map_err(|cause| self.failed(cause))?;
            }
        }
        transaction.commit().map_err(|cause| self.failed(cause))?;
        failpoint!("store.file-written");
        Ok(())
    }

    fn rows(&self) -> Result<Vec<(String, String)>> {
        let Some(table) = self.table()? else {
            return Ok(Vec::new());
        };
        let rows = table.iter().map_err(|cause| self.failed(cause))?;
        rows.map(|row| row.map(|(place, value)| (place.value().to_owned(), value.value().to_owned())))
            .collect::<Result<_, _>>()
            .map_err(|cause| self.failed(cause))
    }

    /// The rows as they stand now; `None` before the first was written.
    fn table(&self) -> Result<Option<ReadOnlyTable<&'static str, &'static str>>> {
        let transaction = self.database()?.begin_read().map_err(|cause| self.failed(cause))?;
        match transaction.open_table(ROWS) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    fn database(&self) -> Result<&Database> {
        self.database.as_ref().ok_or_else(|| self.broken("it could not be opened again after an error"))
    }

    fn failed(&self, cause: impl Into<redb::Error>) -> Error {
        self.broken(cause.into())
    }

    fn broken(&self, cause: impl std::fmt::Display) -> Error {
        Error::internal(format!("{}: {cause}", self.path.display()))
    }
}

fn open_database(path: &Path) -> Result<Database> {
    let unusable = |cause: &dyn std::fmt::Display| Error::internal(format!("{}: {cause}", path.display()));
    let file = open_file(path).map_err(|cause| unusable(&cause))?;
    // Damage that redb does not expect makes it panic.
    match catch_unwind(AssertUnwindSafe(|| check_and_open(file))) {
        Ok(opened) => opened.map_err(|cause| unusable(&cause)),
        Err(_) => Err(unusable(&"it is damaged")),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn check_and_open(file: File) -> Result<Database, DatabaseError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder.create_with_backend(FileBackend::new(file)?)
}
