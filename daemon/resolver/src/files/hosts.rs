//! What a sandbox's hosts file and host name say.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use trestle_core::dns::{HostAddress, Naming};
use trestle_core::id::SandboxId;

use crate::directory::Picture;

/// What every host is to itself; the rest where there is IPv6.
const LOCAL_V4: &str = "127.0.0.1\tlocalhost\n";
const LOCAL_V6: &str = "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
                        ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// The name by which a sandbox knows itself, with its domain.
pub(super) fn host_name(naming: &Naming, sandbox: SandboxId) -> String {
    let name = naming.hostname.as_ref().map_or_else(|| sandbox.short(), ToString::to_string);
    match &naming.domain {
        Some(domain) => format!("{name}.{domain}"),
        None => name,
    }
}

/// Our part of the hosts file of a sandbox with a namespace of its own.
pub(super) fn own(picture: &Picture, sandbox: SandboxId, naming: &Naming) -> String {
    let has_ipv6 = picture.places_of(sandbox).any(|(place, _)| place.addresses.iter().any(IpAddr::is_ipv6));
    let mut text = String::from(LOCAL_V4);
    if has_ipv6 {
        text.push_str(LOCAL_V6);
    }
    text.push_str(&extra(picture, sandbox, naming));
    let full = host_name(naming, sandbox);
    let names = match full.split_once('.') {
        Some((short, _)) => format!("{full} {short}"),
        None => full,
    };
    let mut told = BTreeSet::new();
    for (place, zone) in picture.places_of(sandbox) {
        for address in place.addresses.iter().filter(|address| told.insert(**address)) {
            line(&mut text, *address, &names);
        }
        for (alias, others) in picture.linked(place, zone) {
            for address in others.iter().flat_map(|other| &other.addresses) {
                line(&mut text, *address, alias);
            }
        }
    }
    text
}

/// The lines that were asked for.
pub(super) fn extra(picture: &Picture, sandbox: SandboxId, naming: &Naming) -> String {
    let mut text = String::new();
    let gateways = || picture.places_of(sandbox).flat_map(|(_, zone)| &zone.gateways).copied();
    for host in &naming.hosts {
        let name = host.name.as_str();
        match host.address {
            HostAddress::Address(address) => line(&mut text, address, name),
            HostAddress::Gateway => {
                for is_family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
                    if let Some(address) = gateways().find(is_family) {
                        line(&mut text, address, name);
                    }
                }
            }
        }
    }
    text
}

fn line(text: &mut String, address: IpAddr, names: &str) {
    writeln!(text, "{address}\t{names}").expect("writing to a string can't fail");
}
