//! Which processor and system something is for, in the words of the OCI: those of Go.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use trestle_core::error::{Error, Result};

/// A processor and a system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// `amd64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// `v8`; empty for the usual one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// This machine's.
    pub fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Self { architecture: architecture.into(), os: "linux".into(), variant: String::new() }
    }

    /// Whether what is for `other` can be taken where this is wanted. A variant that nobody tells is any.
    pub fn accepts(&self, other: &Self) -> bool {
        let same_variant = self.variant.is_empty() || other.variant.is_empty() || self.variant == other.variant;
        (&self.os, &self.architecture) == (&other.os, &other.architecture) && same_variant
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `os/architecture[/variant]`, or one of the first two alone.
    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !parts.iter().all(|part| word(part)) {
            return Err(Error::invalid(format!("{text:?} is no platform: linux/amd64 would be one")));
        }
        let whole = |architecture: &str, os: &str, variant: &str| Self {
            architecture: match architecture {
                "x86_64" | "x86-64" => "amd64".into(),
                "aarch64" => "arm64".into(),
                other => other.to_owned(),
            },
            os: os.to_lowercase(),
            variant: variant.into(),
        };
        match parts[..] {
            ["linux" | "windows" | "darwin" | "freebsd"] => Ok(whole(&Self::of_this_machine().architecture, text, "")),
            [architecture] => Ok(whole(architecture, "linux", "")),
            [os, architecture] => Ok(whole(architecture, os, "")),
            [os, architecture, variant] => Ok(whole(architecture, os, variant)),
            _ => Err(Error::invalid(format!("{text:?} is no platform: linux/amd64 would be one"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_read_in_all_ways_that_people_write_it() {
        let read = |text: &str| text.parse::<Platform>().map(|platform| platform.to_string()).ok();
        assert_eq!(read("linux/amd64").as_deref(), Some("linux/amd64"));
        assert_eq!(read("arm64").as_deref(), Some("linux/arm64"));
        assert_eq!(read("linux/arm/v7").as_deref(), Some("linux/arm/v7"));
        assert_eq!(read("linux/x86_64").as_deref(), Some("linux/amd64"));
        assert_eq!((read(""), read("a/b/c/d"), read("linux/")), (None, None, None));
    }

    #[test]
    fn a_variant_matters_only_where_both_tell_one() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        assert!(platform("linux/arm64").accepts(&platform("linux/arm64/v8")));
        assert!(!platform("linux/arm/v6").accepts(&platform("linux/arm/v7")));
        assert!(!platform("linux/amd64").accepts(&platform("linux/arm64")));
    }
}
