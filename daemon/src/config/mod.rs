//! What the daemon is told: flags and file, checked and made one.

mod bridge;
mod file;
mod flags;
mod host;
mod names;
mod pool;

use std::fmt::Display;
use std::path::PathBuf;

use clap::ValueEnum;
use trestle_core::controller::Spares;
use trestle_engine::network::DefaultOption;
use trestle_engine::network::boot::BridgeSettings;
use trestle_kernel::firewall::Backend;

pub use bridge::BridgeFlags;
pub use file::DEFAULT_FILE;
pub use flags::{Flags, IDLE, IdleFlags, TlsFlags};
pub use host::Host;
pub use names::NameSettings;
pub use pool::DefaultPool;

use file::File;

/// The daemon's settings, all checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// For what survives a restart of the machine.
    pub data_root: PathBuf,
    /// For what lives as long as the kernel's state.
    pub exec_root: PathBuf,
    /// Where to listen: at least one.
    pub hosts: Vec<Host>,
    /// Where the process id is written.
    pub pidfile: PathBuf,
    /// What is logged.
    pub log_level: LogLevel,
    /// The group asked for; `None` is `trestle` if there is one, else root.
    pub group: Option<String>,
    /// Empty means the built-in ones.
    pub default_pools: Vec<DefaultPool>,
    /// For networks that don't say.
    pub mtu: Option<u32>,
    /// How many sandboxes are made ahead.
    pub spares: Spares,
    /// What programs the packet filter.
    pub firewall: Backend,
    /// What is told about names.
    pub names: NameSettings,
    /// Whether containers are run, too.
    pub engine: bool,
    /// What the network `bridge` is like; `None` leaves it out.
    pub bridge: Option<BridgeSettings>,
    /// What new networks get that don't say.
    pub network_defaults: Vec<DefaultOption>,
    /// The control group that containers' own lie in.
    pub cgroup_parent: String,
    /// Certificates and key for TCP.
    pub tls: Option<TlsFiles>,
    /// What was given and has no effect.
    pub idle: Vec<&'static str>,
}

/// The files that TLS in both directions needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that are trusted.
    pub authorities: PathBuf,
    /// Our own certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Settings {
    /// Makes one of flags and file.
    ///
    /// # Errors
    /// A sentence for each thing that is wrong, a line each.
    pub fn load(flags: Flags) -> Result<Self, String> {
        let file = File::read(flags.config_file.as_deref())?;
        Self::merge(flags, file)
    }

    fn merge(flags: Flags, mut file: File) -> Result<Self, String> {
        let mut faults = Faults::default();
        let mut idle = flags.idle.given();
        idle.extend(file.idle());
        let mtu = faults.once("mtu", flags.mtu, file.mtu);
        let (bridge, network_defaults) = bridge::merge(flags.networks, &mut file, mtu, &mut faults);
        let hosts = file.hosts.map(|hosts| faults.each("hosts", hosts, |host: String| host.parse::<Host>()));
        let pools = file.default_address_pools;
        let pools = pools.map(|pools| faults.each("default-address-pools", pools, DefaultPool::try_from));

        let data_root = faults.once("data-root", flags.data_root, file.data_root);
        let exec_root = faults.once("exec-root", flags.exec_root, file.exec_root);
        let pidfile = faults.once("pidfile", flags.pidfile, file.pidfile);
        let debug = faults.once("debug", flags.debug, file.debug);
        let log_level = faults.once("log-level", flags.log_level, file.log_level);
        let group = faults.once("group", flags.group, file.group);
        let spares = faults.once("spare-sandboxes", flags.spare_sandboxes, file.spare_sandboxes);
        let backend = faults.once("firewall-backend", flags.firewall_backend, file.firewall_backend);
        let engine = faults.once("engine", flags.engine, file.engine).unwrap_or(true);
        let cgroup_parent = faults.once("cgroup-parent", flags.cgroup_parent, file.cgroup_parent);
        let insecure_tcp = faults.once("insecure-tcp", flags.insecure_tcp, file.insecure_tcp);
        let tlsverify = faults.once("tlsverify", flags.tls.tlsverify, file.tlsverify);
        let tlscacert = faults.once("tlscacert", flags.tls.tlscacert, file.tlscacert);
        let tlscert = faults.once("tlscert", flags.tls.tlscert, file.tlscert);
        let tlskey = faults.once("tlskey", flags.tls.tlskey, file.tlskey);
        let hosts = faults.once_list("hosts", flags.hosts, hosts);
        let names = names::Written {
            servers: faults.once_list("dns", flags.names.dns, file.dns),
            search: faults.once_list("dns-search", flags.names.dns_search, file.dns_search),
            options: faults.once_list("dns-opts", flags.names.dns_opt, file.dns_opts),
            domains: faults.once_list("dns-domains", flags.names.dns_domain, file.dns_domains),
            limits: faults.once_list("dns-limits", flags.names.dns_limit, file.dns_limits),
        };
        let names = NameSettings::read(names, &mut faults);
        let default_pools = faults.once_list("default-address-pools", flags.default_address_pools, pools);

        let data_root = faults.folder("data-root", data_root.unwrap_or("/var/lib/trestle".into()));
        let exec_root = faults.folder("exec-root", exec_root.unwrap_or("/run/trestle".into()));
        let pidfile = faults.folder("pidfile", pidfile.unwrap_or_else(|| exec_root.join("trestled.pid")));
        if data_root == exec_root {
            faults.add("exec-root", format!("{} is the data-root already", exec_root.display()));
        }
        let hosts = match hosts.is_empty() {
            true => vec![Host::Unix(exec_root.join("trestle.sock"))],
            false => hosts,
        };
        let log_level = faults.log_level(debug.unwrap_or(false), log_level);
        if let Some(mtu) = mtu
            && !(68..=65535).contains(&mtu)
        {
            faults.add("mtu", format!("{mtu} is not from 68 to 65535"));
        }
        let firewall = match backend.as_deref().map(str::parse) {
            None => Backend::default(),
            Some(Ok(backend)) => backend,
            Some(Err(why)) => {
                faults.add("firewall-backend", why);
                Backend::default()
            }
        };
        let tls = faults.tls(tlsverify.unwrap_or(false), [tlscacert, tlscert, tlskey]);
        for host in &hosts {
            faults.host(host, tls.is_some(), insecure_tcp.unwrap_or(false));
        }
        let spares = spares.map_or_else(Spares::default, |per_network| Spares { per_network, ..Spares::default() });
        faults.none(Self {
            data_root,
            exec_root,
            hosts,
            pidfile,
            log_level,
            group,
            default_pools,
            mtu,
            spares,
            firewall,
            names,
            engine,
            bridge,
            network_defaults,
            cgroup_parent: cgroup_parent.unwrap_or_else(|| "/trestle".into()),
            tls,
            idle,
        })
    }

    /// The lines that tell what was given without effect.
    pub fn idle_notes(&self) -> impl Iterator<Item = String> {
        IDLE.iter()
            .filter(|(name, _)| self.idle.contains(name))
            .map(|(name, why)| format!("{name} has no effect: {why}"))
    }
}

/// Gathers what is wrong, so that a person is told everything at once.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, setting: &str, why: impl Display) {
        self.0.push(format!("{setting}: {why}"));
    }

    fn none<T>(self, value: T) -> Result<T, String> {
        match self.0.is_empty() {
            true => Ok(value),
            false => Err(self.0.join("\n")),
        }
    }

    fn once<T: std::fmt::Debug>(&mut self, setting: &str, flag: Option<T>, file: Option<T>) -> Option<T> {
        if let (Some(flag), Some(file)) = (&flag, &file) {
            self.add(setting, format!("given both as a flag ({flag:?}) and in the file ({file:?}); take one away"));
        }
        flag.or(file)
    }

    fn once_list<T: std::fmt::Debug>(&mut self, setting: &str, flag: Vec<T>, file: Option<Vec<T>>) -> Vec<T> {
        let flag = Some(flag).filter(|values| !values.is_empty());
        self.once(setting, flag, file).unwrap_or_default()
    }

    fn each<T, U>(&mut self, setting: &str, values: Vec<T>, mut read: impl FnMut(T) -> Result<U, String>) -> Vec<U> {
        let mut good = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            match read(value) {
                Ok(value) => good.push(value),
                Err(why) => self.add(&format!("{setting}[{index}]"), why),
            }
        }
        good
    }

    fn folder(&mut self, setting: &str, path: PathBuf) -> PathBuf {
        std::path::absolute(&path).unwrap_or_else(|error| {
            self.add(setting, format!("{path:?}: {error}"));
            path
        })
    }

    fn log_level(&mut self, debug: bool, level: Option<String>) -> LogLevel {
        let level = match level.map(|level| LogLevel::from_str(&level, false).map_err(|_| level)) {
            None => LogLevel::Info,
            Some(Ok(level)) => level,
            Some(Err(level)) => {
                self.add("log-level", format!("{level:?} is not known; debug, info, warn, error and fatal are"));
                LogLevel::Info
            }
        };
        if debug { LogLevel::Debug } else { level }
    }

    fn tls(&mut self, verify: bool, files: [Option<PathBuf>; 3]) -> Option<TlsFiles> {
        let [authorities, certificate, key] = files;
        if !verify {
            if authorities.is_some() || certificate.is_some() || key.is_some() {
                self.add("tlsverify", "certificates are given, but callers would not be asked for theirs; set it");
            }
            return None;
        }
        let (Some(authorities), Some(certificate), Some(key)) = (authorities, certificate, key) else {
            self.add("tlsverify", "tlscacert, tlscert and tlskey are needed with it");
            return None;
        };
        Some(TlsFiles { authorities, certificate, key })
    }

    fn host(&mut self, host: &Host, tls: bool, insecure: bool) {
        let Host::Tcp { name, .. } = host else { return };
        let Some(address) = host.address() else {
            return self.add("hosts", format!("{host}: {name:?} is not an address to listen on"));
        };
        match (tls, insecure) {
            (true, _) => {}
            (false, true) if address.is_loopback() => {}
            (false, true) => self.add("hosts", format!("{host}: without TLS only a loopback address is allowed")),
            (false, false) => self.add(
                "hosts",
                format!(
                    "{host}: TCP needs tlsverify with tlscacert, tlscert and tlskey (or, on loopback, insecure-tcp)"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
