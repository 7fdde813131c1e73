//! Settings of a container's link, asked for before the link has its name.

use trestle_core::name::IfName;
use trestle_core::resource::{Namespace, Sysctl};

/// One of `/proc/sys/net`, such as `net.ipv4.conf.IFNAME.log_martians=1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSetting {
    /// `ipv4`, `ipv6` or `mpls`.
    family: String,
    /// `conf` or `neigh`.
    kind: String,
    name: String,
    value: String,
}

/// The word that stands where the link's name will be.
const PLACEHOLDER: &str = "IFNAME";

/// No value of the kernel's needs more.
const LONGEST_VALUE: usize = 128;

impl LinkSetting {
    /// Reads one; else says what is wrong with it. Whether the kernel has such a setting, only the kernel knows.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        let (key, value) = text.split_once('=').ok_or("has no '=' and value")?;
        let ["net", family @ ("ipv4" | "ipv6" | "mpls"), kind @ ("conf" | "neigh"), PLACEHOLDER, name] =
            key.split('.').collect::<Vec<_>>()[..]
        else {
            return Err("is no setting of the endpoint's link");
        };
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_of_name) {
            return Err("has no name of a setting");
        }
        if name == "addr_gen_mode" {
            return Err("is set by Trestle, which gives links their addresses");
        }
        let is_of_value = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if value.trim().is_empty() || value.len() > LONGEST_VALUE || !value.bytes().all(is_of_value) {
            return Err("has no value that a setting can have");
        }
        let [family, kind, name, value] = [family, kind, name, value.trim()].map(str::to_owned);
        Ok(Self { family, kind, name, value })
    }

    /// Whether both set the same thing.
    pub(crate) fn is_of_the_same_name(&self, other: &Self) -> bool {
        (&self.family, &self.kind, &self.name) == (&other.family, &other.kind, &other.name)
    }

    /// Whether it would take the link's IPv6 away.
    pub(super) fn ends_ipv6(&self) -> bool {
        self.family == "ipv6" && self.kind == "conf" && self.name == "disable_ipv6" && self.value != "0"
    }

    /// The setting of this link. It goes with the link, so it is never put back.
    pub(super) fn of(&self, namespace: &Namespace, link: &IfName) -> Sysctl {
        let Self { family, kind, name, value } = self;
        Sysctl {
            namespace: namespace.clone(),
            key: format!("net/{family}/{kind}/{link}/{name}"),
            value: value.clone(),
            prior: None,
            put_back: false,
        }
    }
}
