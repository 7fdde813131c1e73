//! Ending a container, and holding it up: stop, kill, restart, pause, rename.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use trestle_core::{Doing, Error, Result};

use super::containers::Containers;
use super::live::Container;
use super::name::ContainerName;
use super::signal;
use super::state::{Run, State};

/// How long a container has to end when nobody says otherwise, in seconds: Docker's default.
const PATIENCE: i64 = 10;

impl Containers {
    /// Asks a container to end, and kills it when it does not in so many seconds (-1 waits for ever); false if it does
    /// not run.
    ///
    /// # Errors
    /// `Invalid` for an unknown signal.
    pub async fn stop(&self, container: &Arc<Container>, patience: Option<i64>, by: Option<&str>) -> Result<bool> {
        let record = container.record();
        let by = signal::parse(by.filter(|it| !it.is_empty()).unwrap_or(&record.config.stop_signal))?;
        if !self.mark_stopped(container).await? {
            return Ok(false);
        }
        let patience = patience.or(record.config.stop_timeout).unwrap_or(PATIENCE);
        let mut running = container.running();
        self.send(container, by).await?;
        let ended = async { running.wait_for(|running| !running).await.is_ok() };
        match u64::try_from(patience) {
            Err(_) => {
                ended.await;
            }
            Ok(seconds) => {
                let sleep = self.0.options.clock.sleep(Duration::from_secs(seconds));
                tokio::select! {
                    _ = ended => {}
                    () = sleep => self.kill_and_wait(container).await?,
                }
            }
        }
        Ok(true)
    }

    /// Sends a signal; what kills it is waited for.
    ///
    /// # Errors
    /// `Conflict` where it does not run, worded as Docker words it; `Invalid` for an unknown signal.
    pub async fn kill(&self, container: &Arc<Container>, by: &str) -> Result<()> {
        let record = container.record();
        let by = if by.is_empty() { Signal::KILL } else { signal::parse(by)? };
        if !record.state.is_running() {
            return Err(Error::conflict(format!(
                "cannot kill container: {}: container {} is not running",
                record.name, record.id
            )));
        }
        if by == Signal::KILL || by == signal::parse(&record.config.stop_signal)? {
            self.mark_stopped(container).await?;
        }
        self.tell(&record, "kill", &[("signal", by.as_raw().to_string())]);
        match by {
            Signal::KILL => self.kill_and_wait(container).await,
            other => self.send(container, other).await,
        }
    }

    /// Stops it if it runs, and starts it.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub async fn restart(&self, container: &Arc<Container>, patience: Option<i64>, by: Option<&str>) -> Result<()> {
        self.stop(container, patience, by).await.doing(|| format!("Cannot restart container {}", container.id))?;
        self.start(container).await?;
        self.tell(&container.record(), "restart", &[]);
        Ok(())
    }

    /// Freezes every process.
    ///
    /// # Errors
    /// `Conflict` where it does not run or is frozen already.
    pub async fn pause(&self, container: &Arc<Container>) -> Result<()> {
        let _turn = container.turn().await;
        let run = self.run_of(container)?;
        if run.paused {
            return Err(Error::conflict(format!("Container {} is already paused", container.id)));
        }
        self.0.oci.pause(container.id).await.doing(|| format!("Cannot pause container {}", container.id))?;
        self.change(container, |record| record.state = State::Running(Run { paused: true, ..run })).await?;
        self.tell(&container.record(), "pause", &[]);
        Ok(())
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// `Conflict` where it is not frozen.
    pub async fn unpause(&self, container: &Arc<Container>) -> Result<()> {
        let _turn = container.turn().await;
        let run = self.run_of(container)?;
        if !run.paused {
            return Err(Error::conflict(format!("Container {} is not paused", container.id)));
        }
        self.thaw(container, run).await
    }

    async fn thaw(&self, container: &Arc<Container>, run: Run) -> Result<()> {
        self.0.oci.resume(container.id).await.doing(|| format!("Cannot unpause container {}", container.id))?;
        self.change(container, |record| record.state = State::Running(Run { paused: false, ..run })).await?;
        self.tell(&container.record(), "unpause", &[]);
        Ok(())
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// `Invalid` and `Conflict`, worded as Docker words them.
    pub async fn rename(&self, container: &Arc<Container>, name: &str) -> Result<()> {
        if name.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let name = ContainerName::try_from(name.to_owned())?;
        let _names = self.0.naming.lock().await;
        let _turn = container.turn().await;
        let old = container.record().name.clone();
        if old == name {
            return Err(Error::invalid("Renaming a container with the same name as its current name"));
        }
        self.check_free(&name)?;
        self.change(container, |record| record.name = name).await?;
        self.tell(&container.record(), "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// Refuses a name that another container has.
    pub(super) fn check_free(&self, name: &ContainerName) -> Result<()> {
        match self.shelf().values().find(|it| it.record().name == *name) {
            None => Ok(()),
            Some(other) => Err(Error::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to remove (or \
                 rename) that container to be able to reuse that name.",
                other.id
            ))),
        }
    }

    /// Its run.
    pub(crate) fn run_of(&self, container: &Container) -> Result<Run> {
        match &container.record().state {
            State::Running(run) => Ok(run.clone()),
            State::Restarting(_) => Err(Error::conflict(format!(
                "Container {} is restarting, wait until the container is running",
                container.id
            ))),
            _ => Err(Error::conflict(format!("container {} is not running", container.id))),
        }
    }

    /// Stores that a person wants it to end, so that no restart policy starts it again; whether it runs.
    async fn mark_stopped(&self, container: &Arc<Container>) -> Result<bool> {
        let _turn = container.turn().await;
        let state = container.record().state.clone();
        match state {
            State::Running(_) => self.change(container, |record| record.stopped = true).await.map(|()| true),
            State::Restarting(ended) => {
                self.change(container, |record| (record.stopped, record.state) = (true, State::Exited(ended))).await?;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Sends a signal to its first process, frozen or not.
    async fn send(&self, container: &Arc<Container>, by: Signal) -> Result<()> {
        if let Some(process) = container.process() {
            process.signal(by).doing(|| format!("cannot kill container {}", container.id))?;
        }
        let _turn = container.turn().await;
        match container.record().state.run() {
            Some(run) if run.paused && by != Signal::STOP => self.thaw(container, run.clone()).await,
            _ => Ok(()),
        }
    }

    /// Kills it, and waits until everything of it is given back.
    pub(super) async fn kill_and_wait(&self, container: &Arc<Container>) -> Result<()> {
        let mut running = container.running();
        self.send(container, Signal::KILL).await?;
        // The container that it belongs to may be gone by then, which is as good.
        drop(running.wait_for(|running| !running).await);
        Ok(())
    }
}
