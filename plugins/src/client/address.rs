//! Where a plugin is reached.

use std::fmt;
use std::path::PathBuf;

use trestle_core::{Error, Result};

/// Where a plugin is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The socket at this path.
    Unix(PathBuf),
    /// The dynamic library in this file.
    Library(PathBuf),
    /// A host's port, in the clear.
    Tcp {
        /// A name or an address; an IPv6 one without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A host's port, with TLS.
    Tls {
        /// As for [`Address::Tcp`]; the certificate has to be for it.
        host: String,
        /// The port.
        port: u16,
        /// Whom to trust, and what to show.
        files: TlsFiles,
    },
}

/// Whom to trust, and what to show, in TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates of the authorities. Without them the plugin is not verified: whoever answers is believed.
    pub authorities: Option<PathBuf>,
    /// Our own certificate and its key, if the plugin wants to know who asks.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Address {
    /// Reads a URL; `files` are for `https`.
    ///
    /// # Errors
    /// `Invalid` says what is wrong with it.
    pub fn parse(url: &str, files: TlsFiles) -> Result<Self> {
        let wrong = |why: &str| Err(Error::invalid(format!("{url:?} is no address of a plugin: {why}")));
        let Some((scheme, rest)) = url.split_once("://") else {
            return wrong("Unknown protocol; expected is unix://, tcp://, http:// or https://");
        };
        let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match scheme {
            "unix" if rest.starts_with('/') && !rest.contains('\0') => Ok(Self::Unix(rest.into())),
            "unix" => wrong("after unix://, a whole path is expected"),
            "tcp" | "http" => {
                let default = (scheme == "http").then_some(80);
                host_and_port(place, default).map_or_else(wrong, |(host, port)| Ok(Self::Tcp { host, port }))
            }
            "https" => {
                host_and_port(place, Some(443)).map_or_else(wrong, |(host, port)| Ok(Self::Tls { host, port, files }))
            }
            _ => wrong("Unknown protocol; expected is unix://, tcp://, http:// or https://"),
        }
    }

    /// What calls say in their header `Host`.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Unix(_) | Self::Library(_) => crate::wire::UNIX_HOST.to_owned(),
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => written(host, *port),
        }
    }
}

fn host_and_port(place: &str, default: Option<u16>) -> std::result::Result<(String, u16), &'static str> {
    if place.contains('@') {
        return Err("a name and password are of no use here");
    }
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let Some((host, rest)) = bracketed.split_once(']') else { return Err("a bracket is not closed") };
            (host, rest.strip_prefix(':'))
        }
        None => place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    let port = match (port, default) {
        (Some(port), _) => port.parse().ok().filter(|port| *port != 0),
        (None, default) => default,
    };
    Ok((host.to_owned(), port.ok_or("a port from 1 to 65535 is expected")?))
}

fn written(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Library(path) => write!(f, "library {}", path.display()),
            Self::Tcp { host, port } => write!(f, "tcp://{}", written(host, *port)),
            Self::Tls { host, port, .. } => write!(f, "https://{}", written(host, *port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_were_written() {
        for (url, told) in [
            ("unix:///run/weave.sock", "unix:///run/weave.sock"),
            ("tcp://localhost:8080", "tcp://localhost:8080"),
            ("tcp://[::1]:8080", "tcp://[::1]:8080"),
            ("http://plugin/ignored?x", "tcp://plugin:80"),
            ("https://plugin", "https://plugin:443"),
            ("https://10.0.0.1:7777/path", "https://10.0.0.1:7777"),
        ] {
            assert_eq!(Address::parse(url, TlsFiles::default()).unwrap().to_string(), told);
        }
    }

    #[test]
    fn wrong_addresses_are_refused() {
        for url in [
            "",
            "/run/weave.sock",
            "unix://weave.sock",
            "unix://",
            "tcp://localhost",
            "tcp://:80",
            "tcp://localhost:0",
            "tcp://localhost:65536",
            "tcp://[::1:80",
            "tcp://me:secret@host:80",
            "ftp://host",
            "https://",
        ] {
            assert!(Address::parse(url, TlsFiles::default()).is_err(), "{url}");
        }
    }
}
