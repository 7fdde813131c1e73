//! Names that are right by construction: of networks, endpoints, sandboxes and links.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest name of a network, endpoint or sandbox, in bytes.
pub const LONGEST_NAME: usize = 253;

/// The longest name of a link, in bytes: `IFNAMSIZ` less the closing NUL (linux/if.h).
pub const LONGEST_LINK_NAME: usize = 15;

macro_rules! name {
    ($name:ident, $noun:literal, $check:path) => {
        #[doc = concat!("The name of ", $noun, ", checked when it was made.")]
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                match $check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(why) => Err(Error::invalid(format!("{:?} can't name {}: {why}", shown(&text), $noun))),
                }
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name!(NetworkName, "a network", check_name);
name!(EndpointName, "an endpoint", check_name);
name!(SandboxName, "a sandbox", check_name);
name!(IfName, "a link", check_link);

/// Letters, digits, `_`, `.` and `-`, the first a letter or digit: Docker's rule for names.
fn check_name(text: &str) -> std::result::Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.len() > LONGEST_NAME {
        return Err(format!("it is {} bytes long and {LONGEST_NAME} are allowed", text.len()));
    }
    if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err("it has to start with a letter or a digit".into());
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))) {
        Some(other) => Err(format!("{other:?} is not a letter, digit, '_', '.' or '-'")),
        None => Ok(()),
    }
}

/// What the kernel takes as a link's name (`dev_valid_name`), less what would confuse a person or a shell.
fn check_link(text: &str) -> std::result::Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.len() > LONGEST_LINK_NAME {
        return Err(format!("it is {} bytes long and the kernel allows {LONGEST_LINK_NAME}", text.len()));
    }
    if text == "." || text == ".." {
        return Err("the kernel reserves it".into());
    }
    if text == "lo" || text == "all" || text == "default" {
        return Err("the kernel uses it for something else".into());
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))) {
        Some(other) => Err(format!("{other:?} is not a letter, digit, '_', '.' or '-'")),
        None => Ok(()),
    }
}

/// At most the first forty characters, for an error's sake.
fn shown(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_docker_s() {
        for right in ["front", "a", "0-day", "back_end.v2", &"n".repeat(253)] {
            assert!(NetworkName::try_from(right).is_ok(), "{right}");
        }
        for wrong in ["", "-front", ".", "..", "a/b", "a b", "café", "a\0b", &"n".repeat(254)] {
            assert!(NetworkName::try_from(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn link_names_are_the_kernel_s() {
        assert!(IfName::try_from("eth0").is_ok());
        for wrong in ["", "lo", ".", "..", "sixteen-letters-", "a/b", "a:b", "a b", "all"] {
            assert!(IfName::try_from(wrong).is_err(), "{wrong}");
        }
    }
}
