//! How it is found out whether what runs in a container is well.

use std::time::Duration;

use trestle_core::{Error, Result};

use super::go::{List, letter};

letter! {
    /// Docker's `HealthConfig`. Times are nanoseconds; 0 is the default.
    pub struct Healthcheck {
        /// Empty to inherit the image's, `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`.
        test: List<String> = "Test",
        /// Between the end of one check and the start of the next; 30 s.
        interval: i64 = "Interval",
        /// How long a check may take; 30 s.
        timeout: i64 = "Timeout",
        /// How long after the start failures don't count; 0.
        start_period: i64 = "StartPeriod",
        /// Between checks while the start period lasts; 5 s.
        start_interval: i64 = "StartInterval",
        /// How many failures in a row make it unhealthy; 3.
        retries: i64 = "Retries",
    }
}

/// What a check runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthTest {
    /// A program and its arguments.
    Exec(Vec<String>),
    /// A command for the container's shell.
    Shell(String),
}

impl Healthcheck {
    /// What is run; `None` where there is no check.
    ///
    /// # Errors
    /// `Invalid` for what is no check.
    pub fn test(&self) -> Result<Option<HealthTest>> {
        let Some((kind, rest)) = self.test.split_first() else { return Ok(None) };
        match (kind.as_str(), rest) {
            ("NONE", _) => Ok(None),
            ("CMD", [_, ..]) => Ok(Some(HealthTest::Exec(rest.to_vec()))),
            ("CMD-SHELL", [command]) => Ok(Some(HealthTest::Shell(command.clone()))),
            (kind, _) => Err(Error::invalid(format!(
                "Healthcheck.Test starts with {kind:?} and {} words follow: NONE, CMD with a program or CMD-SHELL with a \
                 command are known",
                rest.len()
            ))),
        }
    }

    /// Checks every part.
    ///
    /// # Errors
    /// `Invalid`, worded as Docker words it.
    pub fn check(&self) -> Result<()> {
        self.test()?;
        let times = [
            ("Interval", self.interval),
            ("Timeout", self.timeout),
            ("StartPeriod", self.start_period),
            ("StartInterval", self.start_interval),
        ];
        match times.iter().find(|(_, time)| *time != 0 && *time < 1_000_000) {
            Some((name, _)) => Err(Error::invalid(format!("{name} in Healthcheck cannot be less than 1ms"))),
            None if self.retries < 0 => Err(Error::invalid("Retries in Healthcheck cannot be negative")),
            None => Ok(()),
        }
    }

    /// Between two checks.
    pub fn interval(&self) -> Duration {
        time(self.interval, Duration::from_secs(30))
    }

    /// How long one may take.
    pub fn timeout(&self) -> Duration {
        time(self.timeout, Duration::from_secs(30))
    }

    /// How long failures don't count.
    pub fn start_period(&self) -> Duration {
        time(self.start_period, Duration::ZERO)
    }

    /// Between two checks while failures don't count.
    pub fn start_interval(&self) -> Duration {
        time(self.start_interval, Duration::from_secs(5))
    }

    /// How many failures in a row make it unhealthy.
    pub fn retries(&self) -> i64 {
        if self.retries == 0 { 3 } else { self.retries }
    }
}

fn time(nanoseconds: i64, default: Duration) -> Duration {
    match u64::try_from(nanoseconds) {
        Ok(nanoseconds @ 1..) => Duration::from_nanos(nanoseconds),
        _ => default,
    }
}
