//! What went wrong, for a person, and the exit code that tells it to a program.

use std::process::ExitCode;

use axum::http::StatusCode;

/// How a command ends.
pub type Outcome = Result<ExitCode, Failure>;

/// The exit codes. They are documented in `trestle --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Refused or failed.
    Failed = 1,
    /// The command line is wrong; clap ends with the same.
    Usage = 2,
    /// There is no such object.
    NotFound = 3,
    /// Something is in the way, or used up.
    Conflict = 4,
    /// No daemon answers.
    Unreachable = 5,
    /// Something in the kernel is not as it should be.
    Amiss = 6,
    /// A command could not be tried in a sandbox.
    ExecFailed = 125,
    /// The command is there, and can't be run.
    ExecRefused = 126,
    /// There is no such command.
    ExecMissing = 127,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

/// A command that did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// With which code the process ends.
    pub code: Code,
    /// What is told; `None` if all was told already.
    pub message: Option<String>,
}

impl Failure {
    /// A failure of a code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    /// See [`Code::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Code::Failed, message)
    }

    /// See [`Code::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// What a daemon's refusal means.
    pub fn refused(status: StatusCode, message: String) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::CONFLICT => Code::Conflict,
            _ => Code::Failed,
        };
        Self::new(code, message)
    }
}
