//! The values that options take: read, or refused with what is allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use trestle_core::name::IfName;
use trestle_core::resource::GatewayMode;
use trestle_core::{Error, Result};

use super::shown;
use crate::bridge::LinkSetting;

/// The lowest and highest MTU that a link can have (linux/if_ether.h `ETH_MIN_MTU`, `ETH_MAX_MTU`).
pub(crate) const MTU_RANGE: (u32, u32) = (68, 65535);

/// What kind of value an option has, and its field.
pub(crate) enum Value<T: 'static> {
    /// Yes or no.
    Flag(fn(&mut T) -> &mut bool),
    /// Yes or no, where not saying it is a third answer.
    Declared(fn(&mut T) -> &mut Option<bool>),
    /// The name of a link.
    Link(fn(&mut T) -> &mut Option<IfName>),
    /// Names of links.
    Links(fn(&mut T) -> &mut Vec<IfName>),
    /// What stands before the number in the name of a link.
    Prefix(fn(&mut T) -> &mut String),
    /// An address of the host; `None` is every one of both families.
    HostAddress(fn(&mut T) -> &mut Option<IpAddr>),
    /// An IPv4 address that packets bear outside.
    SourceV4(fn(&mut T) -> &mut Option<Ipv4Addr>),
    /// An IPv6 address that packets bear outside.
    SourceV6(fn(&mut T) -> &mut Option<Ipv6Addr>),
    /// How packets get into a network.
    Mode(fn(&mut T) -> &mut GatewayMode),
    /// Bytes a packet may have.
    Mtu(fn(&mut T) -> &mut Option<u32>),
    /// How many announcements.
    Announcements(fn(&mut T) -> &mut u8),
    /// How long between two announcements.
    Milliseconds(fn(&mut T) -> &mut u16),
    /// Settings of a link whose name is not known yet.
    Settings(fn(&mut T) -> &mut Vec<LinkSetting>),
}

impl<T> Value<T> {
    /// What values it takes, for a person.
    pub(super) fn allowed(&self) -> &'static str {
        match self {
            Self::Flag(_) | Self::Declared(_) => "true or false (also 1, t, T, TRUE, True; 0, f, F, FALSE, False)",
            Self::Link(_) => "the name of a link: up to 15 letters, digits, '_', '.' and '-'",
            Self::Links(_) => "names of links with ':' between them, each up to 15 letters, digits, '_', '.' and '-'",
            Self::Prefix(_) => "the beginning of a link's name: up to 12 letters, digits, '_', '.' and '-'",
            Self::HostAddress(_) => "an IPv4 or IPv6 address; 0.0.0.0 is every address of both families",
            Self::SourceV4(_) => "an IPv4 address of one host, not of its loopback",
            Self::SourceV6(_) => "an IPv6 address of one host, neither of its loopback nor of one link alone",
            Self::Mode(_) => "nat, nat-unprotected, routed or isolated",
            Self::Mtu(_) => "a number of bytes from 68 to 65535",
            Self::Announcements(_) => "a number from 0 to 3",
            Self::Milliseconds(_) => "a number from 100 to 2000",
            Self::Settings(_) => {
                "settings such as net.ipv4.conf.IFNAME.log_martians=1 with ',' between them: net, then ipv4, ipv6 or \
                 mpls, then conf or neigh, then the word IFNAME, then the setting's name"
            }
        }
    }

    /// Puts the value in its place.
    pub(super) fn read(&self, text: &str, options: &mut T) -> Result<()> {
        let wrong = |_| Error::invalid(format!("{:?} is not taken; allowed: {}", shown(text), self.allowed()));
        match self {
            Self::Flag(field) => *field(options) = flag(text).map_err(wrong)?,
            Self::Declared(field) => *field(options) = Some(flag(text).map_err(wrong)?),
            Self::Link(field) => *field(options) = Some(link(text, self.allowed())?),
            Self::Links(field) => *field(options) = links(text, self.allowed())?,
            Self::Prefix(field) => *field(options) = prefix(text).map_err(wrong)?,
            Self::HostAddress(field) => *field(options) = host_address(text).map_err(wrong)?,
            Self::SourceV4(field) => *field(options) = Some(source_v4(text).map_err(wrong)?),
            Self::SourceV6(field) => *field(options) = Some(source_v6(text).map_err(wrong)?),
            Self::Mode(field) => *field(options) = mode(text).map_err(wrong)?,
            Self::Mtu(field) => *field(options) = Some(number(text, MTU_RANGE).map_err(wrong)?),
            Self::Announcements(field) => *field(options) = number(text, (0, 3)).map_err(wrong)?,
            Self::Milliseconds(field) => *field(options) = number(text, (100, 2000)).map_err(wrong)?,
            Self::Settings(field) => *field(options) = settings(text, self.allowed())?,
        }
        Ok(())
    }
}

/// The text does not say such a value.
struct Wrong;

/// As Docker reads it: Go's `strconv.ParseBool`.
fn flag(text: &str) -> Result<bool, Wrong> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Wrong),
    }
}

/// A link's name knows best what is wrong with it.
fn link(text: &str, allowed: &str) -> Result<IfName> {
    IfName::try_from(text).map_err(|error| Error::invalid(format!("{}; allowed: {allowed}", error.cause())))
}

fn links(text: &str, allowed: &str) -> Result<Vec<IfName>> {
    let mut links: Vec<IfName> = Vec::new();
    for part in text.split(':') {
        let name = link(part, allowed)?;
        if links.contains(&name) {
            return Err(Error::invalid(format!("link {name} is named twice; allowed: {allowed}")));
        }
        links.push(name);
    }
    Ok(links)
}

fn prefix(text: &str) -> Result<String, Wrong> {
    let with_three_digits = IfName::try_from(format!("{text}999"));
    if text.is_empty() || with_three_digits.is_err() {
        return Err(Wrong);
    }
    Ok(text.to_owned())
}

fn host_address(text: &str) -> Result<Option<IpAddr>, Wrong> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Ok(None),
        Ok(address) if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) => Err(Wrong),
        Ok(address) => Ok(Some(address)),
        Err(_) => Err(Wrong),
    }
}

/// An address that others can answer to.
fn source_v4(text: &str) -> Result<Ipv4Addr, Wrong> {
    let of_nobody = |it: &Ipv4Addr| it.is_unspecified() || it.is_loopback() || it.is_multicast() || it.is_broadcast();
    text.parse().ok().filter(|it| !of_nobody(it)).ok_or(Wrong)
}

/// An address that others can answer to.
fn source_v6(text: &str) -> Result<Ipv6Addr, Wrong> {
    let of_nobody = |it: &Ipv6Addr| {
        let of_one_link = it.is_unicast_link_local() || it.to_ipv4_mapped().is_some();
        it.is_unspecified() || it.is_loopback() || it.is_multicast() || of_one_link
    };
    text.parse().ok().filter(|it| !of_nobody(it)).ok_or(Wrong)
}

fn mode(text: &str) -> Result<GatewayMode, Wrong> {
    match text {
        "nat" => Ok(GatewayMode::Nat),
        "nat-unprotected" => Ok(GatewayMode::NatUnprotected),
        "routed" => Ok(GatewayMode::Routed),
        "isolated" => Ok(GatewayMode::Isolated),
        _ => Err(Wrong),
    }
}

fn number<N: std::str::FromStr + PartialOrd>(text: &str, (lowest, highest): (N, N)) -> Result<N, Wrong> {
    let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if only_digits && (lowest..=highest).contains(&number) => Ok(number),
        _ => Err(Wrong),
    }
}

fn settings(text: &str, allowed: &str) -> Result<Vec<LinkSetting>> {
    let mut settings: Vec<LinkSetting> = Vec::new();
    for part in text.split(',') {
        let refused = |why: &str| Error::invalid(format!("{:?} {why}; allowed: {allowed}", shown(part)));
        let setting = LinkSetting::read(part.trim()).map_err(refused)?;
        if settings.iter().any(|it| it.is_of_the_same_name(&setting)) {
            return Err(refused("is said twice"));
        }
        settings.push(setting);
    }
    Ok(settings)
}
