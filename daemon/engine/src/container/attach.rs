//! Attaching to a container, now or as soon as it is started; and what it printed before.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use trestle_core::{Error, Result};

use super::containers::Containers;
use super::live::Container;
use super::record::LogDriver;
use super::state::State;
use crate::attach::{Socket, Talk, Talked, talk};
use crate::logs::{self, LogRequest, Piece};

/// A caller who is attached, or will be once the container starts.
pub struct Attached {
    container: Arc<Container>,
    source: Source,
}

enum Source {
    Now(Socket),
    AtStart(oneshot::Receiver<Socket>),
}

impl Containers {
    /// Attaches to a container: to one that does not run, before it prints anything.
    ///
    /// # Errors
    /// `Conflict` where it can't be attached to, worded as Docker words it.
    pub fn attach(&self, container: &Arc<Container>) -> Result<Attached> {
        let source = match &container.record().state {
            State::Running(run) if run.paused => {
                return Err(Error::conflict(format!(
                    "container {} is paused, unpause the container before attach",
                    container.id
                )));
            }
            State::Restarting(_) => {
                return Err(Error::conflict(format!(
                    "container {} is restarting, wait until the container is running",
                    container.id
                )));
            }
            State::Running(_) => Source::Now(Socket::connect(&self.bundle(container.id))?),
            _ => Source::AtStart(container.next_socket()),
        };
        self.tell(&container.record(), "attach", &[]);
        Ok(Attached { container: Arc::clone(container), source })
    }

    /// Talks until the container ends, or the caller has enough.
    ///
    /// # Errors
    /// `Internal` where the connection to the monitor broke.
    pub async fn talk<S: AsyncRead + AsyncWrite>(&self, attached: Attached, caller: S, wish: &Talk) -> Result<()> {
        let socket = match attached.source {
            Source::Now(socket) => socket,
            Source::AtStart(socket) => match socket.await {
                Ok(socket) => socket,
                // Its start failed: there is nothing to hear.
                Err(_) => return Ok(()),
            },
        };
        if talk(caller, &socket, wish).await? == Talked::Detached {
            self.tell(&attached.container.record(), "detach", &[]);
        }
        Ok(())
    }

    /// What a container printed, and will print if that is asked.
    ///
    /// # Errors
    /// `Unsupported` where nothing is kept, worded as Docker words it.
    pub fn logs(&self, container: &Arc<Container>, request: LogRequest) -> Result<mpsc::Receiver<Piece>> {
        if container.record().log_driver == LogDriver::None {
            return Err(Error::unsupported("configured logging driver does not support reading"));
        }
        let (send, pieces) = mpsc::channel(64);
        let (path, running, id) = (self.log_path(container.id), container.running(), container.id);
        // It ends with the log, or when nobody listens.
        drop(tokio::spawn(async move {
            if let Err(error) = logs::read(path, request, running, send).await {
                tracing::warn!(%error, container = %id, "a log could not be read");
            }
        }));
        Ok(pieces)
    }

    /// Tells a container's terminal how large its window is.
    ///
    /// # Errors
    /// `Conflict` where it does not run.
    pub fn resize(&self, container: &Container, height: u16, width: u16) -> Result<()> {
        self.run_of(container)?;
        crate::attach::resize(&self.bundle(container.id), height, width)?;
        let size = [("height", height.to_string()), ("width", width.to_string())];
        self.tell(&container.record(), "resize", &size);
        Ok(())
    }
}
