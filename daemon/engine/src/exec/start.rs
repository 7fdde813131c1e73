//! Starting a process in a container, and hearing it.

use std::path::PathBuf;
use std::sync::Arc;

use trestle_core::{Doing, Error, Result};

use super::{Exec, ExecState};
use crate::attach::Socket;
use crate::container::Containers;
use crate::container::containers::blocking;
use crate::durable;
use crate::runtime::monitor::{ExecLaunch, Executing};
use crate::runtime::spec::{ExecGiven, exec_process};
use crate::runtime::user;

/// How a process is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartRequest {
    /// Whether nobody hears it.
    pub detach: bool,
    /// Whether its streams are a terminal.
    pub tty: bool,
    /// Height and width of the terminal at first.
    pub console_size: Option<[u16; 2]>,
}

/// A process that began.
pub struct Began {
    /// What it prints, and is told, where somebody hears it.
    pub socket: Option<Socket>,
}

impl Containers {
    /// Lets a process begin.
    ///
    /// # Errors
    /// `Conflict` where it began before, or its container does not run. What the runtime says where it can't run; its
    /// exit code is 126 or 127 then.
    pub async fn start_exec(&self, exec: &Arc<Exec>, request: StartRequest) -> Result<Began> {
        let mut was_created = false;
        exec.state.send_if_modified(|state| {
            was_created = *state == ExecState::Created;
            if was_created {
                *state = ExecState::Starting;
            }
            was_created
        });
        if !was_created {
            return Err(Error::conflict(format!("exec command {} has already run", exec.id)));
        }
        let record = exec.container.record();
        let action = format!("exec_start: {}", exec.request.cmd.join(" "));
        self.tell(&record, &action, &[("execID", exec.id.to_string())]);
        match self.begin(exec, request).await {
            Ok((socket, executing)) => {
                self.await_exec(exec, executing);
                Ok(Began { socket })
            }
            Err(cause) => {
                exec.state.send_replace(ExecState::Exited { code: exit_code(&cause) });
                self.clear_exec(exec).await;
                Err(cause)
            }
        }
    }

    async fn begin(&self, exec: &Arc<Exec>, request: StartRequest) -> Result<(Option<Socket>, Executing)> {
        self.run_for_exec(exec)?;
        let folder = self.exec_folder(exec);
        let process = folder.join("process.json");
        self.describe(exec, request, folder.clone(), process.clone()).await?;
        let launch = ExecLaunch {
            folder: &folder,
            process: &process,
            attach: !request.detach,
            terminal: request.tty,
            stdin: exec.request.attach_stdin && !request.detach,
        };
        let mut executing = self.0.monitor.exec(exec.container.id, &launch).await?;
        let socket = match request.detach {
            true => None,
            false => {
                executing.attachable().await?;
                Some(Socket::connect(&folder)?)
            }
        };
        let began = executing.begin(!request.detach).await;
        let pid = began.doing(|| "OCI runtime exec failed")?;
        exec.state.send_replace(ExecState::Running { pid });
        Ok((socket, executing))
    }

    /// Refuses where the container does not run, or is frozen.
    ///
    /// # Errors
    /// `Conflict`, worded as Docker words it.
    pub fn run_for_exec(&self, exec: &Exec) -> Result<()> {
        match self.run_of(&exec.container)?.paused {
            true => Err(Error::conflict(format!(
                "Container {} is paused, unpause the container before exec",
                exec.container.id
            ))),
            false => Ok(()),
        }
    }

    /// Writes the description of the process that the runtime reads.
    async fn describe(&self, exec: &Arc<Exec>, request: StartRequest, folder: PathBuf, path: PathBuf) -> Result<()> {
        let (exec, host) = (Arc::clone(exec), self.host().clone());
        let rootfs = self.bundle(exec.container.id).join("rootfs");
        blocking(move || {
            let record = exec.container.record();
            let wanted = &exec.request;
            let name = if wanted.user.is_empty() { &record.config.user } else { &wanted.user };
            let user = user::find(&rootfs, name, &record.host_config.group_add)?;
            let given = ExecGiven {
                command: &wanted.cmd,
                tty: request.tty,
                privileged: wanted.privileged,
                user: &user,
                environment: &wanted.env,
                working_dir: (!wanted.working_dir.is_empty()).then_some(wanted.working_dir.as_str()),
                console_size: request.console_size.or(wanted.console_size),
            };
            let process = exec_process(&record, &given, &host)?;
            durable::make_folder(&folder)?;
            let written = std::fs::write(&path, process.to_string());
            written.map_err(|cause| Error::internal(format!("writing {}: {cause}", path.display())))
        })
        .await
    }

    /// Waits for its end, in a task of its own.
    fn await_exec(&self, exec: &Arc<Exec>, mut executing: Executing) {
        let (containers, exec) = (self.clone(), Arc::clone(exec));
        // It ends with the process or the daemon; nobody waits for it.
        drop(tokio::spawn(async move {
            let code = match executing.end().await {
                Ok(code) => code,
                Err(error) => {
                    tracing::warn!(%error, exec = %exec.id, "how a process in a container ended is not known");
                    137
                }
            };
            exec.state.send_replace(ExecState::Exited { code });
            let attributes = [("execID", exec.id.to_string()), ("exitCode", code.to_string())];
            containers.tell(&exec.container.record(), "exec_die", &attributes);
            containers.clear_exec(&exec).await;
        }));
    }

    /// Removes the files of a process. They go with the container's, too.
    async fn clear_exec(&self, exec: &Arc<Exec>) {
        let folder = self.exec_folder(exec);
        let removed = blocking(move || match std::fs::remove_dir_all(&folder) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::internal(format!("removing {}: {cause}", folder.display())))
            }
            _ => Ok(()),
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, exec = %exec.id, "files of a process in a container remain");
        }
    }

    /// Tells the terminal of a process how large its window is.
    ///
    /// # Errors
    /// `Conflict` where it does not run.
    pub fn resize_exec(&self, exec: &Arc<Exec>, height: u16, width: u16) -> Result<()> {
        match exec.state() {
            ExecState::Running { .. } => crate::attach::resize(&self.exec_folder(exec), height, width),
            _ => Err(Error::conflict(format!("exec process {} is not started", exec.id))),
        }
    }

    fn exec_folder(&self, exec: &Exec) -> PathBuf {
        self.bundle(exec.container.id).join(format!("exec-{}", exec.id.short()))
    }
}

/// 127 for a program that is not there, else 126.
fn exit_code(cause: &Error) -> i32 {
    let told = cause.cause();
    if told.contains("executable file not found") || told.contains("no such file or directory") { 127 } else { 126 }
}
