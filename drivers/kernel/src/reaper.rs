//! Deletes what was cut off. Deleting links makes the caller wait for every processor (15 to 34 ms, however many
//! links), so it has a thread and a socket of its own, and takes all of them at once.

use std::net::IpAddr;

use trestle_core::resource::{Namespace, Resource};
use trestle_core::{Doing, Plan, Result, failpoint};

use crate::firewall::conntrack::ConnectionTracker;
use crate::mark::Instance;
use crate::netlink::{Socket, message};
use crate::thread::Rest;

/// What the reaper's thread owns.
pub(crate) struct Reaper {
    instance: Instance,
    host: Socket,
    connections: ConnectionTracker,
}

impl Rest for Reaper {}

impl Reaper {
    pub(crate) fn open(instance: Instance) -> Result<Self> {
        Ok(Self { instance, host: Socket::open()?, connections: ConnectionTracker::open()? })
    }

    /// Deletes the group of the doomed, and then what the connection tracker knew of the addresses that went with them.
    /// The kernel answers when the links are gone.
    pub(crate) fn reap(&mut self, gone: &[Plan]) -> Result<()> {
        self.delete_doomed().doing(|| "deleting links that were cut off")?;
        failpoint!("kernel.links-deleted");
        let addresses: Vec<IpAddr> = gone.iter().flat_map(Plan::resources).filter_map(sandbox_address).collect();
        if !addresses.is_empty() {
            self.connections.forget_addresses(&addresses)?;
            failpoint!("kernel.connections-forgotten");
        }
        Ok(())
    }

    fn delete_doomed(&mut self) -> Result<()> {
        let request = message::delete_group(self.instance.doomed_group());
        match self.host.batch(&[&request])?.into_iter().next() {
            // ENODEV: nothing was cut off, or it went with its namespace.
            Some(Err(refusal)) if refusal.errno != libc::ENODEV => Err(refusal.error(request.message())),
            _ => Ok(()),
        }
    }
}

/// An address that a container had; the host's own are not forgotten, for the host may have them still.
fn sandbox_address(resource: &Resource) -> Option<IpAddr> {
    match resource {
        Resource::Address(it) if it.namespace != Namespace::Host => Some(it.address.addr()),
        _ => None,
    }
}
