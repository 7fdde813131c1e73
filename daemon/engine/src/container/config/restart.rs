//! When a container that ended is started again.

use std::fmt;
use std::str::FromStr;

use trestle_core::{Error, Result};

use super::go::{as_text, letter};

letter! {
    /// Docker's `RestartPolicy`.
    pub struct RestartPolicy {
        /// When.
        name: RestartName = "Name",
        /// How often in a row, for `on-failure`; 0 is without limit.
        maximum_retry_count: i64 = "MaximumRetryCount",
    }
}

/// When.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartName {
    /// Never.
    #[default]
    No,
    /// Whenever it ended and was not stopped; after the daemon's start too.
    Always,
    /// The same, but one that was stopped stays so after the daemon's start.
    UnlessStopped,
    /// When it ended with another exit code than 0.
    OnFailure,
}

impl FromStr for RestartName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "no" => Ok(Self::No),
            "always" => Ok(Self::Always),
            "unless-stopped" => Ok(Self::UnlessStopped),
            "on-failure" => Ok(Self::OnFailure),
            other => Err(Error::invalid(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
                 'unless-stopped'"
            ))),
        }
    }
}

impl fmt::Display for RestartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure => "on-failure",
        })
    }
}

as_text!(RestartName);

impl RestartPolicy {
    /// Checks that its parts go together.
    ///
    /// # Errors
    /// `Invalid`, worded as Docker words it.
    pub fn check(&self) -> Result<()> {
        if self.maximum_retry_count < 0 {
            return Err(Error::invalid("invalid restart policy: maximum retry count cannot be negative"));
        }
        if self.maximum_retry_count != 0 && self.name != RestartName::OnFailure {
            return Err(Error::invalid(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'",
            ));
        }
        Ok(())
    }
}
