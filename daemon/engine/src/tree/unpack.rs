//! An archive's entries, one by one, into a folder.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dev, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use trestle_core::error::{Error, Result};

use super::entry::{Header, Kind};
use super::inner_path::InnerPath;
use super::root::{Root, in_folder};

/// In front of the name of what lower layers shall not show.
const WHITEOUT: &[u8] = b".wh.";

/// In front of what concerns the layer format itself.
const WHITEOUT_META: &[u8] = b".wh..wh.";

/// In a folder that shows nothing of lower layers.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// How overlayfs notes such a folder: for the machine's root, and within user namespaces.
const OPAQUE_ATTRIBUTES: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// What overlayfs believes without question. No archive has a say in it.
const OVERLAY_ATTRIBUTES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// The largest file with holes, in bytes: nothing in an archive's length limits it.
const LARGEST_SPARSE: u64 = 1 << 40;

/// What becomes of entries that are named as whiteouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// They are files like others.
    Keep,
    /// They are an image layer's; overlayfs gets what it understands: a device 0:0, an attribute of the folder.
    /// <https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts>
    Translate,
}

/// Something that lay where a later entry of the same archive wanted to be, and lies elsewhere now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where it was, relative to the root.
    pub from: PathBuf,
    /// Its name in the attic.
    pub to: OsString,
}

/// Puts the entries of an archive into a folder.
#[derive(Debug)]
pub struct Unpacker {
    root: Root,
    whiteouts: Whiteouts,
    attic: Option<Attic>,
    /// Folders' own times, which change with all that is put into them.
    times: BTreeMap<PathBuf, Timespec>,
}

#[derive(Debug)]
struct Attic {
    folder: PathBuf,
    next: u64,
    moved: Vec<Moved>,
}

impl Unpacker {
    /// Into this folder, which is there. What a later entry replaces is deleted.
    pub fn new(root: Root, whiteouts: Whiteouts) -> Self {
        Self { root, whiteouts, attic: None, times: BTreeMap::new() }
    }

    /// What a later entry replaces is kept, in this folder of the same file system.
    #[must_use]
    pub fn with_attic(mut self, folder: PathBuf) -> Self {
        self.attic = Some(Attic { folder, next: 0, moved: Vec::new() });
        self
    }

    /// What was moved into the attic since it was last asked.
    pub fn take_moved(&mut self) -> Vec<Moved> {
        self.attic.as_mut().map(|attic| std::mem::take(&mut attic.moved)).unwrap_or_default()
    }

    /// Puts one entry in its place. Where its content lies now, relative to the root, if it has any.
    ///
    /// # Errors
    /// `Invalid` names the entry that can't be; `Internal` the one that the system refused.
    pub fn place(&mut self, header: &Header, content: &mut dyn Read) -> Result<Option<PathBuf>> {
        self.try_place(header, content).map_err(|cause| failed(header.path.as_path(), &cause))
    }

    /// Gives folders their times, when all is in them.
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub fn finish(self) -> Result<()> {
        for (path, modified) in &self.times {
            let folder = self.root.folder(path);
            folder
                .and_then(|folder| set_times(&folder, OsStr::new("."), *modified))
                .map_err(|cause| failed(path, &cause))?;
        }
        Ok(())
    }

    fn try_place(&mut self, header: &Header, content: &mut dyn Read) -> io::Result<Option<PathBuf>> {
        if header.kind == Kind::Other {
            return Ok(None);
        }
        let Some((parent, name)) = header.path.split() else {
            self.place_root(header)?;
            return Ok(None);
        };
        let parent = self.root.make_folder(parent)?;
        if self.whiteouts == Whiteouts::Translate && name.as_bytes().starts_with(WHITEOUT) {
            self.place_whiteout(&parent, name)?;
            return Ok(None);
        }
        if header.kind == Kind::Folder {
            self.place_folder(&parent, name, header)?;
            return Ok(None);
        }
        self.clear(&parent, name)?;
        match &header.kind {
            Kind::File { sparse } => {
                write_file(&parent, name, header, content, *sparse, self.attributes(header))?;
                return Ok(Some(self.root.place(&parent)?.join(name)));
            }
            Kind::Hardlink(target) => {
                self.link(target, &parent, name)?;
                return Ok(None);
            }
            Kind::Symlink(text) => rustix::fs::symlinkat(text, &parent, name)?,
            Kind::Character(device) => make_node(&parent, name, FileType::CharacterDevice, *device)?,
            Kind::Block(device) => make_node(&parent, name, FileType::BlockDevice, *device)?,
            Kind::Pipe => make_node(&parent, name, FileType::Fifo, 0)?,
            Kind::Folder | Kind::Other => {}
        }
        self.dress(&parent, name, header)?;
        Ok(None)
    }

    fn place_root(&mut self, header: &Header) -> io::Result<()> {
        if header.kind != Kind::Folder {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the root can only be a folder"));
        }
        let root = self.root.folder(Path::new(""))?;
        self.dress(&root, OsStr::new("."), header)?;
        self.times.insert(PathBuf::new(), header.modified);
        Ok(())
    }

    fn place_folder(&mut self, parent: &OwnedFd, name: &OsStr, header: &Header) -> io::Result<()> {
        match found(parent, name)? {
            Some(found) if found.is_folder => {}
            found => {
                let hides_lower = found.is_some_and(|found| found.is_whiteout);
                self.clear(parent, name)?;
                rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
                if hides_lower && self.whiteouts == Whiteouts::Translate {
                    set_opaque(parent, name)?;
                }
            }
        }
        self.dress(parent, name, header)?;
        self.times.insert(self.root.place(parent)?.join(name), header.modified);
        Ok(())
    }

    /// A whiteout speaks of lower layers only, whatever stands beside it in this one.
    fn place_whiteout(&mut self, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        if name.as_bytes() == OPAQUE {
            return set_opaque(parent, OsStr::new("."));
        }
        let hidden = name.as_bytes().strip_prefix(WHITEOUT).unwrap_or_default();
        if name.as_bytes().starts_with(WHITEOUT_META) {
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it hides nothing that could be there"));
        }
        let hidden = OsStr::from_bytes(hidden);
        match found(parent, hidden)? {
            None => make_node(parent, hidden, FileType::CharacterDevice, 0),
            Some(found) if found.is_folder => set_opaque(parent, hidden),
            Some(_) => Ok(()),
        }
    }

    fn link(&self, target: &InnerPath, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let Some((folder, file)) = target.split() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is another name for the root"));
        };
        let folder = self.root.folder(folder)?;
        Ok(rustix::fs::linkat(&folder, file, parent, name, AtFlags::empty())?)
    }

    /// Makes room for something new.
    fn clear(&mut self, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let Some(found) = found(parent, name)? else {
            return Ok(());
        };
        let place = self.root.place(parent)?.join(name);
        self.times.retain(|path, _| !path.starts_with(&place));
        let path = in_folder(parent, name);
        match &mut self.attic {
            None if found.is_folder => fs::remove_dir_all(path),
            None => fs::remove_file(path),
            Some(attic) => {
                fs::create_dir_all(&attic.folder)?;
                let to = attic.next.to_string();
                attic.next += 1;
                fs::rename(path, attic.folder.join(&to))?;
                attic.moved.push(Moved { from: place, to: to.into() });
                Ok(())
            }
        }
    }

    /// Owner first: changing it takes set-user-id and capabilities away.
    fn dress(&self, parent: &OwnedFd, name: &OsStr, header: &Header) -> io::Result<()> {
        let (uid, gid) = owner(header);
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if !matches!(header.kind, Kind::Symlink(_)) {
            rustix::fs::chmodat(parent, name, Mode::from_raw_mode(header.mode), AtFlags::empty())?;
        }
        let path = in_folder(parent, name);
        for (attribute, value) in self.attributes(header) {
            note_refusal(attribute, rustix::fs::lsetxattr(&path, attribute, value, XattrFlags::empty()))?;
        }
        set_times(parent, name, header.modified)
    }

    fn attributes<'a>(&self, header: &'a Header) -> impl Iterator<Item = (&'a OsString, &'a Vec<u8>)> + use<'a> {
        let ours = self.whiteouts == Whiteouts::Translate;
        let is_overlay = |name: &OsString| OVERLAY_ATTRIBUTES.iter().any(|prefix| name.as_bytes().starts_with(prefix));
        header.xattrs.iter().filter(move |(name, _)| !(ours && is_overlay(name))).map(|(name, value)| (name, value))
    }
}

/// What lies somewhere already.
struct Found {
    is_folder: bool,
    is_whiteout: bool,
}

fn found(parent: &OwnedFd, name: &OsStr) -> io::Result<Option<Found>> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let kind = FileType::from_raw_mode(stat.st_mode);
            let is_whiteout = kind == FileType::CharacterDevice && stat.st_rdev == 0;
            Ok(Some(Found { is_folder: kind == FileType::Directory, is_whiteout }))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write_file<'a>(
    parent: &OwnedFd,
    name: &OsStr,
    header: &Header,
    content: &mut dyn Read,
    sparse: bool,
    attributes: impl Iterator<Item = (&'a OsString, &'a Vec<u8>)>,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
    match sparse {
        true => copy_with_holes(content, &mut file)?,
        false => io::copy(content, &mut file).map(drop)?,
    }
    let (uid, gid) = owner(header);
    rustix::fs::fchown(&file, Some(uid), Some(gid))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(header.mode))?;
    for (attribute, value) in attributes {
        note_refusal(attribute, rustix::fs::fsetxattr(&file, attribute, value, XattrFlags::empty()))?;
    }
    Ok(rustix::fs::futimens(&file, &times(header.modified))?)
}

/// Zeros take no place.
fn copy_with_holes(content: &mut dyn Read, file: &mut File) -> io::Result<()> {
    let mut block = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        let count = content.read(&mut block)?;
        if count == 0 {
            return file.set_len(length);
        }
        length += count as u64;
        if length > LARGEST_SPARSE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a file with holes is larger than a tebibyte"));
        }
        if block[..count].iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Start(length))?;
        } else {
            file.write_all(&block[..count])?;
        }
    }
}

fn make_node(parent: &OwnedFd, name: &OsStr, kind: FileType, device: Dev) -> io::Result<()> {
    Ok(rustix::fs::mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, device)?)
}

fn set_opaque(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let path = in_folder(parent, name);
    let [trusted, user] = OPAQUE_ATTRIBUTES;
    match rustix::fs::lsetxattr(&path, trusted, b"y", XattrFlags::empty()) {
        Err(Errno::PERM) => Ok(rustix::fs::lsetxattr(&path, user, b"y", XattrFlags::empty())?),
        set => Ok(set?),
    }
}

/// A file system without extended attributes, or a kernel that keeps one for itself, is no reason to do without the
/// image; Docker takes it so too.
fn note_refusal(attribute: &OsStr, set: rustix::io::Result<()>) -> io::Result<()> {
    match set {
        Err(error @ (Errno::OPNOTSUPP | Errno::PERM)) => {
            tracing::warn!(attribute = %attribute.display(), %error, "an extended attribute of an archive is left out");
            Ok(())
        }
        set => Ok(set?),
    }
}

fn owner(header: &Header) -> (Uid, Gid) {
    (Uid::from_raw(header.uid), Gid::from_raw(header.gid))
}

fn set_times(parent: &OwnedFd, name: &OsStr, modified: Timespec) -> io::Result<()> {
    Ok(rustix::fs::utimensat(parent, name, &times(modified), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn times(modified: Timespec) -> Timestamps {
    Timestamps { last_access: modified, last_modification: modified }
}

/// What the system says of a path that can't be is a fault of the archive.
fn failed(path: &Path, cause: &io::Error) -> Error {
    use io::ErrorKind::{
        AlreadyExists, InvalidData, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, UnexpectedEof,
    };
    let text = cause.to_string();
    let is_loop = cause.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    let error = match cause.kind() {
        AlreadyExists | InvalidData | InvalidFilename | InvalidInput | IsADirectory | NotADirectory | NotFound
        | UnexpectedEof => Error::invalid(text),
        _ if is_loop => Error::invalid(text),
        _ => Error::internal(text),
    };
    error.doing(format!("unpacking {:?}", path.display().to_string()))
}
