//! Ports as Docker's API writes them: `80/tcp`, and the host's side of a published one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use trestle_core::port::{HostPorts, PortRange, Protocol};
use trestle_core::{Error, Result};

use super::go::{as_text, letter};

/// A port of a container: `80/tcp`, or `80`, which is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// Its number, not 0.
    pub number: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

impl FromStr for Port {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol =
            protocol.to_ascii_lowercase().parse().map_err(|_| Error::invalid(format!("invalid proto: {protocol}")))?;
        match number.parse() {
            Ok(number) if number != 0 => Ok(Self { number, protocol }),
            _ => Err(Error::invalid(format!("invalid port {text:?}: it is a number from 1 to 65535, as in 80/tcp"))),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

as_text!(Port);

letter! {
    /// Where a port of a container is wished on the host, or is found there.
    pub struct HostBinding {
        /// The host's address; empty is every one.
        address: BindingAddress = "HostIp",
        /// The host's port, a range to choose from, or nothing for any free one.
        port: BindingPort = "HostPort",
    }
}

/// An address of the host, or every one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindingAddress(pub Option<IpAddr>);

impl FromStr for BindingAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self(None)),
            address => match address.trim_start_matches('[').trim_end_matches(']').parse() {
                Ok(address) => Ok(Self(Some(address))),
                Err(_) => Err(Error::invalid(format!("invalid IP address: {address}"))),
            },
        }
    }
}

impl fmt::Display for BindingAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|address| address.fmt(f))
    }
}

as_text!(BindingAddress);

/// A port of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingPort(pub HostPorts);

impl Default for BindingPort {
    fn default() -> Self {
        Self(HostPorts::Ephemeral)
    }
}

impl FromStr for BindingPort {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "0" => Ok(Self::default()),
            port => match port.parse::<PortRange>() {
                Ok(range) => Ok(Self(HostPorts::Within(range))),
                Err(_) => Err(Error::invalid(format!("invalid port specification: {port:?}"))),
            },
        }
    }
}

impl fmt::Display for BindingPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            HostPorts::Ephemeral => Ok(()),
            HostPorts::Within(range) => range.fmt(f),
        }
    }
}

as_text!(BindingPort);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_docker_s() {
        assert_eq!("80".parse::<Port>().unwrap().to_string(), "80/tcp");
        assert_eq!("53/UDP".parse::<Port>().unwrap().to_string(), "53/udp");
        for wrong in ["", "0", "65536", "80/icmp", "a", "80-81/tcp", "-1", "+80/"] {
            assert!(wrong.parse::<Port>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_binding_is_written_as_it_was_read() {
        for text in [
            r#"{"HostIp":"","HostPort":""}"#,
            r#"{"HostIp":"127.0.0.1","HostPort":"8080"}"#,
            r#"{"HostIp":"::1","HostPort":"8000-8010"}"#,
        ] {
            let binding: HostBinding = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&binding).unwrap(), text);
        }
    }
}
