//! What is mounted into a container: paths of the host, volumes, tmpfs.

use std::fmt;
use std::str::FromStr;

use trestle_core::{Error, Result};

use super::go::{List, Map, as_text, letter};

/// Where the content comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A volume that gets a name of its own, and goes with the container.
    Anonymous,
    /// A volume, by its name.
    Volume(String),
    /// A path of the host, absolute.
    Path(String),
}

/// Whether it may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Yes.
    #[default]
    ReadWrite,
    /// No.
    ReadOnly,
}

/// `-v`'s text: `[source:]destination[:options]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it comes from.
    pub source: Source,
    /// Where it goes, absolute.
    pub destination: String,
    /// Whether it may be written.
    pub access: Access,
    /// Whether what the image has there is not copied into a new volume.
    pub no_copy: bool,
    /// How mounts beneath it travel (`rprivate`, `rshared`, …), where it is said.
    pub propagation: Option<String>,
    /// The options as they were written.
    mode: String,
}

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

impl Bind {
    /// The options as they were written.
    pub fn mode(&self) -> &str {
        &self.mode
    }
}

impl FromStr for Bind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("invalid volume specification: '{text}': {why}"));
        let parts: Vec<&str> = text.split(':').collect();
        let (source, destination, mode) = match parts[..] {
            [destination] => ("", destination, ""),
            [source, destination] if destination.starts_with('/') => (source, destination, ""),
            [destination, mode] => ("", destination, mode),
            [source, destination, mode] => (source, destination, mode),
            _ => return Err(wrong("it has more than three parts")),
        };
        if parts.len() > 1 && parts[0].is_empty() {
            return Err(wrong("the source is empty"));
        }
        let source = match source {
            "" => Source::Anonymous,
            path if path.starts_with('/') => Source::Path(path.into()),
            name => Source::Volume(check_volume_name(name)?),
        };
        check_destination(destination).map_err(|why| wrong(&why))?;
        let mut bind = Self {
            source,
            destination: destination.into(),
            access: Access::ReadWrite,
            no_copy: false,
            propagation: None,
            mode: mode.into(),
        };
        for option in mode.split(',').filter(|option| !option.is_empty()) {
            match option {
                "rw" => bind.access = Access::ReadWrite,
                "ro" => bind.access = Access::ReadOnly,
                "nocopy" => bind.no_copy = true,
                // Labels for SELinux, and consistency on Docker Desktop: of no effect here.
                "z" | "Z" | "consistent" | "cached" | "delegated" => {}
                other if PROPAGATIONS.contains(&other) => bind.propagation = Some(other.into()),
                other => return Err(Error::invalid(format!("invalid mode: {other}"))),
            }
        }
        Ok(bind)
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Anonymous => {}
            Source::Volume(source) | Source::Path(source) => write!(f, "{source}:")?,
        }
        f.write_str(&self.destination)?;
        if self.mode.is_empty() { Ok(()) } else { write!(f, ":{}", self.mode) }
    }
}

as_text!(Bind);

/// An absolute path that is not the root itself.
fn check_destination(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("the destination {path:?} is not an absolute path"));
    }
    let deepest = path.split('/').filter(|part| !part.is_empty() && *part != ".").try_fold(0_usize, |depth, part| {
        if part == ".." { Some(depth.saturating_sub(1)) } else { depth.checked_add(1) }
    });
    if deepest == Some(0) { Err("destination can't be '/'".into()) } else { Ok(()) }
}

/// Letters, digits, `_`, `.` and `-`, at least two, the first a letter or digit.
fn check_volume_name(name: &str) -> Result<String> {
    let good = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '.' | '-');
    if name.len() < 2 || !name.starts_with(|it: char| it.is_ascii_alphanumeric()) || !name.chars().all(good) {
        return Err(Error::invalid(format!(
            "\"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
             allowed. If you intended to pass a host directory, use absolute path"
        )));
    }
    Ok(name.into())
}

/// `--volumes-from`'s text: `container[:ro|rw]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumesFrom {
    /// Whose mounts, by name or id.
    pub container: String,
    /// Whether they may be written; `None` is as they are there.
    pub access: Option<Access>,
}

impl FromStr for VolumesFrom {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (container, mode) = text.split_once(':').map_or((text, None), |(container, mode)| (container, Some(mode)));
        if container.is_empty() {
            return Err(Error::invalid(format!("invalid volumes-from {text:?}: it names no container")));
        }
        let access = match mode {
            None => None,
            Some("rw") => Some(Access::ReadWrite),
            Some("ro") => Some(Access::ReadOnly),
            Some(other) => return Err(Error::invalid(format!("invalid mode: {other}"))),
        };
        Ok(Self { container: container.into(), access })
    }
}

impl fmt::Display for VolumesFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.container)?;
        match self.access {
            None => Ok(()),
            Some(Access::ReadWrite) => f.write_str(":rw"),
            Some(Access::ReadOnly) => f.write_str(":ro"),
        }
    }
}

as_text!(VolumesFrom);

letter! {
    /// Docker's `Mount`, what `--mount` says.
    pub struct Mount {
        /// What is mounted.
        kind: MountKind = "Type",
        /// A volume's name, or a path of the host.
        source: String = "Source",
        /// Where it goes, absolute.
        target: String = "Target",
        /// Whether it may only be read.
        read_only: bool = "ReadOnly",
        /// More about a bind.
        bind_options: Option<BindOptions> = "BindOptions",
        /// More about a volume.
        volume_options: Option<VolumeOptions> = "VolumeOptions",
        /// More about a tmpfs.
        tmpfs_options: Option<TmpfsOptions> = "TmpfsOptions",
    }
}

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume.
    #[default]
    Volume,
    /// Memory.
    Tmpfs,
}

impl FromStr for MountKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "bind" => Ok(Self::Bind),
            "volume" => Ok(Self::Volume),
            "tmpfs" => Ok(Self::Tmpfs),
            other => Err(Error::invalid(format!("mount type unknown: {other:?}"))),
        }
    }
}

impl fmt::Display for MountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bind => "bind",
            Self::Volume => "volume",
            Self::Tmpfs => "tmpfs",
        })
    }
}

as_text!(MountKind);

letter! {
    /// More about a bind.
    pub struct BindOptions {
        /// How mounts beneath it travel.
        propagation: String = "Propagation",
        /// Whether what is mounted beneath stays out.
        non_recursive: bool = "NonRecursive",
        /// Whether a missing path is made.
        create_mountpoint: bool = "CreateMountpoint",
    }
}

letter! {
    /// More about a volume.
    pub struct VolumeOptions {
        /// Whether what the image has there is not copied into a new volume.
        no_copy: bool = "NoCopy",
        /// Labels of a new volume.
        labels: Map<String, String> = "Labels",
        /// A part of the volume that is meant.
        subpath: String = "Subpath",
        /// Who makes a new volume.
        driver_config: Option<VolumeDriver> = "DriverConfig",
    }
}

letter! {
    /// Who makes a new volume.
    pub struct VolumeDriver {
        /// The driver.
        name: String = "Name",
        /// Its options.
        options: Map<String, String> = "Options",
    }
}

letter! {
    /// More about a tmpfs.
    pub struct TmpfsOptions {
        /// Bytes; 0 is without limit.
        size_bytes: u64 = "SizeBytes",
        /// The permissions of its root.
        mode: u32 = "Mode",
        /// More options, each a name and perhaps a value.
        options: List<List<String>> = "Options",
    }
}

impl Mount {
    /// Checks that its parts go together.
    ///
    /// # Errors
    /// `Invalid`, worded as Docker words it.
    pub fn check(&self) -> Result<()> {
        let wrong = |why: &str| Error::invalid(format!("invalid mount config for type \"{}\": {why}", self.kind));
        if self.target.is_empty() {
            return Err(wrong("field Target must not be empty"));
        }
        check_destination(&self.target).map_err(|_| {
            wrong(&format!("invalid specification: destination can't be '/' or relative: '{}'", self.target))
        })?;
        let foreign = |there: bool, field: &str| {
            if there { Err(wrong(&format!("field {field} must not be specified"))) } else { Ok(()) }
        };
        if self.kind != MountKind::Bind {
            foreign(self.bind_options.is_some(), "BindOptions")?;
        }
        if self.kind != MountKind::Volume {
            foreign(self.volume_options.is_some(), "VolumeOptions")?;
        }
        if self.kind != MountKind::Tmpfs {
            foreign(self.tmpfs_options.is_some(), "TmpfsOptions")?;
        }
        match self.kind {
            MountKind::Bind if self.source.is_empty() => Err(wrong("field Source must not be empty")),
            MountKind::Bind if !self.source.starts_with('/') => {
                Err(wrong(&format!("invalid mount path: '{}' mount path must be absolute", self.source)))
            }
            MountKind::Volume if !self.source.is_empty() => check_volume_name(&self.source).map(drop),
            MountKind::Tmpfs => foreign(!self.source.is_empty(), "Source"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_written_as_they_were_read() {
        for text in ["/data", "data:/data", "/srv:/srv:ro", "data:/data:nocopy,ro", "/a:/b:rshared", "/data:ro"] {
            assert_eq!(text.parse::<Bind>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_binds_are_refused() {
        for wrong in
            ["", "/", "data", ":/data", "a/b:/data", "/a:b", "/a:/b:sometimes", "/a:/b:ro:rw", "/a:/", "/a:/b/.."]
        {
            assert!(wrong.parse::<Bind>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mount_says_only_what_goes_with_its_kind() {
        let right = Mount { kind: MountKind::Bind, source: "/srv".into(), target: "/srv".into(), ..Mount::default() };
        right.check().unwrap();
        let wrong = Mount { tmpfs_options: Some(TmpfsOptions::default()), ..right };
        let told = wrong.check().unwrap_err().to_string();
        assert_eq!(told, "invalid mount config for type \"bind\": field TmpfsOptions must not be specified");
    }
}
