//! The configuration file: a JSON object with dockerd's keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::pool::PoolEntry;

/// Where the file is looked for when no flag names one.
pub const DEFAULT_FILE: &str = "/etc/trestle/daemon.json";

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) hosts: Option<Vec<String>>,
    pub(super) data_root: Option<PathBuf>,
    pub(super) exec_root: Option<PathBuf>,
    pub(super) pidfile: Option<PathBuf>,
    pub(super) debug: Option<bool>,
    pub(super) log_level: Option<String>,
    pub(super) group: Option<String>,
    pub(super) default_address_pools: Option<Vec<PoolEntry>>,
    pub(super) mtu: Option<u32>,
    pub(super) spare_sandboxes: Option<usize>,
    pub(super) firewall_backend: Option<String>,
    pub(super) engine: Option<bool>,
    pub(super) dns: Option<Vec<String>>,
    pub(super) dns_search: Option<Vec<String>>,
    pub(super) dns_opts: Option<Vec<String>>,
    pub(super) dns_domains: Option<Vec<String>>,
    pub(super) dns_limits: Option<Vec<String>>,
    pub(super) bridge: Option<String>,
    pub(super) bip: Option<String>,
    pub(super) bip6: Option<String>,
    pub(super) fixed_cidr: Option<String>,
    pub(super) fixed_cidr_v6: Option<String>,
    pub(super) ipv6: Option<bool>,
    pub(super) icc: Option<bool>,
    pub(super) ip_masq: Option<bool>,
    pub(super) ip: Option<String>,
    pub(super) default_network_opts: Option<BTreeMap<String, BTreeMap<String, String>>>,
    pub(super) iptables: Option<bool>,
    pub(super) ip6tables: Option<bool>,
    pub(super) ip_forward: Option<bool>,
    pub(super) cgroup_parent: Option<String>,
    pub(super) tlsverify: Option<bool>,
    pub(super) tlscacert: Option<PathBuf>,
    pub(super) tlscert: Option<PathBuf>,
    pub(super) tlskey: Option<PathBuf>,
    pub(super) insecure_tcp: Option<bool>,
    // Without effect; see IDLE.
    userland_proxy: Option<serde_json::Value>,
    userland_proxy_path: Option<serde_json::Value>,
    containerd: Option<serde_json::Value>,
    containerd_namespace: Option<serde_json::Value>,
    containerd_plugins_namespace: Option<serde_json::Value>,
    live_restore: Option<serde_json::Value>,
}

impl File {
    /// Reads the named file, or the default one, which may be missing.
    pub(super) fn read(named: Option<&Path>) -> Result<Self, String> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read(path) {
            Ok(text) => Self::parse(&text).map_err(|error| format!("{}: {error}", path.display())),
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Reads its text; errors name the key and the place.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        // serde would read a list as the values of the keys in their order.
        if text.trim_ascii_start().first() == Some(&b'[') {
            return Err("it is a list, and an object is expected".into());
        }
        let mut reader = serde_json::Deserializer::from_slice(text);
        let file = serde_path_to_error::deserialize(&mut reader).map_err(|error| match error.path().to_string() {
            path if path == "." => error.inner().to_string(),
            path => format!("{path}: {}", error.inner()),
        })?;
        reader.end().map_err(|error| error.to_string())?;
        Ok(file)
    }

    /// The keys given that have no effect.
    pub(super) fn idle(&self) -> Vec<&'static str> {
        let given = BTreeMap::from([
            ("userland-proxy", self.userland_proxy.is_some()),
            ("userland-proxy-path", self.userland_proxy_path.is_some()),
            ("containerd", self.containerd.is_some()),
            ("containerd-namespace", self.containerd_namespace.is_some()),
            ("containerd-plugins-namespace", self.containerd_plugins_namespace.is_some()),
            ("live-restore", self.live_restore.is_some()),
        ]);
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}
