//! Default address pools, as dockerd's flag and file tell them.

use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

/// Subnets that networks get when they ask for none: as many of the given size as the base holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultPool {
    /// What is cut up.
    pub base: IpNet,
    /// The prefix length of each piece.
    pub size: u8,
}

/// The same as text in the file: `{"base": "10.0.0.0/8", "size": 24}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolEntry {
    base: String,
    size: u8,
}

impl DefaultPool {
    fn new(base: &str, size: u8) -> Result<Self, String> {
        let net: IpNet = base.parse().map_err(|_| format!("base {base:?} is not a subnet such as 10.0.0.0/8"))?;
        if net != net.trunc() {
            return Err(format!("base {net} has bits behind its prefix; {} was meant?", net.trunc()));
        }
        // A network needs room for its gateway and one container besides what the family reserves.
        let most = net.max_prefix_len() - 2;
        if size < net.prefix_len() || size > most {
            return Err(format!("size {size} is not from {} (the base's own) to {most}", net.prefix_len()));
        }
        Ok(Self { base: net, size })
    }
}

impl TryFrom<PoolEntry> for DefaultPool {
    type Error = String;

    fn try_from(entry: PoolEntry) -> Result<Self, String> {
        Self::new(&entry.base, entry.size)
    }
}

impl FromStr for DefaultPool {
    type Err = String;

    /// Reads `base=10.0.0.0/8,size=24`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (mut base, mut size) = (None, None);
        for part in text.split(',') {
            let before = match part.split_once('=') {
                Some(("base", value)) => base.replace(value),
                Some(("size", value)) => size.replace(value),
                _ => return Err(format!("{part:?} is neither base=SUBNET nor size=PREFIX-LENGTH")),
            };
            if before.is_some() {
                return Err(format!("{part:?} comes a second time"));
            }
        }
        let (Some(base), Some(size)) = (base, size) else {
            return Err("both are needed, as in base=10.0.0.0/8,size=24".into());
        };
        let size = size.parse().map_err(|_| format!("size {size:?} is not a prefix length"))?;
        Self::new(base, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_read_in_either_order() {
        let pool: DefaultPool = "size=24,base=10.0.0.0/8".parse().unwrap();
        assert_eq!(pool, DefaultPool { base: "10.0.0.0/8".parse().unwrap(), size: 24 });
        assert!("base=fd00::/48,size=64".parse::<DefaultPool>().is_ok());
    }

    #[test]
    fn wrong_pools_are_refused() {
        for (wrong, names) in [
            ("", "neither base=SUBNET"),
            ("base=10.0.0.0/8", "both are needed"),
            ("base=10.0.0.0/8,size=7", "size 7"),
            ("base=10.0.0.0/8,size=31", "size 31"),
            ("base=10.0.0.0/8,size=x", "\"x\""),
            ("base=10.0.0.1/8,size=24", "10.0.0.0/8 was meant"),
            ("base=10.0.0.0,size=24", "is not a subnet"),
            ("base=10.0.0.0/8,base=11.0.0.0/8,size=24", "second time"),
            ("base=10.0.0.0/8,size=24,mtu=3", "mtu=3"),
        ] {
            let refusal = wrong.parse::<DefaultPool>().unwrap_err();
            assert!(refusal.contains(names), "{wrong}: {refusal}");
        }
    }
}
