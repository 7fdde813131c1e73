//! Names of containers: Docker's rule, and names for those who think of none.

use std::fmt;

use serde::{Deserialize, Serialize};
use trestle_core::entropy::Entropy;
use trestle_core::{Error, Result};

/// The name of a container, without the slash that Docker writes before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

impl ContainerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One that nobody thought of: two words, and a number too after some attempts that found it taken.
    pub fn invented(entropy: &dyn Entropy, attempt: u32) -> Self {
        let mut bytes = [0; 3];
        entropy.fill(&mut bytes);
        let [first, second, number] = bytes.map(usize::from);
        let words = format!("{}_{}", QUALITIES[first % QUALITIES.len()], THINGS[second % THINGS.len()]);
        Self(if attempt < 4 { words } else { format!("{words}{number}") })
    }
}

impl TryFrom<String> for ContainerName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let name = text.strip_prefix('/').unwrap_or(&text);
        let good = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '.' | '-');
        if name.len() < 2 || !name.starts_with(|it: char| it.is_ascii_alphanumeric()) || !name.chars().all(good) {
            return Err(Error::invalid(format!(
                "Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )));
        }
        Ok(Self(name.into()))
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> String {
        name.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const QUALITIES: [&str; 32] = [
    "able", "amber", "bold", "brisk", "calm", "clear", "crisp", "deft", "eager", "early", "fair", "firm", "fleet",
    "frank", "fresh", "gentle", "glad", "green", "hardy", "keen", "kind", "level", "light", "lucid", "mellow", "neat",
    "noble", "quiet", "steady", "sunny", "tidy", "warm",
];

const THINGS: [&str; 32] = [
    "arch", "beam", "birch", "bolt", "brace", "bridge", "cable", "cedar", "cliff", "crane", "delta", "ferry", "ford",
    "girder", "harbor", "hinge", "island", "joist", "larch", "lever", "maple", "meadow", "mill", "pier", "pylon",
    "quay", "rafter", "rivet", "river", "span", "strut", "truss",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_docker_s() {
        for right in ["/web", "web", "a1", "my_web-1.x"] {
            let name = ContainerName::try_from(right.to_owned()).unwrap();
            assert_eq!(name.as_str(), right.trim_start_matches('/'));
        }
        for wrong in ["", "/", "a", "-web", "a b", "a/b", "//web", "wéb"] {
            let told = ContainerName::try_from(wrong.to_owned()).unwrap_err().to_string();
            assert_eq!(told, format!("Invalid container name ({wrong}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"));
        }
    }
}
