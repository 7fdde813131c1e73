//! Which programs the kernel's packet filter: chosen by a person.

use std::fmt;
use std::str::FromStr;

/// What programs the kernel's packet filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// nf_tables, over netlink, in a table of our own.
    #[default]
    NfTables,
    /// iptables, by its programs, in chains of our own; the variant that the command `iptables` is if none is named.
    IpTables(Option<Variant>),
}

/// The two kinds of iptables, which don't see each other's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The rules lie in nf_tables.
    NfTables,
    /// The rules lie in the older x_tables.
    Legacy,
}

impl Variant {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::NfTables, Self::Legacy];

    /// What its program is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NfTables => "iptables-nft",
            Self::Legacy => "iptables-legacy",
        }
    }
}

impl Backend {
    /// Every one, as people name them.
    pub const NAMES: [&'static str; 4] = ["nftables", "iptables", "iptables-nft", "iptables-legacy"];
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NfTables => "nftables",
            Self::IpTables(None) => "iptables",
            Self::IpTables(Some(variant)) => variant.name(),
        })
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nftables" => Ok(Self::NfTables),
            "iptables" => Ok(Self::IpTables(None)),
            "iptables-nft" => Ok(Self::IpTables(Some(Variant::NfTables))),
            "iptables-legacy" => Ok(Self::IpTables(Some(Variant::Legacy))),
            other => Err(format!("{other:?} is not known; {} are", Self::NAMES.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        for name in Backend::NAMES {
            assert_eq!(name.parse::<Backend>().unwrap().to_string(), name);
        }
        assert!("pf".parse::<Backend>().unwrap_err().contains("iptables-legacy"));
    }
}
