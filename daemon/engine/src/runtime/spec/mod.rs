//! The bundle's `config.json`: a pure function of the container, what it was given, and the host.
//!
//! Specification: <https://github.com/opencontainers/runtime-spec>, version 1.0.2, which runc 1.1 and crun 1.8 read.

mod capabilities;
mod devices;
mod mounts;
mod resources;
mod seccomp;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trestle_core::{Error, Result};

pub use devices::Node;
pub use mounts::Files;
pub use resources::{check, resources};

use super::host::Host;
use super::user::User;
use crate::container::config::{CgroupnsMode, PidMode, Ulimit, UtsMode};
use crate::container::record::Record;

/// Where an init of our own stands in a container that asked for one.
pub const INIT: &str = "/sbin/docker-init";

/// What was found and made for one start.
#[derive(Clone, Debug)]
pub struct Given {
    /// The root file system.
    pub rootfs: PathBuf,
    /// The network namespace; `None` is the host's.
    pub network: Option<PathBuf>,
    /// Whose shared memory and semaphores it sees.
    pub ipc: Shared,
    /// Which processes it sees.
    pub pid: Shared,
    /// Who its user is.
    pub user: User,
    /// Its host name.
    pub hostname: String,
    /// Files of ours that are mounted into it.
    pub files: Files,
    /// The host's devices that it may use.
    pub devices: Vec<Node>,
    /// Its control group, below the root of each hierarchy.
    pub cgroup: String,
    /// Limits of the daemon's for whoever says nothing else.
    pub default_ulimits: Vec<Ulimit>,
    /// The init to run first, on the host.
    pub init: Option<PathBuf>,
    /// Environment that comes before its own.
    pub environment: Vec<String>,
}

/// A namespace that may be another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Its own.
    Own,
    /// The host's.
    Host,
    /// The one behind a file.
    At(PathBuf),
}

/// The bundle's `config.json`.
///
/// # Errors
/// `Invalid` for what no container can have: an unknown capability, a container without a program.
pub fn spec(record: &Record, given: &Given, host: &Host) -> Result<Value> {
    let asked = &record.host_config;
    let capabilities =
        capabilities::capabilities(&asked.cap_add, &asked.cap_drop, asked.privileged, host.capabilities)?;
    let mut linux = json!({
        "cgroupsPath": given.cgroup,
        "namespaces": namespaces(record, given, host),
        "resources": resources(asked, &given.devices),
        "rootfsPropagation": mounts::root_propagation(record),
        "maskedPaths": hidden(asked.privileged, asked.masked_paths.is_null(), &asked.masked_paths, &MASKED),
        "readonlyPaths": hidden(asked.privileged, asked.readonly_paths.is_null(), &asked.readonly_paths, &READ_ONLY),
        "devices": devices::nodes(&given.devices),
        "sysctl": sysctls(record, given),
    });
    match security(record)? {
        Security { seccomp: Seccomp::Default, .. } if !asked.privileged => {
            linux["seccomp"] = seccomp::profile(&capabilities);
        }
        Security { seccomp: Seccomp::Profile(profile), .. } => linux["seccomp"] = profile,
        _ => {}
    }
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": process(record, given, &capabilities)?,
        "root": { "path": given.rootfs, "readonly": asked.readonly_rootfs },
        "hostname": if asked.uts_mode == UtsMode::Host { "" } else { &given.hostname },
        "mounts": mounts::mounts(record, given),
        "annotations": asked.annotations,
        "linux": linux,
    }))
}

/// The container's first process.
fn process(record: &Record, given: &Given, capabilities: &[&str]) -> Result<Value> {
    let asked = &record.host_config;
    let mut arguments = record.command();
    if arguments.is_empty() {
        return Err(Error::invalid("no command specified"));
    }
    if given.init.is_some() {
        arguments.splice(0..0, [INIT.to_owned(), "--".to_owned()]);
    }
    // Who is no root has what he is given only by programs that hold it.
    let held: &[&str] = if given.user.uid == 0 || asked.privileged { capabilities } else { &[] };
    let mut process = json!({
        "terminal": record.config.tty,
        "user": given.user.to_spec(),
        "args": arguments,
        "env": environment(record, given),
        "cwd": working_dir(&record.config.working_dir),
        "capabilities": {
            "bounding": capabilities, "effective": held, "permitted": held,
        },
        "noNewPrivileges": security(record)?.no_new_privileges,
        "oomScoreAdj": asked.oom_score_adj,
        "rlimits": ulimits(&asked.ulimits, &given.default_ulimits)?,
    });
    add_window(&mut process, record.config.tty, asked.console_size);
    Ok(process)
}

/// Another process in the container, for exec.
///
/// # Errors
/// As [`spec`].
pub fn exec_process(record: &Record, given: &ExecGiven<'_>, host: &Host) -> Result<Value> {
    let asked = &record.host_config;
    let privileged = given.privileged || asked.privileged;
    let capabilities = capabilities::capabilities(&asked.cap_add, &asked.cap_drop, privileged, host.capabilities)?;
    let held: &[&str] = if given.user.uid == 0 || privileged { &capabilities } else { &[] };
    let mut variables = base_environment(record, given.tty);
    replace(&mut variables, record.config.env.iter());
    replace(&mut variables, given.environment.iter());
    let mut process = json!({
        "terminal": given.tty,
        "user": given.user.to_spec(),
        "args": given.command,
        "env": variables,
        "cwd": working_dir(given.working_dir.unwrap_or(&record.config.working_dir)),
        "capabilities": { "bounding": capabilities, "effective": held, "permitted": held },
        "noNewPrivileges": security(record)?.no_new_privileges,
    });
    add_window(&mut process, given.tty, given.console_size);
    Ok(process)
}

/// The size of a terminal's window at first.
fn add_window(process: &mut Value, tty: bool, size: Option<[u16; 2]>) {
    if let Some([height, width]) = size.filter(|size| tty && *size != [0, 0]) {
        process["consoleSize"] = json!({ "height": height, "width": width });
    }
}

/// What is asked of another process in a container.
#[derive(Clone, Debug)]
pub struct ExecGiven<'a> {
    /// The program and its arguments.
    pub command: &'a [String],
    /// Whether its streams are a terminal.
    pub tty: bool,
    /// Whether it may do everything.
    pub privileged: bool,
    /// Who runs it.
    pub user: &'a User,
    /// Its environment, beside the container's.
    pub environment: &'a [String],
    /// Where it starts, if not where the container's own does.
    pub working_dir: Option<&'a str>,
    /// Height and width of its terminal at first.
    pub console_size: Option<[u16; 2]>,
}

fn working_dir(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// The variables of the first process: what each has, then the links', then the container's own.
fn environment(record: &Record, given: &Given) -> Vec<String> {
    let mut variables = base_environment(record, record.config.tty);
    replace(&mut variables, [format!("HOSTNAME={}", given.hostname)].iter());
    replace(&mut variables, given.environment.iter());
    replace(&mut variables, record.config.env.iter());
    variables
}

fn base_environment(record: &Record, tty: bool) -> Vec<String> {
    let mut variables = vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
    let hostname = match record.config.hostname.as_str() {
        "" => record.short(),
        hostname => hostname.to_owned(),
    };
    variables.push(format!("HOSTNAME={hostname}"));
    if tty {
        variables.push("TERM=xterm".into());
    }
    variables
}

/// Sets variables; one without `=` is taken away.
fn replace<'a>(variables: &mut Vec<String>, changes: impl Iterator<Item = &'a String>) {
    let name = |variable: &str| variable.split_once('=').map_or(variable, |(name, _)| name).to_owned();
    for change in changes {
        let place = variables.iter().position(|variable| name(variable) == name(change));
        match (place, change.contains('=')) {
            (Some(place), true) => variables[place].clone_from(change),
            (Some(place), false) => drop(variables.remove(place)),
            (None, true) => variables.push(change.clone()),
            (None, false) => {}
        }
    }
}

fn namespaces(record: &Record, given: &Given, host: &Host) -> Vec<Value> {
    let mut namespaces = vec![json!({ "type": "mount" })];
    if let Some(path) = &given.network {
        namespaces.push(json!({ "type": "network", "path": path }));
    }
    if record.host_config.uts_mode != UtsMode::Host {
        namespaces.push(json!({ "type": "uts" }));
    }
    for (kind, shared) in [("ipc", &given.ipc), ("pid", &given.pid)] {
        match shared {
            Shared::Own => namespaces.push(json!({ "type": kind })),
            Shared::At(path) => namespaces.push(json!({ "type": kind, "path": path })),
            Shared::Host => {}
        }
    }
    if cgroup_is_own(record, host) {
        namespaces.push(json!({ "type": "cgroup" }));
    }
    namespaces
}

fn cgroup_is_own(record: &Record, host: &Host) -> bool {
    match record.host_config.cgroupns_mode {
        CgroupnsMode::Private => true,
        CgroupnsMode::Host => false,
        CgroupnsMode::Default => host.is_unified() && !record.host_config.privileged,
    }
}

/// Settings of the kernel: those asked for, and that the lowest ports are for everybody in a network of one's own.
fn sysctls(record: &Record, given: &Given) -> Value {
    let mut settings = serde_json::Map::new();
    if given.network.is_some() && given.environment_owns_network() {
        settings.insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
        settings.insert("net.ipv4.ping_group_range".into(), "0 2147483647".into());
    }
    settings.extend(record.host_config.sysctls.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    Value::Object(settings)
}

/// Limits: the container's, then the daemon's of other names.
fn ulimits(own: &[Ulimit], defaults: &[Ulimit]) -> Result<Vec<Value>> {
    let others = defaults.iter().filter(|default| own.iter().all(|it| it.name != default.name));
    own.iter()
        .chain(others)
        .map(|limit| {
            let name = limit.kernel_name();
            let name = name.ok_or_else(|| Error::invalid(format!("invalid ulimit type: {}", limit.name)))?;
            // -1 is RLIM_INFINITY.
            Ok(json!({ "type": name, "hard": limit.hard.cast_unsigned(), "soft": limit.soft.cast_unsigned() }))
        })
        .collect()
}

/// What is hidden from, or can't be written by, a container; nothing for who may do everything.
fn hidden<'a>(privileged: bool, is_default: bool, asked: &'a [String], default: &[&'a str]) -> Vec<&'a str> {
    match (privileged, is_default) {
        (true, _) => Vec::new(),
        (false, true) => default.to_vec(),
        (false, false) => asked.iter().map(String::as_str).collect(),
    }
}

/// What would tell a container of its host, or let it harm it.
pub const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// What a container may read of its host, and not write.
pub const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What `--security-opt` comes to.
struct Security {
    no_new_privileges: bool,
    seccomp: Seccomp,
}

enum Seccomp {
    Default,
    Unconfined,
    Profile(Value),
}

/// Reads `--security-opt`. Labels and profiles of systems that this kernel may not have are of no effect.
fn security(record: &Record) -> Result<Security> {
    let mut security = Security { no_new_privileges: false, seccomp: Seccomp::Default };
    for option in &record.host_config.security_opt {
        let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        match (name, value) {
            ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
            ("no-new-privileges", "false") => security.no_new_privileges = false,
            ("seccomp", "unconfined") => security.seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin") => security.seccomp = Seccomp::Default,
            ("seccomp", profile) => {
                let profile = serde_json::from_str(profile)
                    .map_err(|error| Error::invalid(format!("Decoding seccomp profile failed: {error}")))?;
                security.seccomp = Seccomp::Profile(profile);
            }
            ("apparmor" | "label" | "systempaths" | "writable-cgroups", _) => {}
            _ => return Err(Error::invalid(format!("invalid --security-opt 2: \"{option}\""))),
        }
    }
    Ok(security)
}

/// Checks `--security-opt`, capabilities and limits without a host.
///
/// # Errors
/// `Invalid`, worded as Docker words it.
pub fn check_security(record: &Record) -> Result<()> {
    let asked = &record.host_config;
    security(record)?;
    capabilities::capabilities(&asked.cap_add, &asked.cap_drop, asked.privileged, u64::MAX)?;
    ulimits(&asked.ulimits, &[]).map(drop)
}

impl Given {
    /// Whether nobody else lives in its network namespace.
    fn environment_owns_network(&self) -> bool {
        self.files.owns_network
    }
}

/// Where namespaces of a process are found.
pub fn namespace_of(pid: u32, kind: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join("ns").join(kind)
}

/// What the mode comes to, given the process of the container that it names.
pub fn pid_namespace(mode: &PidMode, peer: Option<u32>) -> Shared {
    match (mode, peer) {
        (PidMode::Private, _) => Shared::Own,
        (PidMode::Container(_), Some(pid)) => Shared::At(namespace_of(pid, "pid")),
        (PidMode::Host | PidMode::Container(_), _) => Shared::Host,
    }
}
