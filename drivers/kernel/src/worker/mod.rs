//! The worker: the one thread that changes the kernel, and everything that it owns.
//!
//! | to find | look in |
//! |---|---|
//! | in which order a difference is made so | `replace` |
//! | bridges and pairs | `links` |
//! | addresses, routes, rules | `addressing` |
//! | what is not as it should be | `verify` |
//! | what is ours and in no plan | `sweep` |

mod addressing;
mod facts;
mod links;
mod replace;
mod restore;
mod steps;
mod sweep;
mod verify;

use std::sync::Arc;

use trestle_core::resource::{Namespace, Resource, Sysctl};
use trestle_core::{Doing, Error, Result};

use crate::announce::Announcer;
use crate::carrier::Carrier;
use crate::firewall::Firewall;
use crate::firewall::conntrack::ConnectionTracker;
use crate::mark::Instance;
use crate::namespace::{self, Namespaces};
use crate::netlink::Socket;
use crate::ports::Ports;
use crate::sysctl;
use crate::watch::Expectations;

/// What the worker owns.
pub(crate) struct Worker {
    pub(crate) instance: Instance,
    pub(crate) host: Socket,
    pub(crate) firewall: Firewall,
    pub(crate) connections: ConnectionTracker,
    pub(crate) namespaces: Namespaces,
    pub(crate) ports: Ports,
    pub(crate) announcer: Announcer,
    pub(crate) carrier: Carrier,
    pub(crate) expected: Arc<Expectations>,
}

impl Worker {
    /// The socket into a namespace; `None` if the namespace is gone.
    fn socket(&mut self, namespace: &Namespace) -> Result<Option<&mut Socket>> {
        match namespace {
            Namespace::Host => Ok(Some(&mut self.host)),
            Namespace::At(path) => {
                self.namespaces.socket(path).doing(|| format!("entering the namespace {}", path.display()))
            }
        }
    }

    /// Makes the host's settings say what they said before us, where that is asked for. Goes on over errors.
    fn put_sysctls_back(&self, removed: &[&Resource]) -> Vec<Error> {
        let of_host = removed.iter().filter_map(|it| match it {
            Resource::Sysctl(it) if it.namespace == Namespace::Host => Some(it),
            _ => None,
        });
        of_host.filter_map(|it| sysctl::put_back(it).doing(|| format!("changing {it} back")).err()).collect()
    }

    /// Makes settings say what they should: the host's here, a sandbox's all on one thread in it.
    fn set_sysctls(&self, wanted: &[&Sysctl]) -> Result<()> {
        let set_all = |wanted: &[&Sysctl]| -> Result<()> {
            wanted.iter().try_for_each(|it| sysctl::set(it).doing(|| format!("changing {it}")))
        };
        for group in wanted.chunk_by(|one, other| one.namespace == other.namespace) {
            match &group[0].namespace {
                Namespace::Host => set_all(group)?,
                Namespace::At(path) => namespace::within(&namespace::open(path)?, || set_all(group))??,
            }
        }
        Ok(())
    }
}
