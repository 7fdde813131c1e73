//! What came out of a trial.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What came out of a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Where the plugin was.
    pub address: String,
    /// What it said it is.
    pub implements: Vec<String>,
    /// Everything that was tried, in order.
    pub checks: Vec<Check>,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The method.
    pub method: String,
    /// What is expected of it.
    pub promise: String,
    /// How it went.
    pub verdict: Verdict,
    /// What the plugin did instead, and what to do about it; nothing where it went well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// How a trial of something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should.
    Passed,
    /// It works, and will be trouble one day.
    Doubtful,
    /// It breaks containers' networks.
    Failed,
}

impl Report {
    /// The worst that there is in it.
    pub fn verdict(&self) -> Verdict {
        self.checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Failed)
    }

    /// How many went this way.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.address, self.implements.join(", "))?;
        for Check { method, promise, verdict, detail } in &self.checks {
            let mark = match verdict {
                Verdict::Passed => "ok      ",
                Verdict::Doubtful => "doubtful",
                Verdict::Failed => "FAILED  ",
            };
            writeln!(f, "{mark} {method}: {promise}")?;
            if !detail.is_empty() {
                writeln!(f, "         {detail}")?;
            }
        }
        let count = |verdict| self.count(verdict);
        let (passed, doubtful, failed) = (count(Verdict::Passed), count(Verdict::Doubtful), count(Verdict::Failed));
        write!(f, "{passed} passed, {doubtful} doubtful, {failed} failed")
    }
}
