//! One table of labels: what reads an option also refuses and documents it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use trestle_core::driver::OptionDoc;
use trestle_core::name::IfName;
use trestle_core::{Doing, Error, Result};

/// The lowest and highest MTU that a link can have (linux/if_ether.h `ETH_MIN_MTU`, `ETH_MAX_MTU`).
pub(crate) const MTU_RANGE: (u32, u32) = (68, 65535);

/// One option: its key, what it does, and where its value goes in the options `T` that are being read.
pub(crate) struct Label<T: 'static> {
    pub(crate) key: &'static str,
    pub(crate) default: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) value: Value<T>,
}

/// What kind of value an option has, and its field.
pub(crate) enum Value<T: 'static> {
    /// Yes or no.
    Flag(fn(&mut T) -> &mut bool),
    /// Yes or no, where not saying it is a third answer.
    Declared(fn(&mut T) -> &mut Option<bool>),
    /// The name of a link.
    Link(fn(&mut T) -> &mut Option<IfName>),
    /// What stands before the number in the name of a link.
    Prefix(fn(&mut T) -> &mut String),
    /// An address of the host; `None` is every one of both families.
    HostAddress(fn(&mut T) -> &mut Option<IpAddr>),
    /// Bytes a packet may have.
    Mtu(fn(&mut T) -> &mut Option<u32>),
    /// Known, with these values, but of a later version.
    NotYet(&'static str),
}

/// Reads the options by the table.
///
/// An option of another domain (`org.example.colour`) is its owner's affair and left alone; one of Docker's domain, or
/// of none, that the table does not have is a mistake and refused.
pub(crate) fn read<T: Default>(labels: &[Label<T>], options: &BTreeMap<String, String>) -> Result<T> {
    let mut read = T::default();
    for (key, text) in options {
        match labels.iter().find(|label| label.key == key) {
            Some(label) => label.value.read(text, &mut read).doing(|| format!("reading option {key}"))?,
            None if is_strangers(key) => {}
            None => return Err(unknown(key, labels.iter().map(|label| label.key))),
        }
    }
    Ok(read)
}

/// The table as documentation.
pub(crate) fn documentation<T>(labels: &[Label<T>]) -> Vec<OptionDoc> {
    let document = |label: &Label<T>| OptionDoc {
        key: label.key.to_owned(),
        values: label.value.allowed().to_owned(),
        default: label.default.to_owned(),
        meaning: label.meaning.to_owned(),
        supported: !matches!(label.value, Value::NotYet(_)),
    };
    labels.iter().map(document).collect()
}

impl<T> Value<T> {
    /// What values it takes, for a person.
    fn allowed(&self) -> &'static str {
        match self {
            Self::Flag(_) | Self::Declared(_) => "true or false (also 1, t, T, TRUE, True; 0, f, F, FALSE, False)",
            Self::Link(_) => "the name of a link: up to 15 letters, digits, '_', '.' and '-'",
            Self::Prefix(_) => "the beginning of a link's name: up to 12 letters, digits, '_', '.' and '-'",
            Self::HostAddress(_) => "an IPv4 or IPv6 address; 0.0.0.0 is every address of both families",
            Self::Mtu(_) => "a number of bytes from 68 to 65535",
            Self::NotYet(allowed) => allowed,
        }
    }

    /// Puts the value in its place.
    fn read(&self, text: &str, options: &mut T) -> Result<()> {
        let wrong = |_| Error::invalid(format!("{:?} is not taken; allowed: {}", shown(text), self.allowed()));
        match self {
            Self::Flag(field) => *field(options) = flag(text).map_err(wrong)?,
            Self::Declared(field) => *field(options) = Some(flag(text).map_err(wrong)?),
            Self::Link(field) => *field(options) = Some(link(text, self.allowed())?),
            Self::Prefix(field) => *field(options) = prefix(text).map_err(wrong)?,
            Self::HostAddress(field) => *field(options) = host_address(text).map_err(wrong)?,
            Self::Mtu(field) => *field(options) = Some(mtu(text).map_err(wrong)?),
            Self::NotYet(_) => return Err(Error::unsupported("not yet: this version can't do what it asks for")),
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

fn mtu(text: &str) -> Result<u32, Wrong> {
    let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(mtu) if only_digits && (MTU_RANGE.0..=MTU_RANGE.1).contains(&mtu) => Ok(mtu),
        _ => Err(Wrong),
    }
}

/// Whether the option belongs to somebody else's domain.
fn is_strangers(key: &str) -> bool {
    key.contains('.') && !key.starts_with("com.docker.")
}

fn unknown(key: &str, known: impl Iterator<Item = &'static str>) -> Error {
    let shown = shown(key);
    match known.min_by_key(|candidate| distance(&shown, candidate)) {
        Some(nearest) => Error::invalid(format!("there is no option {shown:?}; the nearest known one is {nearest}")),
        None => Error::invalid(format!("there is no option {shown:?}; none is known")),
    }
}

/// How far a key is from a known one: as a whole, or by its last word, whichever is nearer.
fn distance(key: &str, known: &str) -> usize {
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    edits(key, known).min(edits(&last(key), &last(known)))
}

/// The least number of letters to insert, delete or replace (Levenshtein's distance).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, same) in other.iter().map(|it| *it == letter).enumerate() {
            let replaced = diagonal + usize::from(!same);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

/// At most the first eighty characters, for an error's sake.
fn shown(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", "mtu"), 3);
        assert_eq!(edits("mtu", "mtu"), 0);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
