//! What every handler has at hand, and how it gets work done.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{RwLock, watch};

use trestle_core::{Error, ErrorKind, Result};
use trestle_engine::Engine;

use super::error::Refusal;
use crate::api::unending::{Broken, Unending};

/// What a handler has at hand. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Containers, images, volumes, networks; it has the controller.
    pub engine: Engine,
    /// What the daemon tells about itself.
    pub about: Arc<About>,
    /// Turns true when the daemon stops: streams end then.
    pub stopping: watch::Receiver<bool>,
    /// Held for reading by all work that is under way.
    pub work: Arc<RwLock<()>>,
}

/// What the daemon tells about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The daemon's version.
    pub version: String,
    /// The kernel's.
    pub kernel: String,
    /// The machine, as the kernel calls it: `x86_64`.
    pub machine: String,
    /// The host's name.
    pub hostname: String,
    /// For what survives a restart of the machine.
    pub data_root: PathBuf,
    /// Whether everything that helps to find a fault is logged.
    pub debug: bool,
}

impl App {
    /// Does work that ends whatever becomes of its caller. What waits for others (a container's end, an event) is no
    /// work: the daemon would not stop before it.
    pub async fn act<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let under_way = Arc::clone(&self.work).read_owned().await;
        let held = async move {
            let result = work.await;
            drop(under_way);
            result
        };
        match Unending::new(held).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                match error.kind() {
                    ErrorKind::Internal | ErrorKind::Unavailable => tracing::warn!("{error}"),
                    kind => tracing::debug!(?kind, "{error}"),
                }
                Err(error.into())
            }
            Err(Broken) => {
                tracing::error!("the daemon has a defect");
                Err(Error::internal("the daemon has a defect; its log tells more").into())
            }
        }
    }

    /// The same for work that waits for the disk.
    pub async fn act_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.act(async { tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal(error.to_string()))? })
            .await
    }
}
