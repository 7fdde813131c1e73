//! What one entry of an archive says, read once.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{Dev, Timespec};
use tar::{Entry, EntryType};
use trestle_core::error::{Error, Result};

use super::inner_path::InnerPath;

/// Extended attributes in pax headers, as star, GNU tar, Go and Docker write them.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// How pax headers tell of files with holes. Nobody makes layers of them.
const SPARSE: &[u8] = b"GNU.sparse.";

/// One entry of an archive, without its content.
#[derive(Clone, Debug)]
pub struct Header {
    /// Where it is.
    pub path: InnerPath,
    /// What it is.
    pub kind: Kind,
    /// Permissions, with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// The user it belongs to.
    pub uid: u32,
    /// The group it belongs to.
    pub gid: u32,
    /// When it was last changed.
    pub modified: Timespec,
    /// Extended attributes.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file, whose content follows; whether it is told with its holes.
    File {
        /// Whether its bytes are not its content, but that without the holes.
        sparse: bool,
    },
    /// A symbolic link, with its text.
    Symlink(OsString),
    /// Another name of a file.
    Hardlink(InnerPath),
    /// A device of characters.
    Character(Dev),
    /// A device of blocks.
    Block(Dev),
    /// A named pipe.
    Pipe,
    /// Nothing that a folder can hold, such as a header for all that follow.
    Other,
}

impl Header {
    /// Reads an entry; its content comes after.
    ///
    /// # Errors
    /// `Invalid` for what no file can be, `Unsupported` for sparse files in pax form.
    pub fn read<R: Read>(entry: &mut Entry<'_, R>) -> Result<Self> {
        let name = entry.path_bytes().into_owned();
        let path = InnerPath::parse(&name)?;
        let told = |what: &str| Error::invalid(format!("the entry {}: {what}", path.as_path().display()));
        let header = entry.header();
        let fields = header.as_old();
        let number = |field: &[u8], read: io::Result<u64>, what: &str| match is_blank(field) {
            true => Ok(0),
            false => read.ok().and_then(|number| u32::try_from(number).ok()).ok_or_else(|| told(what)),
        };
        let mode = number(&fields.mode, header.mode().map(u64::from), "its mode is no number")? & 0o7777;
        let uid = number(&fields.uid, header.uid(), "its owner is no number of 32 bits")?;
        let gid = number(&fields.gid, header.gid(), "its group is no number of 32 bits")?;
        let modified = i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0);
        let kind = kind(entry, &name).map_err(|error| told(&error))?;
        let mut read = Self {
            path,
            kind,
            mode,
            uid,
            gid,
            modified: Timespec { tv_sec: modified, tv_nsec: 0 },
            xattrs: Vec::new(),
        };
        read.take_extensions(entry)?;
        Ok(read)
    }

    /// Whether its bytes in the archive are those of the file.
    pub fn is_plain_file(&self) -> bool {
        self.kind == Kind::File { sparse: false }
    }

    fn take_extensions<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<()> {
        let malformed = |error: &dyn std::fmt::Display| Error::invalid(format!("a pax header: {error}"));
        for extension in entry.pax_extensions().map_err(|error| malformed(&error))?.into_iter().flatten() {
            let extension = extension.map_err(|error| malformed(&error))?;
            let (key, value) = (extension.key_bytes(), extension.value_bytes());
            if key.starts_with(SPARSE) {
                return Err(Error::unsupported("sparse files in pax form can't be unpacked"));
            }
            if key == b"mtime" {
                self.modified = parse_time(value).ok_or_else(|| malformed(&"its mtime is no time"))?;
            }
            if let Some(name) = key.strip_prefix(XATTR).filter(|name| !name.is_empty() && !name.contains(&0)) {
                self.xattrs.push((OsString::from_vec(name.to_vec()), value.to_vec()));
            }
        }
        Ok(())
    }
}

fn kind<R: Read>(entry: &Entry<'_, R>, name: &[u8]) -> Result<Kind, String> {
    let header = entry.header();
    let target = || match entry.link_name_bytes() {
        Some(target) if !target.is_empty() && !target.contains(&0) => Ok(target.into_owned()),
        _ => Err("it is a link to nothing".to_owned()),
    };
    let device = || match (header.device_major(), header.device_minor()) {
        (Ok(Some(major)), Ok(Some(minor))) => Ok(rustix::fs::makedev(major, minor)),
        _ => Err("it is a device without numbers".to_owned()),
    };
    Ok(match header.entry_type() {
        EntryType::Directory => Kind::Folder,
        // Archives of before POSIX have no other way to tell a folder.
        EntryType::Regular if name.ends_with(b"/") => Kind::Folder,
        EntryType::Regular | EntryType::Continuous => Kind::File { sparse: false },
        EntryType::GNUSparse => Kind::File { sparse: true },
        EntryType::Symlink => Kind::Symlink(OsString::from_vec(target()?)),
        EntryType::Link => Kind::Hardlink(InnerPath::parse(&target()?).map_err(|error| error.to_string())?),
        EntryType::Char => Kind::Character(device()?),
        EntryType::Block => Kind::Block(device()?),
        EntryType::Fifo => Kind::Pipe,
        _ => Kind::Other,
    })
}

/// Who has nothing to say may leave a number out.
fn is_blank(field: &[u8]) -> bool {
    field.iter().all(|byte| matches!(byte, 0 | b' '))
}

/// `seconds[.fraction]`, which may be before 1970.
fn parse_time(text: &[u8]) -> Option<Timespec> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let tv_sec: i64 = seconds.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    if seconds.starts_with('-') && nanoseconds > 0 {
        return Some(Timespec { tv_sec: tv_sec.checked_sub(1)?, tv_nsec: 1_000_000_000 - nanoseconds });
    }
    Some(Timespec { tv_sec, tv_nsec: nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nanoseconds_and_may_be_before_1970() {
        let time = |text: &str| parse_time(text.as_bytes()).map(|time| (time.tv_sec, time.tv_nsec));
        assert_eq!(time("5"), Some((5, 0)));
        assert_eq!(time("5.25"), Some((5, 250_000_000)));
        assert_eq!(time("5.1234567899"), Some((5, 123_456_789)));
        assert_eq!(time("-5.25"), Some((-6, 750_000_000)));
        assert_eq!((time("x"), time("5.x"), time("")), (None, None, None));
    }
}
