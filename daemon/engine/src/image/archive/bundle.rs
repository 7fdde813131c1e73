//! An archive of images, laid aside on the disk so that its parts can be read in any order.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use trestle_core::error::{Error, Result};

use crate::image::layer::decompressed;
use crate::tree::{Header, InnerPath, Kind};

/// The longest text in an archive, in bytes: configurations and manifests. They are read into memory.
const LONGEST_TEXT: u64 = 16 << 20;

/// How many links lead to a file at most.
const MOST_LINKS: usize = 8;

/// The parts of an archive. No path in it becomes one on the disk: files are numbered.
#[derive(Debug)]
pub(super) struct Bundle {
    folder: TempDir,
    members: HashMap<PathBuf, Member>,
}

#[derive(Debug)]
enum Member {
    File { number: usize, length: u64 },
    Link(PathBuf),
}

impl Bundle {
    /// Lays an archive aside, below a folder; it goes with this value.
    ///
    /// # Errors
    /// `Invalid` for what is no archive.
    pub(super) fn read(archive: &mut dyn Read, unfinished: &Path) -> Result<Self> {
        let broken = |error: io::Error| Error::invalid(format!("reading an archive of images: {error}"));
        let failed = |error: io::Error| Error::internal(format!("laying an archive of images aside: {error}"));
        let folder = tempfile::tempdir_in(unfinished).map_err(failed)?;
        let mut members = HashMap::new();
        let mut archive = tar::Archive::new(decompressed(archive)?);
        for (number, entry) in archive.entries().map_err(broken)?.enumerate() {
            let mut entry = entry.map_err(broken)?;
            let header = Header::read(&mut entry)?;
            let member = match &header.kind {
                Kind::File { .. } => {
                    let mut file = File::create_new(folder.path().join(number.to_string())).map_err(failed)?;
                    Member::File { number, length: io::copy(&mut entry, &mut file).map_err(broken)? }
                }
                Kind::Symlink(text) => match resolve(&header.path, text) {
                    Some(target) => Member::Link(target),
                    None => continue,
                },
                Kind::Hardlink(target) => Member::Link(target.as_path().to_owned()),
                _ => continue,
            };
            members.insert(header.path.as_path().to_owned(), member);
        }
        Ok(Self { folder, members })
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.find(Path::new(path)).is_some()
    }

    /// A file, and its length in bytes.
    ///
    /// # Errors
    /// `Invalid` if the archive lacks it.
    pub(super) fn open(&self, path: &str) -> Result<(File, u64)> {
        let told = InnerPath::parse(path.as_bytes())?;
        let missing = || Error::invalid(format!("the archive lacks {path}, which it speaks of"));
        let (number, length) = self.find(told.as_path()).ok_or_else(missing)?;
        let file = File::open(self.folder.path().join(number.to_string()));
        Ok((file.map_err(|error| Error::internal(format!("reading {path} of the archive: {error}")))?, length))
    }

    /// All of a file that is text.
    ///
    /// # Errors
    /// As [`open`](Self::open), and `Invalid` for one that is too long to be text.
    pub(super) fn text(&self, path: &str) -> Result<Vec<u8>> {
        let (mut file, length) = self.open(path)?;
        if length > LONGEST_TEXT {
            return Err(Error::invalid(format!("{path} of the archive is too long: {length} bytes")));
        }
        let mut text = Vec::new();
        let read = file.read_to_end(&mut text);
        read.map_err(|error| Error::internal(format!("reading {path} of the archive: {error}")))?;
        Ok(text)
    }

    fn find(&self, path: &Path) -> Option<(usize, u64)> {
        let mut path = path;
        for _ in 0..MOST_LINKS {
            match self.members.get(path)? {
                Member::File { number, length } => return Some((*number, *length)),
                Member::Link(target) => path = target,
            }
        }
        None
    }
}

/// Where a link leads within the archive.
fn resolve(link: &InnerPath, text: &OsString) -> Option<PathBuf> {
    let target = link.as_path().parent()?.join(text);
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(target.as_os_str());
    InnerPath::parse(bytes).ok().map(|target| target.as_path().to_owned())
}
