//! What is mounted where in a container.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Given, INIT, Shared};
use crate::container::config::IpcMode;
use crate::container::record::{MountPoint, MountPointKind, Record};

/// Files of ours that are mounted into a container.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Each by the path in the container.
    pub mounts: Vec<(PathBuf, &'static str)>,
    /// `/dev/shm`, where others share it.
    pub shm: Option<PathBuf>,
    /// Whether nobody else lives in its network namespace.
    pub owns_network: bool,
}

/// 64 MiB, Docker's size of `/dev/shm`.
const SHM_SIZE: i64 = 64 << 20;

/// All mounts, in the order in which they are made: a path comes before what lies beneath it.
pub(super) fn mounts(record: &Record, given: &Given) -> Vec<Value> {
    let asked = &record.host_config;
    let mut mounts = system(record, given);
    let mut own: Vec<(String, Value)> = Vec::new();
    for (source, path) in &given.files.mounts {
        let access = if asked.readonly_rootfs { "ro" } else { "rw" };
        own.push(((*path).to_owned(), bind(source, path, &["rbind", "rprivate", access])));
    }
    for point in &record.mounts {
        own.retain(|(path, _)| *path != point.destination);
        own.push((point.destination.clone(), mount_point(point)));
    }
    own.sort_by_key(|(path, _)| path.split('/').filter(|part| !part.is_empty()).count());
    let replaced = |it: &Value| own.iter().any(|(path, _)| it["destination"] == path.as_str());
    mounts.retain(|it| !replaced(it));
    mounts.extend(own.into_iter().map(|(_, mount)| mount));
    if let Some(init) = &given.init {
        mounts.push(bind(init, INIT, &["bind", "ro"]));
    }
    mounts
}

/// What every container has.
fn system(record: &Record, given: &Given) -> Vec<Value> {
    let asked = &record.host_config;
    let access = if asked.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "devpts",
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("sysfs", "sysfs", "/sys", &["nosuid", "noexec", "nodev", access]),
        mount("cgroup", "cgroup", "/sys/fs/cgroup", &[access, "nosuid", "noexec", "nodev"]),
        mount("mqueue", "mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    match (&given.files.shm, &asked.ipc_mode, &given.ipc) {
        (Some(shared), _, _) => mounts.push(bind(shared, "/dev/shm", &["rbind", "rprivate"])),
        (None, IpcMode::None, _) => {}
        (None, _, Shared::Host) => mounts.push(bind(&PathBuf::from("/dev/shm"), "/dev/shm", &["rbind", "rprivate"])),
        (None, _, _) => {
            let size = format!("size={}", if asked.shm_size == 0 { SHM_SIZE } else { asked.shm_size });
            mounts.push(mount("tmpfs", "shm", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]));
        }
    }
    mounts
}

fn mount_point(point: &MountPoint) -> Value {
    let access = if point.read_only { "ro" } else { "rw" };
    match &point.kind {
        MountPointKind::Tmpfs { options } => {
            let base = ["noexec", "nosuid", "nodev"];
            // Who says `exec` means it.
            let kept = base.iter().filter(|it| !options.iter().any(|option| it.strip_prefix("no") == Some(option)));
            let all: Vec<&str> = kept.copied().chain(options.iter().map(String::as_str)).chain([access]).collect();
            mount("tmpfs", "tmpfs", &point.destination, &all)
        }
        MountPointKind::Bind | MountPointKind::Volume { .. } => {
            let propagation = if point.propagation.is_empty() { "rprivate" } else { &point.propagation };
            bind(&point.source, &point.destination, &["rbind", propagation, access])
        }
    }
}

fn mount(kind: &str, source: &str, destination: &str, options: &[&str]) -> Value {
    json!({ "type": kind, "source": source, "destination": destination, "options": options })
}

fn bind(source: &PathBuf, destination: &str, options: &[&str]) -> Value {
    json!({ "type": "bind", "source": source, "destination": destination, "options": options })
}

/// Mounts that travel between host and container need a root that lets them.
pub(super) fn root_propagation(record: &Record) -> &'static str {
    let any = |kinds: [&str; 2]| record.mounts.iter().any(|it| kinds.contains(&it.propagation.as_str()));
    if any(["shared", "rshared"]) {
        "rshared"
    } else if any(["slave", "rslave"]) {
        "rslave"
    } else {
        "rprivate"
    }
}
