//! What the daemon is told about names.

use std::net::IpAddr;

use trestle_core::dns::{DnsName, DnsOption, DomainServers};
use trestle_resolver::Limits;
use trestle_resolver::upstream::Defaults;

use super::Faults;

/// For sandboxes that don't say, and for all of them together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSettings {
    /// For sandboxes that don't say.
    pub defaults: Defaults,
    /// How much is done at once.
    pub limits: Limits,
}

/// The same as it was written.
#[derive(Default)]
pub(super) struct Written {
    pub(super) servers: Vec<String>,
    pub(super) search: Vec<String>,
    pub(super) options: Vec<String>,
    pub(super) domains: Vec<String>,
    pub(super) limits: Vec<String>,
}

impl NameSettings {
    pub(super) fn read(written: Written, faults: &mut Faults) -> Self {
        let servers = faults.each("dns", written.servers, |text: String| {
            text.parse::<IpAddr>().map_err(|_| format!("{text:?} is not an address"))
        });
        let search = faults.each("dns-search", written.search, |text: String| match text.as_str() {
            "." => Ok(None),
            _ => DnsName::try_from(text).map(Some).map_err(|error| error.to_string()),
        });
        let options = faults
            .each("dns-opts", written.options, |text: String| text.parse::<DnsOption>().map_err(|e| e.to_string()));
        let domains = faults.each("dns-domains", written.domains, |text: String| {
            text.parse::<DomainServers>().map_err(|error| error.to_string())
        });
        let mut limits = Limits::default();
        faults.each("dns-limits", written.limits, |text: String| set(&mut limits, &text));
        let search = (!search.is_empty()).then(|| search.into_iter().flatten().collect());
        Self { defaults: Defaults { servers, search, options, domains }, limits }
    }
}

/// Reads `KEY=NUMBER`.
fn set(limits: &mut Limits, text: &str) -> Result<(), String> {
    let (key, number) = text.split_once('=').ok_or_else(|| format!("{text:?}: KEY=NUMBER is expected"))?;
    let number = number.parse().map_err(|_| format!("{text:?}: {number:?} is not a number"))?;
    let place = match key {
        "forwards" => &mut limits.forwards,
        "forwards-of-one" => &mut limits.forwards_of_one,
        "connections-of-one" => &mut limits.connections_of_one,
        "kept" => &mut limits.kept,
        _ => {
            return Err(format!(
                "{text:?}: {key:?} is not known; forwards, forwards-of-one, connections-of-one and kept are"
            ));
        }
    };
    /// What a semaphore can count.
    const MOST: usize = 1 << 24;
    match number {
        0..=MOST => {
            *place = number;
            Ok(())
        }
        _ => Err(format!("{text:?}: at most {MOST} is allowed")),
    }
}
