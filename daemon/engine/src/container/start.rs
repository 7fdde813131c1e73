//! Starting a container: what is made for it, in order, and how all of it is removed again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use trestle_core::{Doing, Error, Result, failpoint};

use super::config::IpcMode;
use super::containers::{Containers, blocking};
use super::live::Container;
use super::record::{LogDriver, Record};
use super::state::{Ended, Failure, Run, State};
use super::{devices, files, network};
use crate::attach::Socket;
use crate::durable;
use crate::rootfs::{self, Upper};
use crate::runtime::cgroup;
use crate::runtime::monitor::{self, Launch, Process};
use crate::runtime::spec::{self, Files, Given, Shared};
use crate::runtime::user;

/// The exit code of a container that could not be started.
const NOT_STARTED: i32 = 128;

impl Containers {
    /// Starts a container; false if it runs already.
    ///
    /// # Errors
    /// What kept it from starting. Nothing is left of the attempt but the reason in its state.
    pub async fn start(&self, container: &Arc<Container>) -> Result<bool> {
        let _turn = container.turn().await;
        match &container.record().state {
            State::Running(run) if run.paused => {
                return Err(Error::conflict("cannot start a paused container, try unpause instead"));
            }
            State::Running(_) => return Ok(false),
            State::Removing { .. } => {
                return Err(Error::conflict("container is marked for removal and cannot be started"));
            }
            State::Created { .. } | State::Exited(_) | State::Restarting(_) => {}
            State::Starting { .. } | State::Ending(_) => {
                return Err(Error::conflict(
                    "what is left of the container's last run could not be removed; see the log",
                ));
            }
        }
        self.change(container, |record| (record.stopped, record.restarts) = (false, 0)).await?;
        self.start_in_turn(container).await.map(|()| true)
    }

    /// Starts it, for who has its turn.
    pub(super) async fn start_in_turn(&self, container: &Arc<Container>) -> Result<()> {
        let before = container.record().state.clone();
        self.change(container, |record| record.state = State::Starting { before: Box::new(before.clone()) }).await?;
        failpoint!("engine.starting-stored");
        let started = match self.make(container).await {
            Ok(run) => self.change(container, |record| record.state = State::Running(run)).await,
            Err(cause) => Err(cause),
        };
        match started {
            Ok(()) => {
                self.tell(&container.record(), "start", &[]);
                self.watch(container);
                Ok(())
            }
            Err(cause) => {
                self.abandon(container, before, &cause).await;
                Err(cause)
            }
        }
    }

    /// Leaves nothing of a start that failed but its reason.
    async fn abandon(&self, container: &Arc<Container>, before: State, cause: &Error) {
        // Nobody is attached to what never ran.
        drop(container.take_waiting());
        container.set_process(None);
        if let Err(error) = self.clear(&container.record(), true).await {
            // It stays stored as starting: the next start of the daemon, or a removal, goes on.
            tracing::error!(%error, container = %container.id, "some of a failed start remains");
            return;
        }
        let (code, error) = (exit_code(cause), cause.to_string());
        let now = self.0.options.clock.now();
        let state = match before {
            State::Created { .. } => State::Created { failure: Some(Failure { code, error: error.clone() }) },
            other => {
                let started_at = other.ended().map_or(now, |ended| ended.started_at);
                State::Exited(Ended { code, error: error.clone(), oom_killed: false, started_at, finished_at: now })
            }
        };
        if let Err(error) = self.change(container, |record| record.state = state).await {
            tracing::error!(%error, container = %container.id, "why its start failed could not be stored");
        }
        self.tell(&container.record(), "die", &[("exitCode", code.to_string())]);
        container.tell_end(code, &error);
        if container.record().host_config.auto_remove
            && let Err(error) = self.remove_in_turn(container, true).await
        {
            tracing::error!(%error, container = %container.id, "a container that could not be started remains");
        }
    }

    /// Makes everything, the process last.
    async fn make(&self, container: &Arc<Container>) -> Result<Run> {
        let record = container.record();
        let bundle = self.bundle(record.id);
        self.lay_ground(&record, &bundle).await?;
        failpoint!("engine.rootfs-mounted");
        let network = network::prepare(&self.0.options.controller, &record).await?;
        let given = self.gather(&record, &bundle, network).await?;
        let config = spec::spec(&record, &given, self.host())?;
        let path = bundle.join("config.json");
        let write = move || {
            let written = std::fs::write(&path, config.to_string());
            written.map_err(|cause| Error::internal(format!("writing {}: {cause}", path.display())))
        };
        blocking(write).await?;
        failpoint!("engine.bundle-written");
        let log = self.log_path(record.id);
        let launch = Launch {
            id: record.id,
            bundle: &bundle,
            terminal: record.config.tty,
            stdin: record.config.open_stdin,
            leave_stdin_open: !record.config.stdin_once,
            log: (record.log_driver == LogDriver::JsonFile).then_some(log.as_path()),
            log_size: None,
        };
        let made = self.0.monitor.create(&launch).await?;
        container.set_process(Process::open(made.pid)?.map(Arc::new));
        for waiting in container.take_waiting() {
            // Who asked may have gone.
            drop(waiting.send(Socket::connect(&bundle)?));
        }
        self.0.oci.start(record.id).await?;
        failpoint!("engine.container-started");
        Ok(Run { pid: made.pid, monitor: made.monitor, started_at: self.0.options.clock.now(), paused: false })
    }

    /// The folders and the root file system.
    async fn lay_ground(&self, record: &Arc<Record>, bundle: &Path) -> Result<()> {
        let (record, bundle) = (Arc::clone(record), bundle.to_owned());
        let folder = self.0.records.folder(record.id);
        let ground = move || {
            remove_folder(&bundle)?;
            durable::make_folder(&bundle)?;
            let own = Upper::of(&folder);
            own.make()?;
            rootfs::mount_at(&rootfs::lower(&record.layers, &folder)?, &own, &bundle.join("rootfs"))
        };
        blocking(ground).await
    }

    /// Everything that the bundle is made of.
    async fn gather(&self, record: &Arc<Record>, bundle: &Path, network: Option<PathBuf>) -> Result<Given> {
        let peer = |wanted: &str, why: &str| self.running_peer(wanted, why);
        let ipc = match &record.host_config.ipc_mode {
            IpcMode::Host => Shared::Host,
            IpcMode::Container(wanted) => Shared::At(spec::namespace_of(peer(wanted, "IPC")?, "ipc")),
            _ => Shared::Own,
        };
        let pid = match &record.host_config.pid_mode {
            super::config::PidMode::Container(wanted) => Some(peer(wanted, "PID")?),
            _ => None,
        };
        let owns_network = network.is_some();
        let (record, rootfs) = (Arc::clone(record), bundle.join("rootfs"));
        let folder = self.0.records.folder(record.id);
        let options = &self.0.options;
        let cgroup = self.cgroup(&record);
        let wants_init = record.host_config.init == Some(true);
        let init = match (wants_init, &options.host.init) {
            (false, _) => None,
            (true, Some(init)) => Some(init.clone()),
            (true, None) => {
                return Err(Error::unsupported(
                    "--init needs an init on the host: install tini (Debian: apt-get install tini)",
                ));
            }
        };
        let default_ulimits = options.default_ulimits.clone();
        blocking(move || {
            let hostname = files::hostname(&record);
            let mounts = files::write(&record, &folder, &hostname)?;
            Ok(Given {
                network,
                ipc,
                pid: spec::pid_namespace(&record.host_config.pid_mode, pid),
                user: user::find(&rootfs, &record.config.user, &record.host_config.group_add)?,
                hostname,
                files: Files { mounts, shm: None, owns_network },
                devices: devices::find(&record.host_config)?,
                cgroup,
                default_ulimits,
                init,
                environment: Vec::new(),
                rootfs,
            })
        })
        .await
    }

    /// Its control group, below the root of each hierarchy.
    fn cgroup(&self, record: &Record) -> String {
        let parent = match record.host_config.cgroup_parent.as_str() {
            "" => &self.0.options.cgroup_parent,
            parent => parent,
        };
        format!("{}/{}", parent.trim_end_matches('/'), record.id)
    }

    /// The first process of another container, whose namespace is to be joined.
    fn running_peer(&self, wanted: &str, kind: &str) -> Result<u32> {
        let peer = self.find(wanted)?.record();
        match peer.state.run() {
            Some(run) => Ok(run.pid),
            None => Err(Error::conflict(format!(
                "cannot join {kind} namespace of a non running container: container {} is {}",
                peer.id,
                peer.state.word()
            ))),
        }
    }

    /// Removes everything that a start makes, whatever of it there is. Goes on over errors, and tells them all.
    ///
    /// `leftovers` are looked for where a start broke off: its monitor may be at work still.
    pub(super) async fn clear(&self, record: &Arc<Record>, leftovers: bool) -> Result<()> {
        let mut errors = Vec::new();
        if leftovers {
            errors.extend(monitor::end_leftovers(record.id).await.err());
        }
        if self.0.oci.root().join(record.id.to_string()).exists() {
            errors.extend(self.0.oci.delete(record.id).await.doing(|| "removing the container").err());
        }
        if leftovers {
            errors.extend(cgroup::remove(&self.cgroup(record)).await.err());
        }
        failpoint!("engine.process-cleared");
        let bundle = self.bundle(record.id);
        errors.extend(rootfs::unmount_at(&bundle.join("rootfs")).err());
        failpoint!("engine.rootfs-cleared");
        errors.extend(network::release(&self.0.options.controller, record).await.err());
        failpoint!("engine.network-cleared");
        if errors.is_empty() {
            errors.extend(blocking(move || remove_folder(&bundle)).await.err());
        }
        Error::several(errors).map_or(Ok(()), Err)
    }
}

/// 126 and 127 as a shell tells that a program can't be run or found, else 128.
fn exit_code(cause: &Error) -> i32 {
    let told = cause.cause();
    if told.contains("executable file not found") || told.contains("no such file or directory") {
        127
    } else if told.contains("permission denied") || told.contains("is a directory") {
        126
    } else {
        NOT_STARTED
    }
}

fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::internal(format!("removing {}: {cause}", folder.display())))
        }
        _ => Ok(()),
    }
}
