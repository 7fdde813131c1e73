//! What a sandbox's resolv.conf says.

use std::fmt::Write;
use std::net::IpAddr;

use trestle_core::dns::Naming;
use trestle_core::id::SandboxId;
use trestle_core::resource::{NAME_SERVER_V4, NAME_SERVER_V6};

use crate::directory::Picture;
use crate::upstream::Defaults;
use crate::upstream::resolv_conf::ResolvConf;

/// Our part of resolv.conf. `host` is what the host's own says, without servers that only the host reaches.
pub(super) fn own(
    picture: &Picture,
    sandbox: SandboxId,
    naming: &Naming,
    host: &ResolvConf,
    defaults: &Defaults,
) -> String {
    let served = picture.server_of(sandbox);
    let servers: Vec<IpAddr> = match &served {
        Some(ours) if ours.v4 => vec![NAME_SERVER_V4.into()],
        Some(_) => vec![NAME_SERVER_V6.into()],
        None if !naming.servers.is_empty() => naming.servers.clone(),
        None if !defaults.servers.is_empty() => defaults.servers.clone(),
        None => host.servers.clone(),
    };
    let chosen = if naming.options.is_empty() { &defaults.options } else { &naming.options };
    let mut options: Vec<String> = match chosen.is_empty() {
        true => host.options.clone(),
        false => chosen.iter().map(|option| option.as_str().to_owned()).collect(),
    };
    // Names here have no dots, and are asked for as they are first.
    if served.is_some() && !options.iter().any(|option| option.starts_with("ndots:")) {
        options.push("ndots:0".into());
    }
    let search: Vec<String> = match naming.search.as_ref().or(defaults.search.as_ref()) {
        Some(search) => search.iter().map(ToString::to_string).collect(),
        None => host.search.clone(),
    };
    let mut text = String::new();
    for server in servers {
        writeln!(text, "nameserver {server}").expect("writing to a string can't fail");
    }
    for (key, words) in [("search", search), ("options", options)] {
        if !words.is_empty() {
            writeln!(text, "{key} {}", words.join(" ")).expect("writing to a string can't fail");
        }
    }
    text
}
