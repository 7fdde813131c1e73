//! The kernel layer's contract: make a plan so.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::plan::Plan;
use crate::resource::Namespace;

/// Makes plans so. The only party that acts on Linux.
///
/// Every act is idempotent: making what is there, and removing what is gone, succeed. What does not bear our mark is
/// never changed or removed; meeting it where ours should be is a `Conflict` that names it.
#[async_trait]
pub trait Kernel: Send + Sync {
    /// The host as it is now.
    async fn facts(&self) -> Result<Facts>;

    /// Which namespace this is: a number that no other has in this boot (`SO_NETNS_COOKIE`).
    ///
    /// # Errors
    /// `NotFound` if nothing is at its path; `Invalid` if what is there is no network namespace.
    async fn cookie(&self, namespace: &Namespace) -> Result<u64>;

    /// Says that a plan with a new namespace is on its way, so that making it can begin before the plan is known. A hint:
    /// nothing comes of it that outlives this process, and it may be said in vain.
    fn expect_namespace(&self) {}

    /// Gets from one plan to another by their [difference](Plan::difference): what stands in both is not touched.
    ///
    /// Setting up stops at the first error, and some of the difference may be done then; `replace(to, from)` undoes
    /// it. Tearing down goes on over errors and returns them all. Ports are held first and doors opened last. A
    /// removed link is cut off before the answer (no packet passes it any more), and deleted by [`Kernel::reap`].
    ///
    /// Where more is to go than doors of the firewall, somebody leaves, and leaving does not depend on what comes in its
    /// stead: once the ports are held, all that is to go goes even if setting up fails, and the door of nothing new is
    /// opened. Where a given namespace is gone, or another one is at its path, nothing of it can be left behind: taking
    /// things out of it succeeds, and what such a change would have set right in it is passed over.
    ///
    /// # Errors
    /// `NotFound` for a given namespace that is gone;
    /// `Conflict` for a port that another program holds (the text names it) and for a stranger's link; `Unsupported`
    /// for what this kernel lacks; `Internal` with the kernel's own words.
    async fn replace(&self, from: &Plan, to: &Plan) -> Result<()>;

    /// Makes a plan so.
    async fn apply(&self, plan: &Plan) -> Result<()> {
        self.replace(&Plan::new(), plan).await
    }

    /// Undoes a plan, whole or half made.
    async fn remove(&self, plan: &Plan) -> Result<()> {
        self.replace(plan, &Plan::new()).await
    }

    /// Deletes every link that [`Kernel::replace`] has cut off, all at once, and answers when they are gone. Before
    /// that, no address, name or MAC of theirs may be used again. Forgets what the connection tracker knew of the
    /// addresses in these plans.
    async fn reap(&self, gone: &[Plan]) -> Result<()>;

    /// Makes all of these plans so at start or in repair, each on its own, and the whole firewall in one transaction;
    /// one answer a plan. A port that another program took meanwhile is no error here but a [`Drift`]; its mapping is kept.
    async fn restore(&self, plans: &[Plan]) -> Vec<Result<()>>;

    /// What of a plan is not as it should be.
    async fn verify(&self, plan: &Plan) -> Result<Vec<Drift>>;

    /// Whatever bears our mark and stands in none of these plans, as a person would name it.
    async fn strays(&self, keep: &[Plan]) -> Result<Vec<String>>;

    /// Removes whatever bears our mark and stands in none of these plans; answers with what it was.
    async fn sweep(&self, keep: &[Plan]) -> Result<Vec<String>>;

    /// Waits until somebody else has changed what we look after. `None` when there will be no more news.
    async fn disturbed(&self) -> Option<Disturbance>;
}

/// Something that is not as its plan says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The resource, as a person would name it: `link veth0123456789`, `port 0.0.0.0:80/tcp`.
    pub resource: String,
    /// In what way.
    pub deviation: Deviation,
    /// What is there instead, or what to do about it.
    pub detail: String,
}

/// In what way a resource is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deviation {
    /// It is not there.
    Missing,
    /// It is there with other values.
    Altered,
    /// A stranger's thing stands in its place, or in its way.
    Obstructed,
    /// It bears our mark and belongs to nothing.
    Stray,
}

/// News of a change that was not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Our firewall rules were changed; by whom, where the kernel tells (a process's name and pid).
    Firewall {
        /// The one who did it.
        by: Option<String>,
    },
    /// A link of ours went, or was changed.
    Link {
        /// Its name.
        name: String,
    },
    /// The kernel dropped notifications: anything may have changed.
    Lost,
}

/// Why a plan could not be made so, when it was for a port.
///
/// The controller asks for another port when an ephemeral one turns out to be taken.
pub fn is_port_taken(error: &Error) -> bool {
    error.kind() == crate::error::ErrorKind::Conflict && error.cause().starts_with(PORT_TAKEN)
}

/// How the cause of a `Conflict` over a port begins: `port 0.0.0.0:80/tcp is taken by nginx (pid 7)`.
pub const PORT_TAKEN: &str = "port ";
