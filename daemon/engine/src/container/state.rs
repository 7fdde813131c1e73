//! Where a container stands. Each state carries what there is in it, and nothing else.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Where a container stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum State {
    /// It never ran.
    Created {
        /// Why the last start failed.
        failure: Option<Failure>,
    },
    /// Stored before anything is made of it. After a crash: all of it is removed, and it is as before.
    Starting {
        /// As it was before.
        before: Box<State>,
    },
    /// It runs.
    Running(Run),
    /// It ended, and what it had of the host is being given back. After a crash that goes on.
    Ending(Ended),
    /// It ended, and has nothing of the host but its files.
    Exited(Ended),
    /// It ended, and will be started again.
    Restarting(Ended),
    /// It is being removed. After a crash that goes on.
    Removing {
        /// How it last ended, if it ever ran.
        ended: Option<Ended>,
    },
}

/// Why a container could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// 128, or 126 and 127 as a shell tells that a program can't be run or found.
    pub code: i32,
    /// The reason.
    pub error: String,
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The process id of its first process, as the host sees it.
    pub pid: u32,
    /// The process id of its monitor.
    pub monitor: u32,
    /// Since when.
    pub started_at: SystemTime,
    /// Whether it is frozen.
    pub paused: bool,
}

/// A container that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit code; 128 and the number of a signal that ended it.
    pub code: i32,
    /// What went wrong beside that; empty if nothing did.
    pub error: String,
    /// Whether it was killed for want of memory.
    pub oom_killed: bool,
    /// Since when it had run.
    pub started_at: SystemTime,
    /// When.
    pub finished_at: SystemTime,
}

impl State {
    /// Docker's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Starting { before } => before.word(),
            Self::Running(Run { paused: true, .. }) => "paused",
            Self::Running(_) => "running",
            Self::Ending(_) => "running",
            Self::Exited(_) => "exited",
            Self::Restarting(_) => "restarting",
            Self::Removing { .. } => "removing",
        }
    }

    /// What runs.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Running(run) => Some(run),
            _ => None,
        }
    }

    /// Whether it runs, or has not given back everything yet.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Ending(_))
    }

    /// How it ended last.
    pub fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Exited(ended) | Self::Restarting(ended) | Self::Ending(ended) => Some(ended),
            Self::Removing { ended } => ended.as_ref(),
            Self::Starting { before } => before.ended(),
            Self::Created { .. } | Self::Running(_) => None,
        }
    }

    /// Docker's exit code: 0 while there is none.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Created { failure: Some(failure) } => failure.code,
            Self::Starting { before } => before.exit_code(),
            other => other.ended().map_or(0, |ended| ended.code),
        }
    }

    /// What went wrong; empty if nothing did.
    pub fn error(&self) -> &str {
        match self {
            Self::Created { failure: Some(failure) } => &failure.error,
            Self::Starting { before } => before.error(),
            other => other.ended().map_or("", |ended| &ended.error),
        }
    }
}
