//! Files that are there whole or not at all, whatever ends the process or the machine in between.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use tempfile::NamedTempFile;
use trestle_core::error::{Error, Result};

/// Makes a folder for this program alone, and those above it. It may be there already.
///
/// # Errors
/// `Internal`, with the path.
pub fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|cause| failed("making the folder", path, &cause))
}

/// Writes a file, in the place of one that is there. Who reads it sees the old or the new, after a power cut too.
///
/// # Errors
/// `Internal`, with the path; the old file is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let folder = parent(path)?;
        let mut file = NamedTempFile::with_prefix_in(".new-", folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync_folder(folder)
    };
    write().map_err(|cause| failed("writing", path, &cause))
}

/// Removes a file for good. It may be gone already.
///
/// # Errors
/// `Internal`, with the path.
pub fn remove(path: &Path) -> Result<()> {
    let remove = || match fs::remove_file(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_folder(parent(path)?)),
    };
    remove().map_err(|cause| failed("removing", path, &cause))
}

/// Gives a folder its final name once all that is in it is on the disk.
///
/// # Errors
/// As `rename(2)`: `AlreadyExists` or `DirectoryNotEmpty` if there is one of that name.
pub fn publish_folder(made: &Path, name: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(made)?)?;
    fs::rename(made, name)?;
    sync_folder(parent(name)?)
}

/// Makes what was named, renamed or removed in a folder survive the machine.
///
/// # Errors
/// As `fsync(2)`.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no file in a folder"))
}

fn failed(doing: &str, path: &Path, cause: &io::Error) -> Error {
    Error::internal(cause.to_string()).doing(format!("{doing} {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("record.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_error_tells_what_was_done_to_which_file() {
        let error = write(Path::new("/proc/no-such/record.json"), b"").unwrap_err().to_string();
        assert!(error.starts_with("writing /proc/no-such/record.json: "), "{error}");
    }
}
