//! A folder's content into another, as it is.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// Files by device and inode that have more than one name, and the first of these in the copy.
type Links = HashMap<(u64, u64), PathBuf>;

/// Copies all that is in a folder into another that is there and empty, and gives that the owner, mode, times and
/// attributes of the first: links, devices, holes of none, hard links among themselves. Nobody else may change either
/// meanwhile.
///
/// # Errors
/// As the system calls that fail; what was copied by then is left.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    copy_folder(from, to, &mut Links::new())
}

fn copy_folder(from: &Path, to: &Path, links: &mut Links) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let found = entry.metadata()?;
        if found.is_dir() {
            fs::create_dir(&target)?;
            copy_folder(&entry.path(), &target, links)?;
            continue;
        }
        let inode = (found.dev(), found.ino());
        if let Some(first) = links.get(&inode) {
            fs::hard_link(first, &target)?;
            continue;
        }
        copy_one(&entry.path(), &target, &found)?;
        dress(&entry.path(), &target, &found)?;
        if found.nlink() > 1 {
            links.insert(inode, target);
        }
    }
    dress(from, to, &fs::symlink_metadata(from)?)
}

fn copy_one(from: &Path, to: &Path, found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if kind.is_file() {
        return fs::copy(from, to).map(drop);
    }
    let kind = match kind {
        kind if kind.is_char_device() => FileType::CharacterDevice,
        kind if kind.is_block_device() => FileType::BlockDevice,
        kind if kind.is_fifo() => FileType::Fifo,
        _ => FileType::Socket,
    };
    Ok(rustix::fs::mknodat(CWD, to, kind, Mode::from_raw_mode(found.mode() & 0o7777), found.rdev())?)
}

/// Owner first: changing it takes set-user-id and capabilities away.
fn dress(from: &Path, to: &Path, found: &Metadata) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    rustix::fs::chownat(CWD, to, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if !found.is_symlink() {
        rustix::fs::chmodat(CWD, to, Mode::from_raw_mode(found.mode() & 0o7777), AtFlags::empty())?;
    }
    for name in attributes(from)? {
        let value = attribute(from, &name)?;
        match rustix::fs::lsetxattr(to, &name[..], &value, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            set => set?,
        }
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: found.atime(), tv_nsec: found.atime_nsec() },
        last_modification: Timespec { tv_sec: found.mtime(), tv_nsec: found.mtime_nsec() },
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The names of extended attributes, but for those by which overlayfs keeps its own account.
fn attributes(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        listed => listed?,
    };
    let is_own = |name: &&[u8]| !name.is_empty() && !name.starts_with(b"trusted.overlay.");
    Ok(names[..length].split(|byte| *byte == 0).filter(is_own).map(<[u8]>::to_vec).collect())
}

fn attribute(path: &Path, name: &[u8]) -> io::Result<Vec<u8>> {
    let mut value = vec![0; 64 << 10];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..])?;
    value.truncate(length);
    Ok(value)
}
