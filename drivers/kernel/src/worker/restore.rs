//! Everything made so at once: at start, and in repair.

use trestle_core::resource::Resource;
use trestle_core::{Error, Plan, Result};

use super::Worker;
use super::moved::needs_one_of;

impl Worker {
    /// See [`trestle_core::kernel::Kernel::restore`]. The firewall goes first: what it lets through is what stood
    /// before a restart too, and what it guards must not stand open while the links are made.
    pub(crate) fn restore(&mut self, plans: &[Plan]) -> Vec<Result<()>> {
        let firewall: Vec<&Resource> = plans.iter().flat_map(Plan::resources).filter(|it| it.is_firewall()).collect();
        let doors = self.firewall.restore(&firewall);
        let restored = plans.iter().map(|plan| {
            let links = self.restore_links(plan);
            match &doors {
                Err(error) if plan.resources().iter().any(Resource::is_firewall) => links.and(Err(again(error))),
                _ => links,
            }
        });
        restored.collect()
    }

    fn restore_links(&mut self, plan: &Plan) -> Result<()> {
        for resource in plan.resources() {
            if let Resource::PublishedPort(port) = resource {
                self.ports.hold_or_remember(port);
            }
        }
        let lost = self.lost(plan)?;
        for link in &lost {
            tracing::warn!(%link, "it is gone, and only its plugin can make it again");
        }
        let stays = |it: &&Resource| !it.is_firewall() && !needs_one_of(it, &lost);
        let links: Plan = plan.resources().iter().filter(stays).cloned().collect();
        let made = self.set_up(&Plan::new().difference(&links), &links);
        // Nobody's address is new here, so once is enough: after a restart there may be hundreds of them.
        self.end_announcements(&links.resources().iter().collect::<Vec<_>>());
        made
    }
}

/// The same error for another plan.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.to_string())
}
