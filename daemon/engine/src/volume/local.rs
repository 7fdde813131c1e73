//! The driver `local`: a folder, or something that is mounted on one.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};
use trestle_core::error::{Error, Result};

/// What is mounted on a volume's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nothing: the folder is the volume.
    Folder,
    /// Memory, with what `mount -o` takes.
    Memory { flags: MountFlags, data: CString },
    /// Another folder of the host.
    Bind { from: PathBuf, flags: MountFlags },
}

impl Source {
    /// Reads `type`, `device` and `o`, as `mount -t TYPE -o O DEVICE` has them.
    ///
    /// # Errors
    /// `Invalid` in Docker's words, `Unsupported` for what is mounted by other programs or may hang.
    pub(super) fn read(options: &BTreeMap<String, String>) -> Result<Self> {
        const KNOWN: [&str; 4] = ["type", "o", "device", "size"];
        if let Some(unknown) = options.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(Error::invalid(format!("invalid option: {unknown:?}")));
        }
        if options.contains_key("size") {
            return Err(Error::unsupported(
                "quota size requested but no quota support: a volume of type tmpfs takes o=size=",
            ));
        }
        for (key, needed) in [("device", "type"), ("type", "device"), ("o", "device"), ("o", "type")] {
            if options.contains_key(key) && !options.contains_key(needed) {
                return Err(Error::invalid(format!("missing required option: {needed:?}")));
            }
        }
        let text = |key: &str| options.get(key).map(String::as_str).unwrap_or_default();
        let asked = MountOptions::read(text("o"))?;
        match (text("type"), asked.bind) {
            ("", _) => Ok(Self::Folder),
            ("tmpfs", false) => Ok(Self::Memory { flags: asked.flags, data: asked.data }),
            (_, true) if Path::new(text("device")).is_absolute() => {
                Ok(Self::Bind { from: text("device").into(), flags: asked.flags })
            }
            (_, true) => Err(Error::invalid(format!("device {:?} is not an absolute path", text("device")))),
            (kind, false) => Err(Error::unsupported(format!(
                "volumes of type {kind:?} can't be mounted yet; type=tmpfs and o=bind can: mount it on the host, and \
                 bind that folder"
            ))),
        }
    }

    /// Mounts it, unless it is already.
    ///
    /// # Errors
    /// `Internal` in Docker's words, with what the kernel says.
    pub(super) fn mount(&self, target: &Path) -> Result<()> {
        if *self == Self::Folder || is_mounted(target)? {
            return Ok(());
        }
        let mounted = match self {
            Self::Folder => Ok(()),
            Self::Memory { flags, data } => rustix::mount::mount("tmpfs", target, "tmpfs", *flags, data.as_c_str()),
            Self::Bind { from, flags } => bind(from, target, *flags),
        };
        let device = match self {
            Self::Bind { from, .. } => from.display().to_string(),
            _ => "tmpfs".into(),
        };
        mounted.map_err(|cause| {
            let what = format!("failed to mount local volume: mount {device}:{}", target.display());
            Error::internal(cause.to_string()).doing(what)
        })
    }

    /// Unmounts it, if it is mounted.
    ///
    /// # Errors
    /// `Internal` with what the kernel says.
    pub(super) fn unmount(&self, target: &Path) -> Result<()> {
        if *self == Self::Folder || !is_mounted(target)? {
            return Ok(());
        }
        let unmounted = rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        unmounted.map_err(|cause| Error::internal(format!("unmounting {}: {cause}", target.display())))
    }
}

/// The kernel takes flags of a bind mount only once it is there.
fn bind(from: &Path, target: &Path, flags: MountFlags) -> rustix::io::Result<()> {
    rustix::mount::mount_bind_recursive(from, target)?;
    if flags.is_empty() {
        return Ok(());
    }
    rustix::mount::mount_remount(target, MountFlags::BIND | flags, "").inspect_err(|_| {
        if let Err(error) = rustix::mount::unmount(target, UnmountFlags::DETACH) {
            tracing::warn!(%error, target = %target.display(), "a volume's half-made mount could not be undone");
        }
    })
}

/// What `mount -o` takes.
struct MountOptions {
    bind: bool,
    flags: MountFlags,
    data: CString,
}

impl MountOptions {
    fn read(text: &str) -> Result<Self> {
        let mut read = (false, MountFlags::empty(), Vec::new());
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word {
                "bind" | "rbind" => read.0 = true,
                "rw" => read.1 -= MountFlags::RDONLY,
                "ro" => read.1 |= MountFlags::RDONLY,
                "suid" => read.1 -= MountFlags::NOSUID,
                "nosuid" => read.1 |= MountFlags::NOSUID,
                "dev" => read.1 -= MountFlags::NODEV,
                "nodev" => read.1 |= MountFlags::NODEV,
                "exec" => read.1 -= MountFlags::NOEXEC,
                "noexec" => read.1 |= MountFlags::NOEXEC,
                "noatime" => read.1 |= MountFlags::NOATIME,
                "nodiratime" => read.1 |= MountFlags::NODIRATIME,
                "relatime" => read.1 |= MountFlags::RELATIME,
                "sync" => read.1 |= MountFlags::SYNCHRONOUS,
                other => read.2.push(other),
            }
        }
        let data = CString::new(read.2.join(",")).map_err(|_| Error::invalid("option \"o\" holds a zero byte"))?;
        Ok(Self { bind: read.0, flags: read.1, data })
    }
}

/// Whether something is mounted there, as this process sees it.
fn is_mounted(target: &Path) -> Result<bool> {
    let table = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| Error::internal(format!("reading /proc/self/mountinfo: {error}")))?;
    let target = fs::canonicalize(target)
        .map_err(|error| Error::internal(format!("looking for {}: {error}", target.display())))?;
    Ok(table.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| unescaped(point) == target))
}

/// Blanks and the like are written as `\040` (proc_pid_mountinfo(5)).
fn unescaped(point: &str) -> PathBuf {
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    plain.iter().fold(point.to_owned(), |text, (code, letter)| text.replace(code, letter)).into()
}
