//! The end of a container: noticed, stored, everything given back, and perhaps started again.

use std::sync::Arc;
use std::time::Duration;

use trestle_core::{Error, Result, failpoint};

use super::config::RestartName;
use super::containers::Containers;
use super::live::Container;
use super::record::Record;
use super::state::{Ended, Run, State};
use crate::runtime::monitor::{self, Process};

/// The exit code of a container whose monitor told none: as if it was killed.
const KILLED: i32 = 137;

/// How long a restart policy waits at first; twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// How long it waits at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A run that lasted so long makes it wait as at first again.
const LONG_RUN: Duration = Duration::from_secs(10);

impl Containers {
    /// Waits for the end of a container that runs, in a task of its own.
    pub(super) fn watch(&self, container: &Arc<Container>) {
        let Some(run) = container.record().state.run().cloned() else { return };
        let (containers, container) = (self.clone(), Arc::clone(container));
        // It ends with the container or the daemon; nobody waits for it.
        drop(tokio::spawn(async move {
            if let Err(error) = containers.await_end(&container, &run).await {
                tracing::error!(%error, container = %container.id, "the end of a container could not be seen to");
            }
        }));
    }

    async fn await_end(&self, container: &Arc<Container>, run: &Run) -> Result<()> {
        if let Some(monitor) = Process::open(run.monitor)?
            && monitor::is_monitor(run.monitor, container.id)
        {
            monitor.ended().await?;
        }
        let _turn = container.turn().await;
        // Paused or not: it is the same run.
        let is_this = container.record().state.run().is_some_and(|it| it.monitor == run.monitor);
        if is_this { self.end_in_turn(container, run).await } else { Ok(()) }
    }

    /// Stores that a run ended, and gives back everything, for who has the container's turn.
    pub(super) async fn end_in_turn(&self, container: &Arc<Container>, run: &Run) -> Result<()> {
        let told = monitor::end(&self.bundle(container.id), container.id)?;
        let ended = match told {
            Some(end) => Ended {
                code: end.code,
                error: String::new(),
                oom_killed: end.oom_killed,
                started_at: run.started_at,
                finished_at: end.at,
            },
            None => Ended {
                code: KILLED,
                error: "its monitor ended without telling how the container did".into(),
                oom_killed: false,
                started_at: run.started_at,
                finished_at: self.0.options.clock.now(),
            },
        };
        self.change(container, |record| record.state = State::Ending(ended.clone())).await?;
        failpoint!("engine.end-stored");
        self.finish_end(container, ended).await
    }

    /// Gives back everything, and settles what becomes of the container.
    pub(super) async fn finish_end(&self, container: &Arc<Container>, ended: Ended) -> Result<()> {
        container.set_process(None);
        let record = container.record();
        self.clear(&record, true).await?;
        let again = wants_restart(&record, &ended);
        let lasted = ended.finished_at.duration_since(ended.started_at).unwrap_or_default();
        let wait = wait_before_restart(if lasted > LONG_RUN { 0 } else { record.restarts });
        self.change(container, |record| {
            record.state = if again { State::Restarting(ended.clone()) } else { State::Exited(ended.clone()) };
        })
        .await?;
        if ended.oom_killed {
            self.tell(&record, "oom", &[]);
        }
        let seconds = lasted.as_secs().to_string();
        self.tell(&record, "die", &[("exitCode", ended.code.to_string()), ("execDuration", seconds)]);
        if record.stopped {
            self.tell(&record, "stop", &[]);
        }
        container.tell_end(ended.code, &ended.error);
        if again {
            self.restart_later(container, wait);
        } else if record.host_config.auto_remove {
            self.remove_in_turn(container, true).await?;
        }
        Ok(())
    }

    /// Starts it again after a while, unless somebody decides otherwise meanwhile.
    pub(super) fn restart_later(&self, container: &Arc<Container>, wait: Duration) {
        let (containers, container) = (self.clone(), Arc::clone(container));
        let sleep = self.0.options.clock.sleep(wait);
        // It lives as long as the daemon at most; nobody waits for it.
        drop(tokio::spawn(async move {
            sleep.await;
            let _turn = container.turn().await;
            if !matches!(container.record().state, State::Restarting(_)) {
                return;
            }
            let counted = containers.change(&container, |record| record.restarts += 1).await;
            let started = match counted {
                Ok(()) => containers.start_in_turn(&container).await,
                Err(error) => Err(error),
            };
            if let Err(error) = started {
                tracing::warn!(%error, container = %container.id, "a restart failed");
            }
        }));
    }

    /// Takes over what an earlier daemon left: what runs goes on, what was begun is finished or removed, and restart
    /// policies act. Goes on over errors; those containers stay as they are stored.
    pub async fn adopt(&self) {
        for container in self.list() {
            if let Err(error) = self.adopt_one(&container).await {
                tracing::error!(%error, container = %container.id, "a container could not be taken over");
            }
        }
    }

    async fn adopt_one(&self, container: &Arc<Container>) -> Result<()> {
        let turn = container.turn().await;
        let record = container.record();
        match &record.state {
            State::Created { .. } => Ok(()),
            State::Starting { before } => {
                self.clear(&record, true).await?;
                let before = State::clone(before);
                self.change(container, |record| record.state = before).await
            }
            State::Running(run) => {
                if !monitor::is_monitor(run.monitor, container.id) {
                    return self.end_in_turn(container, run).await;
                }
                container.set_process(Process::open(run.pid)?.map(Arc::new));
                drop(turn);
                self.watch(container);
                Ok(())
            }
            State::Ending(ended) => self.finish_end(container, ended.clone()).await,
            State::Restarting(_) => {
                self.restart_later(container, wait_before_restart(record.restarts));
                Ok(())
            }
            State::Removing { .. } => self.remove_in_turn(container, record.host_config.auto_remove).await,
            State::Exited(_) if record.host_config.auto_remove => self.remove_in_turn(container, true).await,
            State::Exited(ended) => {
                let policy = record.host_config.restart_policy.name;
                let wanted = policy == RestartName::Always || (policy == RestartName::UnlessStopped && !record.stopped);
                if wanted {
                    let ended = ended.clone();
                    self.change(container, |record| record.state = State::Restarting(ended)).await?;
                    self.restart_later(container, Duration::ZERO);
                }
                Ok(())
            }
        }
    }
}

/// Whether a restart policy starts a container again that ended so.
fn wants_restart(record: &Record, ended: &Ended) -> bool {
    let policy = &record.host_config.restart_policy;
    !record.stopped
        && match policy.name {
            RestartName::No => false,
            RestartName::Always | RestartName::UnlessStopped => true,
            RestartName::OnFailure => {
                let left = policy.maximum_retry_count == 0 || i64::from(record.restarts) < policy.maximum_retry_count;
                ended.code != 0 && left
            }
        }
}

/// How long to wait after so many restarts in a row.
fn wait_before_restart(restarts: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(restarts.min(16))).min(LONGEST_WAIT)
}

/// The error of who waits for a container that is gone.
pub(super) fn gone(container: &Container) -> Error {
    Error::not_found(format!("No such container: {}", container.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_restart_in_a_row_waits_twice_as_long() {
        let waits: Vec<u128> = (0..4).map(|restarts| wait_before_restart(restarts).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800]);
        assert_eq!(wait_before_restart(1000), LONGEST_WAIT);
    }
}
