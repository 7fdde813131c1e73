//! The files of ours that are mounted into a container: its host name, the hosts it knows, its name servers.

use std::fs;
use std::path::{Path, PathBuf};

use trestle_core::{Error, Result};

use super::config::{NetworkMode, UtsMode};
use super::record::Record;

/// The container's host name: its own, the host's where it lives there, or one made of its id.
pub(super) fn hostname(record: &Record) -> String {
    let own = &record.config.hostname;
    let lives_there =
        record.host_config.network_mode == NetworkMode::Host || record.host_config.uts_mode == UtsMode::Host;
    match (own.is_empty(), lives_there) {
        (false, _) => own.clone(),
        (true, true) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        (true, false) => record.short(),
    }
}

/// Writes them into the container's folder; each with the path in the container.
pub(super) fn write(record: &Record, folder: &Path, hostname: &str) -> Result<Vec<(PathBuf, &'static str)>> {
    let full = match record.config.domainname.as_str() {
        "" => hostname.to_owned(),
        domain => format!("{hostname}.{domain}"),
    };
    let texts = [
        ("hostname", "/etc/hostname", format!("{full}\n")),
        ("hosts", "/etc/hosts", hosts(record, &full, hostname)?),
        ("resolv.conf", "/etc/resolv.conf", name_servers(record)?),
    ];
    let mut mounts = Vec::new();
    for (name, inside, text) in texts {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|cause| Error::internal(format!("writing {}: {cause}", path.display())))?;
        mounts.push((path, inside));
    }
    Ok(mounts)
}

fn hosts(record: &Record, full: &str, hostname: &str) -> Result<String> {
    let mut text = match record.host_config.network_mode {
        NetworkMode::Host => read_host("/etc/hosts")?,
        _ => "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
              ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
            .to_owned(),
    };
    for extra in &record.host_config.extra_hosts {
        if let Some((name, address)) = extra.split_once([':', '=']) {
            text.push_str(&format!("{}\t{name}\n", address.trim_matches(['[', ']'])));
        }
    }
    if record.host_config.network_mode == NetworkMode::None {
        let names = if full == hostname { full.to_owned() } else { format!("{full} {hostname}") };
        text.push_str(&format!("127.0.1.1\t{names}\n"));
    }
    Ok(text)
}

/// The host's, with what the container says in its place.
fn name_servers(record: &Record) -> Result<String> {
    let asked = &record.host_config;
    let host = read_host("/etc/resolv.conf")?;
    let mut text = String::new();
    let parts = [("nameserver", &asked.dns), ("search", &asked.dns_search), ("options", &asked.dns_options)];
    for (word, own) in parts {
        match (word, own.is_empty()) {
            ("nameserver", false) => own.iter().for_each(|it| text.push_str(&format!("nameserver {it}\n"))),
            // A single dot takes the host's away.
            ("search", false) if own[..] == ["."] => {}
            (word, false) => text.push_str(&format!("{word} {}\n", own.join(" "))),
            (word, true) => {
                host.lines()
                    .filter(|line| line.split_whitespace().next() == Some(word))
                    .for_each(|line| text.push_str(&format!("{line}\n")));
            }
        }
    }
    Ok(text)
}

/// A file of the host's; nothing where there is none.
fn read_host(path: &str) -> Result<String> {
    match fs::read_to_string(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|cause| Error::internal(format!("reading {path}: {cause}"))),
    }
}
