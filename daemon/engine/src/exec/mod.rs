//! More processes in a container that runs: what was asked for, whether it runs, and how it ended.
//!
//! They are known as long as the daemon lives. One that runs when the daemon ends runs on, and nobody knows of it.

mod start;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use trestle_core::id::ContainerId;
use trestle_core::{Error, Result};

pub use start::{Began, StartRequest};

use crate::container::Containers;
use crate::container::config::go::{List, letter};
use crate::container::live::Container;

letter! {
    /// Docker's `ExecOptions`: a process to run in a container.
    pub struct ExecRequest {
        /// Who runs it; empty is the container's user.
        user: String = "User",
        /// Whether it may do everything.
        privileged: bool = "Privileged",
        /// Whether its streams are a terminal.
        tty: bool = "Tty",
        /// Height and width of the terminal at first.
        console_size: Option<[u16; 2]> = "ConsoleSize",
        /// Whether it has an input.
        attach_stdin: bool = "AttachStdin",
        /// Whether its errors are heard.
        attach_stderr: bool = "AttachStderr",
        /// Whether its output is heard.
        attach_stdout: bool = "AttachStdout",
        /// Whether nobody hears it. The request that starts it says so again.
        detach: bool = "Detach",
        /// The keys that let go of it.
        detach_keys: String = "DetachKeys",
        /// Its environment, beside the container's.
        env: List<String> = "Env",
        /// Where it starts; empty is where the container's own does.
        working_dir: String = "WorkingDir",
        /// The program and its arguments.
        cmd: List<String> = "Cmd",
    }
}

/// A process that was asked for.
pub struct Exec {
    /// For ever: 64 digits.
    pub id: ContainerId,
    /// The container that it runs in.
    pub container: Arc<Container>,
    /// What was asked.
    pub request: ExecRequest,
    state: watch::Sender<ExecState>,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecState {
    /// Nobody started it.
    Created,
    /// It is about to run.
    Starting,
    /// It runs.
    Running {
        /// Its process id, as the host sees it.
        pid: u32,
    },
    /// It ended.
    Exited {
        /// Its exit code.
        code: i32,
    },
}

impl Exec {
    /// Where it stands now.
    pub fn state(&self) -> ExecState {
        *self.state.borrow()
    }
}

/// All that were asked for.
#[derive(Default)]
pub struct Execs(Mutex<BTreeMap<ContainerId, Arc<Exec>>>);

impl Execs {
    fn insert(&self, exec: Arc<Exec>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(exec.id, exec);
    }

    /// One by its id.
    ///
    /// # Errors
    /// `NotFound`, worded as Docker words it.
    pub fn find(&self, id: &str) -> Result<Arc<Exec>> {
        let execs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = id.parse().ok().and_then(|id: ContainerId| execs.get(&id).cloned());
        found.ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    /// The ids of those in a container that have not ended.
    pub fn of(&self, container: ContainerId) -> Vec<ContainerId> {
        let execs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lives = |it: &&Arc<Exec>| it.container.id == container && !matches!(it.state(), ExecState::Exited { .. });
        execs.values().filter(lives).map(|it| it.id).collect()
    }

    /// Forgets those of a container that is gone.
    pub(crate) fn forget(&self, container: ContainerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, it| it.container.id != container);
    }
}

impl Containers {
    /// Asks for a process in a container, which has to run.
    ///
    /// # Errors
    /// `Conflict` where it does not run, `Invalid` without a program; worded as Docker words them.
    pub fn create_exec(&self, container: &Arc<Container>, request: ExecRequest) -> Result<Arc<Exec>> {
        if request.cmd.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        let run = self.run_of(container)?;
        if run.paused {
            return Err(Error::conflict(format!(
                "Container {} is paused, unpause the container before exec",
                container.id
            )));
        }
        let id = ContainerId::random(self.0.options.entropy.as_ref());
        let state = watch::Sender::new(ExecState::Created);
        let exec = Arc::new(Exec { id, container: Arc::clone(container), request, state });
        self.execs().insert(Arc::clone(&exec));
        let action = format!("exec_create: {}", exec.request.cmd.join(" "));
        self.tell(&container.record(), &action, &[("execID", id.to_string())]);
        Ok(exec)
    }
}
