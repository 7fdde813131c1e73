//! Ports: what a container exposes, what a person asks to publish, and what is published.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::run::InRun;

/// A transport protocol that has ports. The numbers are IANA's protocol numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
    /// RFC 9260. Mapped, but not held on hosts whose kernel has no SCTP sockets.
    Sctp = 132,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            other => Err(Error::invalid(format!("{other:?} is not a protocol: tcp, udp and sctp are known"))),
        }
    }
}

/// A run of ports, both ends included, none of them 0: `80` or `8000-8010`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// From the first to the last, both included.
    pub fn new(first: u16, last: u16) -> Result<Self> {
        if first == 0 {
            return Err(Error::invalid("port 0 is no port"));
        }
        if last < first {
            return Err(Error::invalid(format!("the range of ports {first}-{last} ends before it starts")));
        }
        Ok(Self { first, last })
    }

    /// Just one port.
    pub fn single(port: u16) -> Result<Self> {
        Self::new(port, port)
    }

    /// The lowest port.
    pub fn first(&self) -> u16 {
        self.first
    }

    /// The highest port.
    pub fn last(&self) -> u16 {
        self.last
    }

    /// How many ports: 1 to 65,535.
    pub fn count(&self) -> u32 {
        u32::from(self.last - self.first) + 1
    }

    /// Every port, from the lowest.
    pub fn ports(&self) -> impl Iterator<Item = u16> + use<> {
        self.first..=self.last
    }

    /// Whether the other begins where it ends.
    pub(crate) fn is_before(&self, other: &PortRange) -> bool {
        self.last.checked_add(1) == Some(other.first)
    }

    /// From its first port to the last of another, which is no lower.
    pub(crate) fn up_to(&self, other: &PortRange) -> Self {
        Self { first: self.first, last: other.last.max(self.first) }
    }

    /// The single port that is so many further on than this one. None for several, and beyond the last.
    pub(crate) fn further(&self, ports: u16) -> Option<Self> {
        let port = self.first.checked_add(ports)?;
        (self.first == self.last).then_some(Self { first: port, last: port })
    }

    /// Whether all ports of the other are among its own.
    pub fn contains(&self, other: &PortRange) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Whether a port is common to both.
    pub fn overlaps(&self, other: &PortRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl fmt::Debug for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PortRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let port = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
            digits.then(|| part.parse::<u16>().ok()).flatten().ok_or_else(|| {
                Error::invalid(format!("{text:?} is neither a port from 1 to 65535 nor a range such as 8000-8010"))
            })
        };
        match text.split_once('-') {
            Some((first, last)) => Self::new(port(first)?, port(last)?),
            None => Self::single(port(text)?),
        }
    }
}

impl TryFrom<String> for PortRange {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// As its text, written in place: records hold thousands.
impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A port on which the container's program is said to listen: `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExposedPort {
    /// The ports.
    pub ports: PortRange,
    /// Their protocol.
    pub protocol: Protocol,
}

impl InRun for ExposedPort {
    fn further(&self, ports: u16) -> Option<Self> {
        Some(Self { ports: self.ports.further(ports)?, ..*self })
    }
}

impl fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ports, self.protocol)
    }
}

/// Which port of the host a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostPorts {
    /// Any free one of the host's ephemeral range (`net.ipv4.ip_local_port_range`).
    Ephemeral,
    /// These. As many as the container's: one to one. More, and the container's is a single port: the first free one.
    Within(PortRange),
}

/// What a person asks to publish: `[ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRequest {
    /// The protocol; `tcp` where the text names none.
    pub protocol: Protocol,
    /// The container's ports.
    pub container: PortRange,
    /// The address of the host to listen on; `None` is every address of both families.
    pub address: Option<IpAddr>,
    /// The host's ports.
    pub host: HostPorts,
}

impl PortRequest {
    /// Checks that the address can be listened on, and that the host's ports can be laid onto the container's.
    pub fn check(&self) -> Result<()> {
        let is_one_host = |address: &IpAddr| !address.is_multicast() && *address != IpAddr::V4(Ipv4Addr::BROADCAST);
        if let Some(address) = self.address.filter(|address| !is_one_host(address)) {
            return Err(Error::invalid(format!("publishing {self}: {address} is no address of one host")));
        }
        if let Some(IpAddr::V6(address)) =
            self.address.filter(|it| matches!(it, IpAddr::V6(it) if it.is_unicast_link_local()))
        {
            let why = "is a link-local address, which says nothing without its link; give another of the host's";
            return Err(Error::invalid(format!("publishing {self}: {address} {why}")));
        }
        match self.host {
            HostPorts::Ephemeral => Ok(()),
            HostPorts::Within(host) if host.count() == self.container.count() || self.container.count() == 1 => Ok(()),
            HostPorts::Within(host) => Err(Error::invalid(format!(
                "publishing {}: {} ports of the host ({host}) can't serve {} of the container ({})",
                self,
                host.count(),
                self.container.count(),
                self.container
            ))),
        }
    }
}

impl PortRequest {
    /// Whether a binding lies within what it says; a host port or address that it leaves open may be any, and where there
    /// is no host port, the one that was asked for made no difference.
    pub fn covers(&self, binding: &PortBinding) -> bool {
        let host = match self.host {
            HostPorts::Ephemeral => true,
            HostPorts::Within(host) => binding.host.is_none_or(|it| host.contains(&it)),
        };
        let address = self.address.is_none() || self.address == binding.address;
        host && address && self.protocol == binding.protocol && self.container.contains(&binding.container)
    }

    /// What it comes to where it takes no port of the host.
    pub fn opened(&self) -> PortBinding {
        PortBinding { protocol: self.protocol, address: self.address, host: None, container: self.container }
    }

    /// Whether another request lies within what it says.
    pub fn covers_request(&self, other: &PortRequest) -> bool {
        let host = self.host == HostPorts::Ephemeral || self.host == other.host;
        let address = self.address.is_none() || self.address == other.address;
        host && address && self.protocol == other.protocol && self.container.contains(&other.container)
    }
}

impl InRun for PortRequest {
    fn further(&self, ports: u16) -> Option<Self> {
        let host = match self.host {
            HostPorts::Ephemeral => HostPorts::Ephemeral,
            HostPorts::Within(host) => HostPorts::Within(host.further(ports)?),
        };
        Some(Self { container: self.container.further(ports)?, host, ..self.clone() })
    }
}

impl FromStr for PortRequest {
    type Err = Error;

    /// Reads Docker's `-p` syntax; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self> {
        let (rest, protocol) = match text.rsplit_once('/') {
            Some((rest, protocol)) => (rest, protocol.parse()?),
            None => (text, Protocol::Tcp),
        };
        let (address, ports) = split_address(rest).map_err(|error| error.doing(format!("reading {text:?}")))?;
        let (host, container) = match ports.split_once(':') {
            Some(("", container)) => (HostPorts::Ephemeral, container),
            Some((host, container)) => (HostPorts::Within(host.parse()?), container),
            None => (HostPorts::Ephemeral, ports),
        };
        let request = Self { protocol, container: container.parse()?, address, host };
        request.check()?;
        Ok(request)
    }
}

/// Splits `ADDRESS:` off, where there is one. The unspecified addresses `0.0.0.0` and `[::]` stay what they are: one family's wildcard.
fn split_address(text: &str) -> Result<(Option<IpAddr>, &str)> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, ports) = bracketed
            .split_once("]:")
            .ok_or_else(|| Error::invalid("after an address in brackets, ':' and a port are expected"))?;
        let address: std::net::Ipv6Addr =
            address.parse().map_err(|_| Error::invalid(format!("{address:?} is not an IPv6 address")))?;
        return Ok((Some(address.into()), ports));
    }
    match text.splitn(3, ':').collect::<Vec<_>>()[..] {
        [address, _, _] => {
            let parsed: std::net::Ipv4Addr = address.parse().map_err(|_| {
                Error::invalid(format!("{address:?} is not an IPv4 address (an IPv6 address stands in brackets)"))
            })?;
            Ok((Some(parsed.into()), &text[address.len() + 1..]))
        }
        _ => Ok((None, text)),
    }
}

impl fmt::Display for PortRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_address(f, self.address)?;
        match (self.host, self.address) {
            (HostPorts::Within(host), _) => write!(f, "{host}:")?,
            (HostPorts::Ephemeral, Some(_)) => f.write_str(":")?,
            (HostPorts::Ephemeral, None) => {}
        }
        write!(f, "{}/{}", self.container, self.protocol)
    }
}

/// What is published: every question of the request has its answer. Host and container ports, if there are host ports,
/// are equally many.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    /// The protocol.
    pub protocol: Protocol,
    /// The address of the host; `None` is every address of both families.
    pub address: Option<IpAddr>,
    /// The host's ports; `None` where the network is routed: the container's ports are opened at its own address, in the
    /// families of `address`.
    pub host: Option<PortRange>,
    /// The container's ports, one for one.
    pub container: PortRange,
}

impl InRun for PortBinding {
    fn further(&self, ports: u16) -> Option<Self> {
        let host = match self.host {
            None => None,
            Some(host) => Some(host.further(ports)?),
        };
        Some(Self { container: self.container.further(ports)?, host, ..self.clone() })
    }
}

/// As the request is written that gets just this.
impl fmt::Display for PortBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_address(f, self.address)?;
        match (self.host, self.address) {
            (Some(host), _) => write!(f, "{host}:")?,
            (None, Some(_)) => f.write_str(":")?,
            (None, None) => {}
        }
        write!(f, "{}/{}", self.container, self.protocol)
    }
}

fn write_address(f: &mut fmt::Formatter<'_>, address: Option<IpAddr>) -> fmt::Result {
    match address {
        None => Ok(()),
        Some(IpAddr::V4(address)) => write!(f, "{address}:"),
        Some(IpAddr::V6(address)) => write!(f, "[{address}]:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_back_as_they_were_written() {
        for text in [
            "80/tcp",
            "8080:80/tcp",
            "127.0.0.1:8080:80/udp",
            "[::1]:8080:80/tcp",
            "127.0.0.1::80/tcp",
            "8000-8010:80/sctp",
            "8000-8010:90-100/tcp",
        ] {
            assert_eq!(text.parse::<PortRequest>().unwrap().to_string(), text);
        }
        assert_eq!("80".parse::<PortRequest>().unwrap().protocol, Protocol::Tcp);
    }

    #[test]
    fn wrong_requests_are_refused() {
        for text in [
            "",
            "0",
            "224.0.0.1:80:80",
            "255.255.255.255:80:80",
            "[ff02::1]:80:80",
            "[fe80::1]:80:80",
            "65536",
            "80/icmp",
            "a:80",
            "1.2.3:1:2",
            "::1:1:2",
            "[::1]80",
            "9-8:80",
            "8000-8001:80-82",
            "+80",
            "1:2:3:4",
            "[::1]:",
            "80/",
            "-",
            "1-2-3",
        ] {
            assert!(text.parse::<PortRequest>().is_err(), "{text}");
        }
    }
}
