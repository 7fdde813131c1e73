//! The programs of iptables: which of them are here, and running them. They run in the network namespace of the thread
//! that starts them.

use std::io::{self, ErrorKind as Io, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use trestle_core::error::{Error, Result};

use super::Family;
use crate::firewall::backend::Variant;

/// Where programs are looked for: by the search path, and where systems have those of the administrator.
type Places = [&'static str; 3];

const HOSTS: [Places; 2] =
    [["iptables", "/usr/sbin/iptables", "/sbin/iptables"], ["ip6tables", "/usr/sbin/ip6tables", "/sbin/ip6tables"]];
const NFT: [Places; 2] = [
    ["iptables-nft", "/usr/sbin/iptables-nft", "/sbin/iptables-nft"],
    ["ip6tables-nft", "/usr/sbin/ip6tables-nft", "/sbin/ip6tables-nft"],
];
const LEGACY: [Places; 2] = [
    ["iptables-legacy", "/usr/sbin/iptables-legacy", "/sbin/iptables-legacy"],
    ["ip6tables-legacy", "/usr/sbin/ip6tables-legacy", "/sbin/ip6tables-legacy"],
];

/// How many seconds to wait for other programs that change rules of the legacy kind: they lock each other out.
const PATIENCE: &str = "30";

/// The programs of one variant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Programs {
    /// Which.
    pub(super) variant: Variant,
    v4: &'static str,
    v6: Option<&'static str>,
}

/// What a program refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The program's name and its own words.
    words: String,
    /// The line of the input that it is about.
    line: Option<String>,
}

impl Refusal {
    /// Told to a person.
    pub(super) fn error(self) -> Error {
        Error::internal(match self.line {
            Some(line) => format!("{} (the line is: {line})", self.words),
            None => self.words,
        })
    }
}

impl Programs {
    /// Finds those of a variant, or else those that the command `iptables` belongs to.
    ///
    /// # Errors
    /// `Unsupported` if there are none.
    pub(super) fn find(wanted: Option<Variant>) -> Result<Self> {
        let named = match wanted {
            None => None,
            Some(Variant::NfTables) => Self::found(NFT),
            Some(Variant::Legacy) => Self::found(LEGACY),
        };
        let Some(found) = named.or_else(|| Self::found(HOSTS)) else {
            return Err(Error::unsupported(
                "the firewall back end iptables needs the program iptables, which is not here; install it (Debian and its kin: apt install iptables), or take the back end nftables",
            ));
        };
        if let Some(wanted) = wanted.filter(|it| *it != found.variant) {
            return Err(Error::unsupported(format!(
                "the program {} is not here; the one that is, {}, is of the other kind",
                wanted.name(),
                found.v4
            )));
        }
        if found.v6.is_none() && has_ipv6() {
            return Err(Error::unsupported(format!(
                "{} is here and its companion for IPv6 is not; install it, for this host has IPv6",
                found.v4
            )));
        }
        Ok(found)
    }

    fn found(places: [Places; 2]) -> Option<Self> {
        let [v4, v6] = places.map(|places| places.into_iter().find_map(|program| Some((program, variant(program)?))));
        let (v4, variant) = v4?;
        Some(Self { variant, v4, v6: v6.filter(|it| it.1 == variant).map(|it| it.0) })
    }

    /// The families that rules are made for: without IPv6 in the kernel nothing of it needs any.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let v6 = self.v6.filter(|_| has_ipv6()).map(|_| Family::V6);
        std::iter::once(Family::V4).chain(v6)
    }

    /// The program for single rules of a family.
    pub(super) fn command(&self, family: Family) -> &'static str {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6.unwrap_or(HOSTS[1][0]),
        }
    }

    /// All rules of a family, as `iptables-save` prints them.
    pub(super) fn save(&self, family: Family) -> Result<std::result::Result<String, Refusal>> {
        let program = format!("{}-save", self.command(family));
        let output =
            Command::new(&program).stdin(Stdio::null()).output().map_err(|cause| unstarted(&program, &cause))?;
        match output.status.success() {
            true => Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned())),
            false => Ok(Err(refusal(&program, &output, ""))),
        }
    }

    /// Gives this to `iptables-restore`, which takes each table of it whole or not at all.
    pub(super) fn restore(&self, family: Family, input: &str) -> Result<std::result::Result<(), Refusal>> {
        let program = format!("{}-restore", self.command(family));
        let failed = |cause: io::Error| unstarted(&program, &cause);
        let mut child = Command::new(&program)
            .args(["--noflush", "-w", PATIENCE])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(failed)?;
        match (output.status.success(), written) {
            (true, Ok(())) => Ok(Ok(())),
            (true, Err(cause)) => Err(failed(cause)),
            // One that refuses a line does not read the rest.
            (false, _) => Ok(Err(refusal(&program, &output, input))),
        }
    }
}

/// Which variant a program is; `None` if there is no such program.
fn variant(program: &str) -> Option<Variant> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = match output {
        Ok(output) => output,
        Err(cause) => {
            if cause.kind() != Io::NotFound {
                tracing::warn!(%cause, program, "can't be started");
            }
            return None;
        }
    };
    let told = String::from_utf8_lossy(&output.stdout);
    // Before 1.8 there was but one kind, and it said nothing about itself.
    let variant = if told.contains("nf_tables") { Variant::NfTables } else { Variant::Legacy };
    output.status.success().then_some(variant)
}

/// Whether this kernel has IPv6 at all; where it is switched off, it may be switched on.
fn has_ipv6() -> bool {
    Path::new("/proc/thread-self/net/if_inet6").exists()
}

fn unstarted(program: &str, cause: &io::Error) -> Error {
    Error::internal(format!("running {program}: {cause}"))
}

fn refusal(program: &str, output: &Output, input: &str) -> Refusal {
    let told = String::from_utf8_lossy(&output.stderr);
    let lines = told.lines().map(str::trim).filter(|it| {
        !it.is_empty() && !it.starts_with("Try `") && !it.starts_with("Error occurred at line") && !it.starts_with("# ")
    });
    let words = lines.collect::<Vec<_>>().join(" ");
    let number = told.split_once("line").and_then(|(_, rest)| {
        let rest = rest.trim_start_matches([':', ' ']);
        rest.split(|it: char| !it.is_ascii_digit()).next()?.parse::<usize>().ok()
    });
    let line = number.and_then(|it| input.lines().nth(it.checked_sub(1)?)).map(str::to_owned);
    let words = match words.is_empty() {
        true => format!("{program} failed without a word ({})", output.status),
        false => format!("{program} says: {words}"),
    };
    Refusal { words, line }
}
