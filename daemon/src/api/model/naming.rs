//! What a sandbox is told about names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use trestle_core::dns::{DnsName, DnsOption, DomainServers, ExtraHost, Naming};
use trestle_core::{Doing, Result};

use super::{read, shown};

/// Who a sandbox is, whom it asks for names, and whom it knows without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamingWishes {
    /// Its own name; the beginning of its id if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The domain that its name is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Addresses of servers that are asked for names which nobody here has; the daemon's if not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Servers for certain domains: `corp.example=10.0.0.5,10.0.0.6`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Domains that short names are looked for in; `.` is none, and the daemon's if not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options for its programs, as resolv.conf has them: `ndots:1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// More lines of its hosts file: `NAME:ADDRESS`, or `NAME:host-gateway`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

impl NamingWishes {
    /// Whether nothing is wished.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is asked of the controller.
    ///
    /// # Errors
    /// `Invalid`, with the field's name.
    pub fn read(self) -> Result<Naming> {
        let search: Vec<String> = self.search.iter().filter(|text| *text != ".").cloned().collect();
        Ok(Naming {
            hostname: self.hostname.map(|text| DnsName::try_from(text).doing(|| "hostname")).transpose()?,
            domain: self.domainname.map(|text| DnsName::try_from(text).doing(|| "domainname")).transpose()?,
            servers: self
                .servers
                .iter()
                .enumerate()
                .map(|(at, text)| read(format!("servers[{at}]"), text, "an address"))
                .collect::<Result<_>>()?,
            domains: each("domains", &self.domains, str::parse::<DomainServers>)?,
            search: (!self.search.is_empty()).then(|| names("search", &search)).transpose()?,
            options: each("options", &self.options, str::parse::<DnsOption>)?,
            hosts: each("hosts", &self.hosts, str::parse::<ExtraHost>)?,
        })
    }

    /// As the controller knows it.
    pub fn of(naming: &Naming) -> Self {
        let search = naming.search.as_ref().map(|search| match search.is_empty() {
            true => vec![".".to_owned()],
            false => search.iter().map(ToString::to_string).collect(),
        });
        Self {
            hostname: naming.hostname.as_ref().map(ToString::to_string),
            domainname: naming.domain.as_ref().map(ToString::to_string),
            servers: naming.servers.iter().map(ToString::to_string).collect(),
            domains: naming.domains.iter().map(ToString::to_string).collect(),
            search: search.unwrap_or_default(),
            options: naming.options.iter().map(|option| option.as_str().to_owned()).collect(),
            hosts: naming.hosts.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Names of hosts or domains.
pub(super) fn names(field: &str, texts: &[String]) -> Result<Vec<DnsName>> {
    each(field, texts, str::parse::<DnsName>)
}

/// Reads each text; an error names its place.
pub(super) fn each<T>(field: &str, texts: &[String], read: fn(&str) -> Result<T>) -> Result<Vec<T>> {
    let texts = texts.iter().enumerate();
    texts.map(|(index, text)| read(text).doing(|| format!("{field}[{index}]: {:?}", shown(text)))).collect()
}

/// Where the files are that tell a sandbox who it is, for whoever mounts them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Files {
    /// For `/etc/hosts`.
    pub hosts: String,
    /// For `/etc/hostname`.
    pub hostname: String,
    /// For `/etc/resolv.conf`.
    pub resolv_conf: String,
}

impl From<trestle_resolver::files::Files> for Files {
    fn from(files: trestle_resolver::files::Files) -> Self {
        let text = |path: std::path::PathBuf| path.display().to_string();
        Self { hosts: text(files.hosts), hostname: text(files.hostname), resolv_conf: text(files.resolv_conf) }
    }
}
