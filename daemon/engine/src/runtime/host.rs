//! What this host has for containers: the OCI runtime, the monitor, control groups, capabilities. Found out at start.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use trestle_core::{Error, Result};

/// What was found.
#[derive(Clone, Debug)]
pub struct Host {
    /// The OCI runtime.
    pub runtime: Runtime,
    /// The monitor.
    pub monitor: PathBuf,
    /// An init for containers that ask for one.
    pub init: Option<PathBuf>,
    /// How control groups are laid out.
    pub cgroups: Cgroups,
    /// The controllers that can limit a container.
    pub controllers: BTreeSet<String>,
    /// Whether swap can be limited.
    pub limits_swap: bool,
    /// Whether disks can be shared by weight.
    pub weighs_disks: bool,
    /// What the daemon may do, a bit a capability: it can give no more.
    pub capabilities: u64,
}

/// An OCI runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Its name, as `--runtime` takes it.
    pub name: String,
    /// The program.
    pub path: PathBuf,
    /// What it says of its version.
    pub version: String,
}

/// How control groups are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// A hierarchy a controller.
    V1,
    /// One hierarchy.
    V2,
    /// A hierarchy a controller, and an empty unified one beside them.
    Hybrid,
}

impl Host {
    /// Looks around.
    ///
    /// # Errors
    /// `Unsupported` where there is no OCI runtime or no monitor, and how to get them.
    pub fn look_around() -> Result<Self> {
        let cgroups = layout(Path::new("/sys/fs/cgroup"));
        let root = Path::new("/sys/fs/cgroup");
        Ok(Self {
            runtime: find_runtime(cgroups)?,
            monitor: find("conmon").ok_or_else(|| missing("the monitor conmon", "conmon"))?,
            init: ["docker-init", "tini-static", "tini", "catatonit", "dumb-init"].iter().find_map(|name| find(name)),
            cgroups,
            controllers: controllers(cgroups, root)?,
            limits_swap: match cgroups {
                // Every group but the root has it.
                Cgroups::V2 => fs::read_to_string("/proc/swaps").is_ok(),
                Cgroups::V1 | Cgroups::Hybrid => root.join("memory/memory.memsw.limit_in_bytes").exists(),
            },
            weighs_disks: match cgroups {
                Cgroups::V2 => root.join("io.weight").exists() || root.join("init.scope/io.weight").exists(),
                Cgroups::V1 | Cgroups::Hybrid => {
                    root.join("blkio/blkio.weight").exists() || root.join("blkio/blkio.bfq.weight").exists()
                }
            },
            capabilities: capabilities()?,
        })
    }

    /// Whether there is one hierarchy of control groups.
    pub fn is_unified(&self) -> bool {
        self.cgroups == Cgroups::V2
    }

    /// Whether a controller can limit a container.
    pub fn has_controller(&self, name: &str) -> bool {
        self.controllers.contains(name)
    }
}

/// runc, or crun where it works and runc is missing: it refuses hybrid hierarchies.
fn find_runtime(cgroups: Cgroups) -> Result<Runtime> {
    if let Some(path) = find("runc") {
        return described("runc", path);
    }
    match find("crun") {
        Some(path) if cgroups != Cgroups::Hybrid => described("crun", path),
        Some(_) => Err(Error::unsupported(
            "crun refuses this host's hybrid control groups, and there is no runc; install runc (Debian: apt-get install \
             runc)",
        )),
        None => Err(missing("an OCI runtime", "runc")),
    }
}

fn described(name: &str, path: PathBuf) -> Result<Runtime> {
    let output = Command::new(&path).arg("--version").output();
    let output = output.map_err(|cause| Error::unsupported(format!("running {}: {cause}", path.display())))?;
    if !output.status.success() {
        return Err(Error::unsupported(format!("{} --version: {}", path.display(), output.status)));
    }
    let version = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
    Ok(Runtime { name: name.into(), path, version })
}

fn missing(what: &str, package: &str) -> Error {
    Error::unsupported(format!(
        "{what} is not there, so no container can run; install it (Debian: apt-get install {package}), and start the \
         daemon again"
    ))
}

/// A program on the path, or where system programs are.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system =
        ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/sbin", "/usr/libexec/podman", "/usr/lib/cri-o-runc/sbin"];
    let folders = std::env::split_paths(&path).chain(system.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn layout(root: &Path) -> Cgroups {
    if root.join("cgroup.controllers").exists() {
        Cgroups::V2
    } else if root.join("unified/cgroup.controllers").exists() {
        Cgroups::Hybrid
    } else {
        Cgroups::V1
    }
}

fn controllers(cgroups: Cgroups, root: &Path) -> Result<BTreeSet<String>> {
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|cause| Error::internal(format!("reading {}: {cause}", path.display())))
    };
    if cgroups == Cgroups::V2 {
        return Ok(read(&root.join("cgroup.controllers"))?.split_whitespace().map(str::to_owned).collect());
    }
    // name, hierarchy, number of groups, whether it is on
    let table = read(Path::new("/proc/cgroups"))?;
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_on = |row: &Vec<&str>| row.len() == 4 && row[3] == "1" && root.join(row[0]).is_dir();
    Ok(rows.filter(is_on).map(|row| row[0].to_owned()).collect())
}

/// The capabilities that the daemon's own children can have.
fn capabilities() -> Result<u64> {
    let path = "/proc/self/status";
    let status = fs::read_to_string(path).map_err(|cause| Error::internal(format!("reading {path}: {cause}")))?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.ok_or_else(|| Error::internal(format!("{path} does not tell what the daemon may do")))
}
