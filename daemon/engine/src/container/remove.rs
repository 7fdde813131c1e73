//! Removing containers.

use std::sync::Arc;

use trestle_core::{Doing, Error, Result};

use super::containers::{Containers, blocking};
use super::end::gone;
use super::live::Container;
use super::state::State;

impl Containers {
    /// Removes a container, and its anonymous volumes if that is asked; `force` kills it first.
    ///
    /// # Errors
    /// `Conflict` where it runs, worded as Docker words it.
    pub async fn remove(&self, container: &Arc<Container>, force: bool, volumes: bool) -> Result<()> {
        loop {
            let record = container.record();
            if record.state.is_running() || matches!(record.state, State::Restarting(_)) {
                if !force {
                    return Err(Error::conflict(format!(
                        "cannot remove container \"/{}\": container is {}: {}",
                        record.name,
                        record.state.word(),
                        "stop the container before removing or force remove"
                    )));
                }
                self.stop(container, Some(0), Some("KILL")).await?;
            }
            let _turn = container.turn().await;
            if container.ends().borrow().removed {
                return Err(gone(container));
            }
            // It may have been started meanwhile.
            if !container.record().state.is_running() {
                return self.remove_in_turn(container, volumes).await;
            }
        }
    }

    /// Removes it, for who has its turn. What fails stays stored as being removed.
    pub(super) async fn remove_in_turn(&self, container: &Arc<Container>, volumes: bool) -> Result<()> {
        let record = container.record();
        let half_done = matches!(record.state, State::Starting { .. } | State::Removing { .. });
        let ended = record.state.ended().cloned();
        self.change(container, |record| record.state = State::Removing { ended }).await?;
        self.clear(&record, half_done).await.doing(|| format!("removing container {}", record.name))?;
        self.release_held(&record, volumes).await?;
        let (records, id) = (self.0.records.clone(), record.id);
        blocking(move || records.remove(id)).await?;
        self.shelf().remove(&record.id);
        self.execs().forget(record.id);
        self.tell(&record, "destroy", &[]);
        container.tell_removed();
        Ok(())
    }
}
