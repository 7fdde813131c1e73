//! How asking a plugin fails.

use std::fmt;
use std::time::Duration;

use trestle_core::{Error, ErrorKind};

/// Why a call had no answer that could be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection can't be made, or broke.
    Unreachable(String),
    /// The deadline passed.
    Late {
        /// How long it was.
        limit: Duration,
        /// How the try before went, if there was one.
        before: Option<String>,
    },
    /// The answer is larger than allowed: this many bytes.
    TooLarge(usize),
    /// An HTTP status other than 200.
    Status {
        /// Which one.
        code: u16,
        /// What the plugin says to it.
        text: String,
    },
    /// The plugin says no.
    Refused(String),
    /// The answer can't be read.
    Garbled(String),
}

impl Failure {
    /// Whether the plugin may have done what it was asked, although it gave no answer that says so.
    pub fn leaves_open_what_was_done(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Status { .. })
    }

    /// Whether the plugin does not know the method.
    pub fn is_unknown_method(&self) -> bool {
        matches!(self, Self::Status { code: 404, .. })
    }

    /// As an error of this method.
    pub fn of(self, method: &str) -> Error {
        let kind = match self {
            Self::Unreachable(_) | Self::Late { .. } => ErrorKind::Unavailable,
            Self::TooLarge(_) | Self::Status { .. } | Self::Refused(_) | Self::Garbled(_) => ErrorKind::Internal,
        };
        Error::new(kind, self.to_string()).doing(method)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the plugin can't be reached: {why}"),
            Self::Late { limit, before: None } => write!(f, "the plugin gave no answer within {limit:?}"),
            Self::Late { limit, before: Some(why) } => {
                write!(f, "the plugin gave no answer within {limit:?}; at the try before, {why}")
            }
            Self::TooLarge(limit) => write!(f, "the plugin's answer is larger than {limit} bytes"),
            Self::Status { code, text } if text.is_empty() => write!(f, "the plugin answered with HTTP status {code}"),
            Self::Status { text, .. } => f.write_str(text),
            Self::Refused(text) => write!(f, "remote: {text}"),
            Self::Garbled(why) => write!(f, "the plugin's answer can't be used: {why}"),
        }
    }
}

/// The longest text of a stranger's that goes into an error, in characters.
const LONGEST_TEXT: usize = 400;

/// A stranger's text, for people: not too long, and nothing in it that a terminal would obey.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TEXT).collect();
    if text.trim().chars().nth(LONGEST_TEXT).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_s_text_is_cut_and_obeyed_by_no_terminal() {
        assert_eq!(shown(" a\x1b[2J\nb "), "a [2J b");
        assert_eq!(shown(&"é".repeat(500)).chars().count(), 401);
    }
}
