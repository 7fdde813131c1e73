//! Names of images: `[registry/]path[:tag][@digest]`, with the words that Docker lets people leave out.
//!
//! Grammar: <https://github.com/distribution/reference/blob/main/reference.go>.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use trestle_core::error::{Error, Result};

use super::digest::Digest;

/// The registry of names that tell none.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// The tag of names that tell none.
pub const DEFAULT_TAG: &str = "latest";

/// What is not written in front of official images.
const OFFICIAL: &str = "library/";

/// The longest registry and path together, in bytes.
const LONGEST_NAME: usize = 255;

/// The name of an image, complete but for the tag: `busybox` is `docker.io/library/busybox`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Host and port of the registry.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one was told.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of a manifest, if one was told.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether both are of one repository, whatever their tags.
    pub fn same_repository(&self, other: &Self) -> bool {
        (&self.registry, &self.path) == (&other.registry, &other.path)
    }

    /// The same, with `latest` where neither tag nor digest was told.
    #[must_use]
    pub fn tagged(self) -> Self {
        if self.tag.is_some() || self.digest.is_some() { self } else { self.with_tag(DEFAULT_TAG.to_owned()) }
    }

    /// The repository alone.
    #[must_use]
    pub fn repository(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    /// The same repository at a digest.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same repository with a tag of its own.
    ///
    /// # Errors
    /// `Invalid` for what can't be a tag.
    pub fn tag_as(&self, tag: &str) -> Result<Self> {
        match is_tag(tag) {
            true => Ok(self.repository().with_tag(tag.to_owned())),
            false => Err(Error::invalid("invalid tag format")),
        }
    }

    fn with_tag(mut self, tag: String) -> Self {
        self.tag = Some(tag);
        self
    }

    /// As people write it: without what is the default, as Docker prints it.
    pub fn familiar(&self) -> String {
        let mut text = self.familiar_name();
        if let Some(tag) = &self.tag {
            text.extend([":", tag]);
        }
        if let Some(digest) = &self.digest {
            text.extend(["@", &digest.to_string()]);
        }
        text
    }

    /// The repository as people write it.
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry, self.path);
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(path) if !path.contains('/') => path.to_owned(),
            _ => self.path.clone(),
        }
    }
}

/// Complete, as it is kept.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// # Errors
    /// `Invalid`, in Docker's words.
    fn from_str(text: &str) -> Result<Self> {
        if Digest::from_hex(text).is_some() {
            let cause = format!("invalid repository name ({text}), cannot specify 64-byte hexadecimal strings");
            return Err(Error::invalid(cause));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| malformed())?)),
            None => (text, None),
        };
        // A colon before the last slash is that of a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        let (registry, path) = split_registry(name);
        if path.to_lowercase() != path {
            return Err(Error::invalid(format!("{MALFORMED}: repository name ({path}) must be lowercase")));
        }
        let well_formed = is_registry(&registry) && path.split('/').all(is_component);
        if !well_formed || !tag.as_deref().is_none_or(is_tag) {
            return Err(malformed());
        }
        if registry.len() + 1 + path.len() > LONGEST_NAME {
            let cause = format!("repository name must not be more than {LONGEST_NAME} characters");
            return Err(Error::invalid(cause));
        }
        Ok(Self { registry, path, tag, digest })
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.to_string()
    }
}

const MALFORMED: &str = "invalid reference format";

fn malformed() -> Error {
    Error::invalid(MALFORMED)
}

/// Only what looks like a host is one: `localhost`, or with a dot, a port, or a capital letter.
fn split_registry(name: &str) -> (String, String) {
    let host = name
        .split_once('/')
        .filter(|(first, _)| first.contains(['.', ':']) || *first == "localhost" || first.to_lowercase() != **first);
    let (registry, path) = host.unwrap_or((DEFAULT_REGISTRY, name));
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    let path = match registry == DEFAULT_REGISTRY && !path.contains('/') {
        true => format!("{OFFICIAL}{path}"),
        false => path.to_owned(),
    };
    (registry.to_owned(), path)
}

/// A host name or address, an IPv6 address in brackets, with a port or without.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port.strip_prefix(':')),
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(is_label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Letters and digits, parted by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let parted = text.split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    let is_separator = |part: &str| matches!(part, "" | "." | "_" | "__") || part.bytes().all(|byte| byte == b'-');
    text.bytes().next().is_some_and(is_word)
        && text.bytes().last().is_some_and(is_word)
        && parted.into_iter().all(is_separator)
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complete(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|error| format!("error: {error}"), |reference| reference.to_string())
    }

    #[test]
    fn what_people_leave_out_is_filled_in_as_docker_does() {
        for (short, long) in [
            ("busybox", "docker.io/library/busybox"),
            ("index.docker.io/busybox:1", "docker.io/library/busybox:1"),
            ("user/app", "docker.io/user/app"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("[::1]:5000/app", "[::1]:5000/app"),
            ("quay.io/a__b/c-d--e.f_g", "quay.io/a__b/c-d--e.f_g"),
        ] {
            assert_eq!(complete(short), long);
            assert_eq!(complete(long), long);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_in_docker_s_words() {
        for wrong in ["", "a//b", "a/", "-a", "a-", "a..b", "a___b", "a:", "a:-", "a:b/c:", "a@sha256:12", "a b", "é"]
        {
            assert_eq!(complete(wrong), "error: invalid reference format", "{wrong}");
        }
        let shouted = "error: invalid reference format: repository name (library/UPPER) must be lowercase";
        assert_eq!(complete("UPPER"), shouted);
        assert!(complete(&"0".repeat(64)).contains("cannot specify 64-byte hexadecimal strings"));
        assert!(complete(&"a".repeat(300)).contains("must not be more than 255 characters"));
    }

    #[test]
    fn names_are_shown_as_people_write_them() {
        let digest = Digest::of(b"");
        for text in ["busybox:1", "user/app", "localhost:5000/app:x", &format!("busybox@{digest}")] {
            assert_eq!(text.parse::<Reference>().unwrap().familiar(), text);
        }
        assert_eq!("busybox".parse::<Reference>().unwrap().tagged().familiar(), "busybox:latest");
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_written_and_read_again(text in "[a-zA-Z0-9./:@_\\-\\[\\]]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
                prop_assert_eq!(&reference.familiar().parse::<Reference>().unwrap(), &reference);
            }
        }
    }
}
