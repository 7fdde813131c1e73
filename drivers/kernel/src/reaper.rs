//! Deletes what was cut off. Deleting links makes the caller wait for every processor (15 to 34 ms, however many
//! links), so it has a thread and a socket of its own, and takes all of them at once.

use trestle_core::{Doing, Plan, Result};

use crate::mark::Instance;
use crate::netlink::{Socket, message};

/// What the reaper's thread owns.
pub(crate) struct Reaper {
    instance: Instance,
    host: Socket,
}

impl Reaper {
    pub(crate) fn open(instance: Instance) -> Result<Self> {
        Ok(Self { instance, host: Socket::open()? })
    }

    /// Deletes the group of the doomed. The kernel answers when they are gone.
    pub(crate) fn reap(&mut self, _gone: &[Plan]) -> Result<()> {
        let request = message::delete_group(self.instance.doomed_group());
        let answers = self.host.batch(&[&request]).doing(|| "deleting links")?;
        match answers.into_iter().next() {
            // Nothing was cut off, or it went with its namespace.
            Some(Err(refusal)) if refusal.errno != libc::ENODEV => {
                Err(refusal.error(request.message())).doing(|| "deleting links that were cut off")
            }
            _ => Ok(()),
        }
    }
}
