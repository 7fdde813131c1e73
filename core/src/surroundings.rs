//! What the controller is given and never makes itself: kernel, store, drivers, time, randomness, tasks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::entropy::Entropy;
use crate::kernel::Kernel;
use crate::registry::Registry;
use crate::store::Store;
use crate::witness::Witness;

/// A source of time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> SystemTime;

    /// Ends when so much time has passed.
    fn sleep(&self, length: Duration) -> Task;
}

/// A future on its way to a task of its own.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs tasks to their end, whoever asked for them and whatever becomes of him.
pub trait Spawn: Send + Sync {
    /// Starts the task; returns at once.
    fn spawn(&self, task: Task);
}

/// All that a controller stands on.
#[derive(Clone)]
pub struct Surroundings {
    /// Applies plans.
    pub kernel: Arc<dyn Kernel>,
    /// Keeps records.
    pub store: Arc<dyn Store>,
    /// Drivers and address managers by name.
    pub registry: Arc<Registry>,
    /// Where ids and MAC addresses come from.
    pub entropy: Arc<dyn Entropy>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who runs the tasks.
    pub spawn: Arc<dyn Spawn>,
    /// Who sees every commit; nobody has to.
    pub witness: Option<Arc<dyn Witness>>,
}
