//! A sandbox: one container's network namespace, with the endpoints in it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::dns::Naming;
use crate::id::{EndpointId, NetworkId, SandboxId};
use crate::mac::MacAddress;
use crate::name::SandboxName;
use crate::plan::Plan;
use crate::resource::Namespace;

/// A sandbox as it is stored. Which endpoints are in it is told by the endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sandbox {
    /// For ever.
    pub id: SandboxId,
    /// Unique among sandboxes: the container's name or id.
    pub name: SandboxName,
    /// Its network namespace.
    pub netns: SandboxNetns,
    /// What it is told about names; `None` if nobody asked for names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<Box<Naming>>,
    /// Where it stands.
    pub state: SandboxState,
}

/// Where a sandbox's namespace comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum SandboxNetns {
    /// We made it, and remove it with the sandbox.
    Made {
        /// The file it is bound to.
        path: PathBuf,
    },
    /// Somebody gave it to us; it is used and left.
    Given {
        /// The file it was found behind, `/proc/PID/ns/net` where a process was named.
        path: PathBuf,
        /// Which namespace that was (`SO_NETNS_COOKIE`): the path may come to lead to another one. No namespace has 0,
        /// which stands for records from before this was kept.
        #[serde(default)]
        cookie: u64,
    },
    /// The host's own.
    Host,
}

impl SandboxNetns {
    /// The namespace that resources of the sandbox live in.
    pub fn namespace(&self) -> Namespace {
        match self {
            Self::Made { path } => Namespace::At(path.clone()),
            Self::Given { path, cookie } => Namespace::Given { path: path.clone(), cookie: *cookie },
            Self::Host => Namespace::Host,
        }
    }
}

/// Where a sandbox stands.
///
/// Its plan (namespace, loopback, default routes, source rules) is a pure function of its endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SandboxState {
    /// Stored before any effect. After a crash: removed.
    Creating {
        /// What may exist.
        plan: Plan,
    },
    /// In the kernel. After a crash: applied again.
    Ready {
        /// What exists.
        plan: Plan,
    },
    /// Between two plans, because an endpoint comes or goes. After a crash: made anew from the endpoints.
    Changing {
        /// What was.
        from: Plan,
        /// What shall be.
        to: Plan,
    },
    /// Made ahead, and nobody's yet: in no list, without an address. After a crash: removed.
    Spare {
        /// What exists: a namespace, and a link on a network.
        plan: Plan,
        /// The network.
        network: NetworkId,
        /// The endpoint that the link will be.
        endpoint: EndpointId,
        /// Its MAC address.
        mac: MacAddress,
    },
    /// Being removed. After a crash that goes on.
    Deleting {
        /// What may still exist.
        plan: Plan,
    },
}

impl SandboxState {
    /// On the way from one plan to another. What is being made stays so: after a crash it goes, and does not stay empty.
    pub fn between(&self, from: &Plan, to: &Plan) -> Self {
        match self {
            Self::Creating { .. } => Self::Creating { plan: either(from, to) },
            _ => Self::Changing { from: from.clone(), to: to.clone() },
        }
    }

    /// At rest with a plan again, or with what there is of one that is being made.
    pub fn at(&self, plan: Plan) -> Self {
        match self {
            Self::Creating { .. } => Self::Creating { plan },
            _ => Self::Ready { plan },
        }
    }

    /// What is, or may be, in the kernel because of the sandbox itself.
    pub fn footprint(&self) -> Plan {
        match self {
            Self::Creating { plan } | Self::Ready { plan } | Self::Deleting { plan } | Self::Spare { plan, .. } => {
                plan.clone()
            }
            Self::Changing { from, to } => either(from, to),
        }
    }
}

/// What may exist on the way from one plan to another.
fn either(from: &Plan, to: &Plan) -> Plan {
    from.without([to]).then(to)
}
