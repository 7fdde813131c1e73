//! The name of a plugin, which is also the name of its driver.

use std::fmt;

use serde::{Deserialize, Serialize};
use trestle_core::{Error, Result};

/// The name of a plugin: that of its file, without the ending. It leads to no other folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginName(String);

/// The longest one in bytes: a file's name with an ending.
const LONGEST: usize = 200;

impl PluginName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PluginName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let is_ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | ':');
        let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        match begins_well && text.len() <= LONGEST && text.chars().all(is_ordinary) {
            true => Ok(Self(text)),
            false => Err(Error::invalid(format!(
                "{:?} can't name a plugin: letters, digits, '_', '.', '-' and ':' are taken, a letter or digit first",
                crate::client::shown(&text)
            ))),
        }
    }
}

impl TryFrom<&str> for PluginName {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        text.to_owned().try_into()
    }
}

impl From<PluginName> for String {
    fn from(name: PluginName) -> String {
        name.0
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_other_folder() {
        for right in ["weave", "0net", "store.example.com-weave:v1"] {
            assert!(PluginName::try_from(right).is_ok(), "{right}");
        }
        for wrong in ["", ".", "..", "../weave", "a/b", "-a", ".a", "a b", "a\0", "é", &"n".repeat(201)] {
            assert!(PluginName::try_from(wrong).is_err(), "{wrong}");
        }
    }
}
