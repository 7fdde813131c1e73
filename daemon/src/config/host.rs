//! Where a daemon is spoken to: `unix:///run/trestle/trestle.sock`, `tcp://10.0.0.1:2476`, `fd://`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a daemon listens, or is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A TCP port. The name is an address or, for whoever calls, a name to look up.
    Tcp {
        /// An address or a name; IPv6 without brackets.
        name: String,
        /// The port.
        port: u16,
    },
    /// The sockets that the service manager hands over. For daemons only.
    Activation,
}

impl Host {
    /// The address to listen on; `None` where it is no TCP port, or a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp { name, .. } if name == "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
            Self::Tcp { name, .. } => name.parse().ok(),
            Self::Unix(_) | Self::Activation => None,
        }
    }

    /// What a request to it says in its `Host`: the name and port that were called; nothing in particular elsewhere.
    pub fn authority(&self) -> String {
        match self {
            Self::Tcp { name, port } if name.contains(':') => format!("[{name}]:{port}"),
            Self::Tcp { name, port } => format!("{name}:{port}"),
            Self::Unix(_) | Self::Activation => "localhost".to_owned(),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "fd://" {
            return Ok(Self::Activation);
        }
        if let Some(path) = text.strip_prefix("unix://") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(format!("{text:?}: after unix:// an absolute path is expected, as in unix:///run/x.sock")),
            };
        }
        let Some(rest) = text.strip_prefix("tcp://") else {
            return Err(format!("{text:?} is neither unix:///PATH, tcp://ADDRESS:PORT nor fd://"));
        };
        let example = "as in tcp://127.0.0.1:2476 or tcp://[::1]:2476";
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (name, port) = rest.rsplit_once(':').ok_or_else(|| format!("{text:?}: a port is expected, {example}"))?;
        let port = match port.parse::<u16>() {
            Ok(number) if number != 0 && number.to_string() == port => number,
            _ => return Err(format!("{text:?}: {port:?} is not a port from 1 to 65535")),
        };
        if let Some(bracketed) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            let address: Ipv6Addr =
                bracketed.parse().map_err(|_| format!("{text:?}: {bracketed:?} is not an IPv6 address"))?;
            return Ok(Self::Tcp { name: address.to_string(), port });
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        match !name.is_empty() && name.chars().all(plain) {
            true => Ok(Self::Tcp { name: name.to_owned(), port }),
            false => Err(format!("{text:?}: an address and a port are expected, {example}")),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { .. } => write!(f, "tcp://{}", self.authority()),
            Self::Activation => f.write_str("fd://"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_read_back_as_they_were_written() {
        for text in ["unix:///run/x.sock", "tcp://127.0.0.1:2476", "tcp://[::1]:2476", "tcp://box.lan:1", "fd://"] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_hosts_are_refused_with_the_form_expected() {
        for wrong in [
            "",
            "unix://",
            "unix://run/x",
            "/run/x",
            "tcp://",
            "tcp://1.2.3.4",
            "tcp://:80",
            "tcp://a:0",
            "tcp://a:70000",
            "tcp://a:+80",
            "tcp://::1:80",
            "tcp://[::1:80",
            "tcp://[1.2.3.4]:80",
            "tcp://a b:80",
            "http://a:80",
            "fd://3",
        ] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }
}
