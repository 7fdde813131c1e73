//! `resolv.conf`, as resolv.conf(5) describes it: read, and followed while it changes.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::{HostServers, PORT};

/// The parts of the file that matter to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// Whom to ask.
    pub servers: Vec<IpAddr>,
    /// Domains that short names are looked for in.
    pub search: Vec<String>,
    /// Options, each a word.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads it; a line that makes no sense says nothing, as programs that read it have it.
    pub fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().map(|word| word.split('%').next().unwrap_or(word));
                    read.servers.extend(address.and_then(|address| address.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => {
                    read.search = words.filter(|word| *word != ".").map(str::to_owned).collect();
                }
                Some("options") => read.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        read
    }

    /// Whether it only names a server of this host's own loopback, as systemd-resolved's does.
    pub fn is_local(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(IpAddr::is_loopback)
    }
}

/// The host's file, read again whenever it is another one or has changed.
pub struct HostFile {
    path: PathBuf,
    read: Mutex<Option<(Identity, ResolvConf)>>,
}

/// Device, inode, size and time of the last change.
type Identity = (u64, u64, u64, i64, i64);

impl HostFile {
    /// Follows this file, which may be missing for a while.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read: Mutex::new(None) }
    }

    /// What it says now; nothing if it is missing.
    pub fn now(&self) -> ResolvConf {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(found) = fs::metadata(&self.path) else { return ResolvConf::default() };
        let identity = (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec());
        if let Some((of, conf)) = read.as_ref()
            && *of == identity
        {
            return conf.clone();
        }
        let conf = match fs::read_to_string(&self.path) {
            Ok(text) => ResolvConf::parse(&text),
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "the host's name servers can't be told");
                ResolvConf::default()
            }
        };
        *read = Some((identity, conf.clone()));
        conf
    }
}

impl HostServers for HostFile {
    fn servers(&self) -> Vec<SocketAddr> {
        self.now().servers.into_iter().map(|server| SocketAddr::new(server, PORT)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_domains_and_options_are_read_and_nonsense_is_passed_over() {
        let text = "# by hand\nnameserver 10.0.0.1\n nameserver fe80::1%eth0\nnameserver nobody\nsearch a.example b.example\n\
                    options ndots:2 rotate\n;nameserver 10.0.0.9\nsearch c.example .\n";
        let read = ResolvConf::parse(text);
        assert_eq!(read.servers, ["10.0.0.1".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        assert_eq!((read.search, read.options), (vec!["c.example".into()], vec!["ndots:2".into(), "rotate".into()]));
    }
}
