//! Waiting for a container.

use std::str::FromStr;
use std::sync::Arc;

use trestle_core::{Error, Result};

use super::containers::Containers;
use super::live::{Container, Ends};

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitFor {
    /// That it does not run; it may not run now.
    #[default]
    NotRunning,
    /// Its next end.
    NextExit,
    /// That it is gone.
    Removed,
}

impl FromStr for WaitFor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "not-running" => Ok(Self::NotRunning),
            "next-exit" => Ok(Self::NextExit),
            "removed" => Ok(Self::Removed),
            other => Err(Error::invalid(format!("invalid condition: \"{other}\""))),
        }
    }
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code.
    pub code: i32,
    /// What went wrong beside that; empty if nothing did.
    pub error: String,
}

impl Containers {
    /// Begins to wait: what happens after this call counts. The future ends with the container's exit.
    pub fn wait(&self, container: &Arc<Container>, what: WaitFor) -> impl Future<Output = Exit> + Send + use<> {
        let mut ends = container.ends();
        let begun = ends.borrow_and_update().clone();
        let container = Arc::clone(container);
        async move {
            let is_over = |ends: &Ends| match what {
                WaitFor::Removed => ends.removed,
                WaitFor::NextExit | WaitFor::NotRunning => ends.removed || ends.count > begun.count,
            };
            let rests = what == WaitFor::NotRunning && !container.record().state.is_running();
            if !rests {
                // The container holds the other end, and is held here.
                drop(ends.wait_for(is_over).await);
            }
            let last = ends.borrow().clone();
            Exit { code: last.code, error: last.error }
        }
    }
}
