//! The flags of `trestled`, named as dockerd's.

use std::path::PathBuf;

use clap::{Args, Parser};

use super::{BridgeFlags, DefaultPool, Host};

/// Container networks: makes them, keeps them as they should be, and answers for them.
///
/// Every setting can also stand in the configuration file, a JSON object whose keys are the long flags (the plural for
/// those that may be repeated: "hosts", "default-address-pools"). A setting given in both places is an error.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "trestled", version, after_help = AFTER_HELP)]
pub struct Flags {
    /// Where to listen: unix:///PATH, tcp://ADDRESS:PORT, or fd:// for the sockets of systemd. May be repeated
    /// [default: unix://EXEC-ROOT/trestle.sock]
    #[arg(short = 'H', long = "host", value_name = "HOST")]
    pub hosts: Vec<Host>,
    /// Folder for what survives a restart of the machine [default: /var/lib/trestle]
    #[arg(long, value_name = "FOLDER")]
    pub data_root: Option<PathBuf>,
    /// Folder for what lives as long as the kernel's state; best on a tmpfs [default: /run/trestle]
    #[arg(long, value_name = "FOLDER")]
    pub exec_root: Option<PathBuf>,
    /// File for the process id [default: EXEC-ROOT/trestled.pid]
    #[arg(short, long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// Configuration file; the default one may be missing [default: /etc/trestle/daemon.json]
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Check the configuration, say what is wrong with it, and end
    #[arg(long)]
    pub validate: bool,
    /// Log everything that helps to find a fault
    #[arg(short = 'D', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub debug: Option<bool>,
    /// What to log: debug, info, warn, error or fatal [default: info]
    #[arg(short = 'l', long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Group that may use the sockets, by name or number [default: trestle if there is one, else root]
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Subnets for networks that ask for none, as in base=10.0.0.0/8,size=24. May be repeated
    #[arg(long = "default-address-pool", value_name = "POOL")]
    pub default_address_pools: Vec<DefaultPool>,
    /// Bytes a packet may have on networks that don't say [default: as the link of the default route]
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u32>,
    /// How many sandboxes are made ahead for each network, 32 on all together; 0 makes none [default: 4]
    #[arg(long, value_name = "NUMBER")]
    pub spare_sandboxes: Option<usize>,
    /// What programs the firewall: nftables, or iptables for hosts whose rules are iptables' already; iptables-nft and
    /// iptables-legacy name one kind of it. Another one than before takes over at start [default: nftables]
    #[arg(long, value_name = "NAME")]
    pub firewall_backend: Option<String>,
    /// Run containers too: answer Docker's API, and keep the networks bridge, host and none. Without it, only networks,
    /// endpoints and sandboxes are there [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub engine: Option<bool>,
    /// The control group that containers' own lie in [default: /trestle]
    #[arg(long, value_name = "PATH")]
    pub cgroup_parent: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub names: NameFlags,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub networks: BridgeFlags,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub tls: TlsFlags,
    /// Allow a tcp:// host without TLS, on a loopback address. Whoever reaches it controls the host's networks
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure_tcp: Option<bool>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub idle: IdleFlags,
    /// Print where a test can let the daemon die, and end
    #[cfg(feature = "failpoints")]
    #[arg(long, hide = true)]
    pub list_failpoints: bool,
}

/// Names, for sandboxes that don't say. In the file: "dns", "dns-search", "dns-opts", "dns-domains", "dns-limits".
#[derive(Clone, Debug, Default, Args)]
pub struct NameFlags {
    /// Ask this server for names that no container has. May be repeated [default: the servers of /etc/resolv.conf]
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    /// Look for short names in this domain; "." is none. May be repeated [default: those of /etc/resolv.conf]
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// An option of resolv.conf, as in ndots:1. May be repeated [default: those of /etc/resolv.conf]
    #[arg(long, value_name = "OPTION")]
    pub dns_opt: Vec<String>,
    /// Ask other servers for names in a domain, as in corp.example=10.0.0.5. May be repeated
    #[arg(long, value_name = "DOMAIN=ADDRESS")]
    pub dns_domain: Vec<String>,
    /// How many questions may wait for other servers (forwards, forwards-of-one sandbox), how many connections a sandbox
    /// may have (connections-of-one), and how many answers are kept (kept), as in forwards=4096. May be repeated
    #[arg(long, value_name = "KEY=NUMBER")]
    pub dns_limit: Vec<String>,
}

/// TLS in both directions: who may speak to the daemon over TCP is told by certificates.
#[derive(Clone, Debug, Default, Args)]
pub struct TlsFlags {
    /// Use TLS and ask callers for a certificate; needed for tcp:// hosts
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tlsverify: Option<bool>,
    /// Trust only certificates signed by these authorities (PEM)
    #[arg(long, value_name = "FILE")]
    pub tlscacert: Option<PathBuf>,
    /// The daemon's own certificate, with its chain (PEM)
    #[arg(long, value_name = "FILE")]
    pub tlscert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub tlskey: Option<PathBuf>,
}

/// Flags of dockerd that start-up scripts pass, and that nothing here depends on.
#[derive(Clone, Debug, Default, Args)]
pub struct IdleFlags {
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[allow(missing_docs)]
    pub userland_proxy: Vec<String>,
    #[arg(long, hide = true)]
    #[allow(missing_docs)]
    pub userland_proxy_path: Vec<String>,
    #[arg(long, hide = true)]
    #[allow(missing_docs)]
    pub containerd: Vec<String>,
    #[arg(long, hide = true)]
    #[allow(missing_docs)]
    pub containerd_namespace: Vec<String>,
    #[arg(long, hide = true)]
    #[allow(missing_docs)]
    pub containerd_plugins_namespace: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[allow(missing_docs)]
    pub live_restore: Vec<String>,
}

/// The names of what has no effect, as flag and as key of the file, and why.
pub const IDLE: [(&str, &str); 6] = [
    ("userland-proxy", "published ports need no proxy processes"),
    ("userland-proxy-path", "published ports need no proxy processes"),
    ("containerd", "no containerd is used"),
    ("containerd-namespace", "no containerd is used"),
    ("containerd-plugins-namespace", "no containerd is used"),
    ("live-restore", "sandboxes always live on while the daemon is stopped"),
];

impl IdleFlags {
    /// Those that were given.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let given = [
            &self.userland_proxy,
            &self.userland_proxy_path,
            &self.containerd,
            &self.containerd_namespace,
            &self.containerd_plugins_namespace,
            &self.live_restore,
        ];
        IDLE.iter().zip(given).filter(|(_, values)| !values.is_empty()).map(|((name, _), _)| *name).collect()
    }
}

const AFTER_HELP: &str = "\
Accepted for the sake of dockerd's start-up scripts, without effect: --userland-proxy, --userland-proxy-path,
--containerd, --containerd-namespace, --containerd-plugins-namespace, --live-restore.

The daemon looks after the network namespace it is started in. Several can run side by side: in other namespaces,
each with its own --data-root and --exec-root. Stopping it leaves sandboxes and their traffic alone.";
