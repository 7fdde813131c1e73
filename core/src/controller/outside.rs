//! What drivers outside of this process need: they may be slow, die, and ask us things while they are asked.
//!
//! So what they are asked for stands on record first, nothing is in hand meanwhile but the endpoint itself, and what is
//! owed to them is paid on tasks of their own: one who does not answer keeps nobody waiting.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::attach::{Door, attachment, check_place, wish};
use super::claims::Held;
use super::endpoints::Reservation;
use super::ports::Refused;
use super::reaper::PATIENCE;
use crate::driver::Slot;
use crate::endpoint::EndpointState;
use crate::error::Result;
use crate::failpoint;
use crate::id::SandboxId;
use crate::plan::Plan;
use crate::store::{Change, Key, Record};

/// Something owed outside that could not be paid, or is being paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// How long to wait after the next failure.
    wait: Duration,
    /// Whether somebody is at it, or waits to be again.
    busy: bool,
}

impl Inner {
    /// The way in by a driver outside. The sandbox is in hand before it is asked, and afterwards, and not meanwhile: it
    /// may go, and then so does what the driver did.
    pub(super) async fn enter_from_outside(
        self: &Arc<Self>,
        place: &mut Reservation,
        id: SandboxId,
        door: &Door<'_>,
    ) -> Result<()> {
        let namespace = {
            let _sandbox = self.claim_behind(door, id).await;
            let sandbox = self.sandbox_behind(door, id)?;
            check_place(place, &sandbox)?;
            place.endpoint.state = EndpointState::Joining { sandbox: id };
            self.commit(vec![Change::Put(Record::Endpoint(Box::new(place.endpoint.clone())))]).await?;
            sandbox.netns.namespace()
        };
        let Reservation { endpoint, network, driver, .. } = &*place;
        let wanted = wish(driver.as_ref(), network, endpoint);
        let slot = Slot { namespace, interface: wanted.first()? };
        let mut joined = driver.join(network, endpoint, &slot).await?;
        failpoint!("controller.driver-joined");
        let ports = self.promise_ports(driver.as_ref(), network, endpoint, &endpoint.wanted, &Refused::new())?;
        let published = match ports.is_empty() {
            true => Plan::new(),
            false => driver.publish(network, endpoint, &ports).await?,
        };
        let _sandbox = self.claim_behind(door, id).await;
        let sandbox = self.sandbox_behind(door, id)?;
        let wanted = joined.wish.take().unwrap_or(wanted);
        let (interface, table) = self.choose_slot(wanted, endpoint, &sandbox).await?;
        joined.plan = joined.plan.with_link_named(&slot.namespace, &slot.interface, &interface);
        joined.interface = joined.interface.map(|_| interface);
        let attachment = attachment(id, joined, table, ports, published);
        self.settle_in(place, attachment, &sandbox, door).await
    }

    /// Goes on with what is owed outside on a task of its own, unless one is at it or waits to be again. What fails is
    /// tried again later, ever more patiently.
    pub(super) fn pay_aside(
        self: &Arc<Self>,
        key: Key,
        held: Held,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        let wait = {
            let mut state = self.state();
            let patience = state.aside.entry(key).or_insert(Patience { wait: PATIENCE.0, busy: false });
            if std::mem::replace(&mut patience.busy, true) {
                return;
            }
            let wait = patience.wait;
            patience.wait = PATIENCE.1.min(wait * 2);
            wait
        };
        let inner = Arc::clone(self);
        self.surroundings.spawn.spawn(Box::pin(async move {
            let outcome = work.await;
            drop(held);
            let Err(error) = outcome else {
                inner.state().aside.remove(&key);
                return;
            };
            tracing::warn!(%error, "something is still owed outside");
            inner.surroundings.clock.sleep(wait).await;
            inner.be_idle(key);
            inner.owing.notify_one();
        }));
    }

    /// Lets somebody be at it again. What was paid meanwhile is nobody's concern any more.
    fn be_idle(&self, key: Key) {
        let mut state = self.state();
        let is_there = match key {
            Key::Network(id) => state.networks.contains_key(&id),
            Key::Endpoint(id) => state.endpoints.contains_key(&id),
            Key::Sandbox(id) => state.sandboxes.contains_key(&id),
        };
        match state.aside.get_mut(&key) {
            Some(patience) if is_there => patience.busy = false,
            _ => drop(state.aside.remove(&key)),
        }
    }

    /// Whether the driver of that name is outside. One that nothing can be named like is not.
    pub(super) fn is_outside(&self, driver: &str) -> bool {
        self.surroundings.registry.driver(driver).is_ok_and(|driver| driver.capability().external)
    }
}
