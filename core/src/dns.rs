//! Names as DNS has them: what an endpoint is called, and what a sandbox is told about names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest name, in bytes, its closing dot left out (RFC 1035, 2.3.4).
pub const LONGEST_DNS_NAME: usize = 253;

/// The longest part of a name between two dots, in bytes (RFC 1035, 2.3.4).
pub const LONGEST_LABEL: usize = 63;

/// A host's or a domain's name, checked when it was made: in lower case and without a closing dot, so that equal names
/// are equal texts. Letters, digits, `-` and `_`, which names of containers have.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

impl DnsName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DnsName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let name = text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase();
        match fault(&name) {
            None => Ok(Self(name)),
            Some(why) => Err(Error::invalid(format!("{text:?} is no name of a host: {why}"))),
        }
    }
}

impl TryFrom<&str> for DnsName {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        text.to_owned().try_into()
    }
}

impl FromStr for DnsName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.try_into()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> String {
        name.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".into());
    }
    if name.len() > LONGEST_DNS_NAME {
        return Some(format!("it is {} bytes long and {LONGEST_DNS_NAME} are allowed", name.len()));
    }
    if let Some(other) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))) {
        return Some(format!("{other:?} is not a letter, digit, '_', '.' or '-'"));
    }
    let long = |label: &str| format!("{label} has {} bytes and {LONGEST_LABEL} are allowed", label.len());
    name.split('.').find_map(|label| match label.len() {
        0 => Some("between two dots there is nothing".into()),
        1..=LONGEST_LABEL => None,
        _ => Some(long(label)),
    })
}

/// An option for the programs in a sandbox that look up names, as resolv.conf has it: `ndots:1`, `rotate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsOption(String);

impl DnsOption {
    /// The option as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before its colon.
    pub fn key(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl TryFrom<String> for DnsOption {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        match !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) {
            true => Ok(Self(text)),
            false => Err(Error::invalid(format!("{text:?} is no option of resolv.conf: one word is expected"))),
        }
    }
}

impl FromStr for DnsOption {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.to_owned().try_into()
    }
}

impl From<DnsOption> for String {
    fn from(option: DnsOption) -> String {
        option.0
    }
}

/// What an endpoint is called beside its own name, and what it calls others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointNames {
    /// Names that everybody on its network knows it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<DnsName>,
    /// Names that only its own sandbox knows, for others on its network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
}

impl EndpointNames {
    /// Whether there is nothing beside the endpoint's own name.
    pub fn is_empty(&self) -> bool {
        self.aliases.is_empty() && self.links.is_empty()
    }
}

/// A name that one sandbox has for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What the other one is called on the network, by everybody.
    pub to: DnsName,
    /// What it is called here.
    pub alias: DnsName,
}

impl FromStr for Link {
    type Err = Error;

    /// Reads `NAME:ALIAS`, or `NAME` for both.
    fn from_str(text: &str) -> Result<Self> {
        let (to, alias) = text.split_once(':').unwrap_or((text, text));
        Ok(Self { to: to.try_into()?, alias: alias.try_into()? })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.to, self.alias)
    }
}

/// What a sandbox is told about names: who it is, whom it asks, and whom it knows without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Naming {
    /// Its own name; `None` is the beginning of its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<DnsName>,
    /// The domain that its name is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DnsName>,
    /// Who is asked for names that nobody here has; none is the host's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
    /// Who is asked for names in certain domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<DomainServers>,
    /// Domains that short names are looked for in; `None` is the host's, and an empty list is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Vec<DnsName>>,
    /// Options for its programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<DnsOption>,
    /// More lines of its hosts file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<ExtraHost>,
}

/// Who is asked for names in one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainServers {
    /// The domain.
    pub domain: DnsName,
    /// Those who know it.
    pub servers: Vec<IpAddr>,
}

impl FromStr for DomainServers {
    type Err = Error;

    /// Reads `DOMAIN=SERVER`, with more servers behind commas.
    fn from_str(text: &str) -> Result<Self> {
        let Some((domain, servers)) = text.split_once('=') else {
            return Err(Error::invalid(format!("{text:?}: DOMAIN=SERVER is expected")));
        };
        let server = |text: &str| text.parse().map_err(|_| Error::invalid(format!("{text:?} is not an address")));
        Ok(Self { domain: domain.try_into()?, servers: servers.split(',').map(server).collect::<Result<_>>()? })
    }
}

impl fmt::Display for DomainServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.servers.iter().map(IpAddr::to_string).collect();
        write!(f, "{}={}", self.domain, servers.join(","))
    }
}

/// A line of a hosts file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraHost {
    /// The name.
    pub name: DnsName,
    /// Where it leads.
    pub address: HostAddress,
}

impl FromStr for ExtraHost {
    type Err = Error;

    /// Reads `NAME:ADDRESS` or `NAME=ADDRESS`, with `host-gateway` or an address, which may stand in brackets.
    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('=').or_else(|| text.split_once(':'));
        let Some((name, address)) = parts else {
            return Err(Error::invalid(format!("{text:?}: NAME:ADDRESS is expected")));
        };
        let bare = address.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(address);
        let address = match bare {
            HOST_GATEWAY => HostAddress::Gateway,
            _ => HostAddress::Address(bare.parse().map_err(|_| {
                Error::invalid(format!("{text:?}: {address:?} is neither an address nor {HOST_GATEWAY}"))
            })?),
        };
        Ok(Self { name: name.try_into()?, address })
    }
}

impl fmt::Display for ExtraHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            HostAddress::Address(address) => write!(f, "{}:{address}", self.name),
            HostAddress::Gateway => write!(f, "{}:{HOST_GATEWAY}", self.name),
        }
    }
}

/// The word for [`HostAddress::Gateway`], as Docker has it.
const HOST_GATEWAY: &str = "host-gateway";

/// Where a line of a hosts file leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostAddress {
    /// There.
    Address(IpAddr),
    /// To the host: the address by which the sandbox reaches it.
    Gateway,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_dns_compares_them() {
        assert_eq!(DnsName::try_from("Web.Example.").unwrap(), DnsName::try_from("web.example").unwrap());
        for right in ["a", "my_web-1", "1.2", &"l".repeat(63)] {
            assert!(DnsName::try_from(right).is_ok(), "{right}");
        }
        for wrong in ["", ".", "a..b", ".a", "a b", "a/b", "é", &"l".repeat(64), &"ab.".repeat(100)] {
            assert!(DnsName::try_from(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn extra_hosts_are_read_as_docker_reads_them() {
        let read = |text: &str| text.parse::<ExtraHost>();
        assert_eq!(read("db:10.0.0.9").unwrap().to_string(), "db:10.0.0.9");
        assert_eq!(read("db:fd00::9").unwrap(), read("db=[fd00::9]").unwrap());
        assert_eq!(read("gw:host-gateway").unwrap().address, HostAddress::Gateway);
        for wrong in ["db", "db:", ":10.0.0.9", "db:ten", "d b:10.0.0.9"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_domain_names_its_servers() {
        let domain: DomainServers = "corp.example=10.0.0.5,fd00::5".parse().unwrap();
        assert_eq!((domain.servers.len(), domain.to_string().as_str()), (2, "corp.example=10.0.0.5,fd00::5"));
        for wrong in ["corp.example", "corp.example=", "=10.0.0.5", "corp.example=ten"] {
            assert!(wrong.parse::<DomainServers>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_link_names_both_ends_or_one_for_both() {
        assert_eq!("db".parse::<Link>().unwrap(), "db:db".parse().unwrap());
        assert_eq!("db:Store".parse::<Link>().unwrap().to_string(), "db:store");
        assert!("db:".parse::<Link>().is_err());
    }

    #[test]
    fn an_option_is_one_word() {
        assert_eq!("ndots:2".parse::<DnsOption>().unwrap().key(), "ndots");
        for wrong in ["", "a b", "a\nnameserver 1.2.3.4"] {
            assert!(wrong.parse::<DnsOption>().is_err(), "{wrong:?}");
        }
    }
}
