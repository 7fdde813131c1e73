//! Paying what detached endpoints owe: links are deleted in groups, plugins are told, addresses are given back.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::claims::{Claim, Held};
use super::inner::either;
use crate::endpoint::{Endpoint, EndpointState, Lifetime, Owed};
use crate::error::{Doing, Error, Result};
use crate::event::{Action, Subject};
use crate::id::EndpointId;
use crate::plan::Plan;
use crate::store::{Change, Key, Record};

/// How long to wait before a debt that could not be paid is tried again, at first and at most.
pub(super) const PATIENCE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

impl Inner {
    /// Pays whenever something is owed; tries again, ever more patiently, what could not be paid.
    pub(super) async fn reap_forever(self: Arc<Self>) {
        let mut patience = PATIENCE.0;
        self.owing.notified().await;
        loop {
            if self.reap().await {
                patience = PATIENCE.0;
                self.owing.notified().await;
            } else {
                // What is owed anew meanwhile does not wait for what can't be paid.
                either(pin!(self.owing.notified()), self.surroundings.clock.sleep(patience)).await;
                patience = PATIENCE.1.min(patience * 2);
            }
        }
    }

    /// Pays what is owed by all endpoints that nobody else has in hand. Whether all went well.
    pub(super) async fn reap(self: &Arc<Self>) -> bool {
        let _one_at_a_time = self.reaping.lock().await;
        let owing = self.owing_endpoints();
        let mut in_hand: BTreeMap<EndpointId, Held> =
            owing.into_iter().filter_map(|id| Some((id, self.try_take(Claim::Endpoint(id))?))).collect();
        let paid = self.pay_all(&mut in_hand).await;
        drop(in_hand);
        let finished = self.finish_sandboxes().await;
        let removed = self.finish_networks().await;
        let stored = self.store_owed().await;
        let released = self.release_owed().await;
        let errors: Vec<Error> =
            [paid.err(), finished.err(), removed.err(), stored.err(), released.err()].into_iter().flatten().collect();
        errors.iter().for_each(|error| tracing::warn!(%error, "something is still owed"));
        errors.is_empty()
    }

    /// Every endpoint that owes something.
    pub(super) fn owing_endpoints(&self) -> Vec<EndpointId> {
        let owes = |it: &&Arc<Endpoint>| matches!(it.state, EndpointState::Reserving | EndpointState::Detaching { .. });
        self.state().endpoints.values().filter(owes).map(|endpoint| endpoint.id).collect()
    }

    /// Pays for all of these, but leaves to tasks of their own what is owed outside.
    async fn pay_all(self: &Arc<Self>, in_hand: &mut BTreeMap<EndpointId, Held>) -> Result<()> {
        let (debts, mut errors) = self.clear(in_hand.keys().copied().collect()).await;
        for debt in debts {
            let id = debt.endpoint.id;
            let driver = self.state().network_of(&debt.endpoint)?.driver.clone();
            match in_hand.remove(&id) {
                Some(held) if debt.is_clean() && self.is_outside(&driver) => {
                    let inner = Arc::clone(self);
                    self.pay_aside(Key::Endpoint(id), held, async move { inner.close(debt).await });
                }
                _held => errors.extend(self.close(debt).await.err()),
            }
        }
        self.freed.notify_waiters();
        Error::several(errors).map_or(Ok(()), Err)
    }

    /// Stores what the store would not take before.
    async fn store_owed(&self) -> Result<()> {
        let owed = {
            let state = self.state();
            state.standing(state.unstored.iter().copied())
        };
        if owed.is_empty() { Ok(()) } else { self.commit(owed).await }
    }

    /// Waits until these endpoints owe nothing: all at once where nobody has them in hand, else when they are let go.
    pub(super) async fn hurry(self: &Arc<Self>, ids: Vec<EndpointId>) {
        if ids.is_empty() {
            return;
        }
        self.reap().await;
        for id in ids {
            while self.debt(id).is_some() {
                let freed = self.freed.notified();
                let Some(_endpoint) = self.try_take(Claim::Endpoint(id)) else {
                    freed.await;
                    continue;
                };
                if let Err(error) = self.pay(vec![id]).await {
                    tracing::warn!(%error, "something is still owed");
                }
                break;
            }
        }
    }

    /// Waits until an endpoint owes nothing. The caller has it in hand.
    pub(super) async fn settled(self: &Arc<Self>, id: EndpointId) -> Result<Arc<Endpoint>> {
        if matches!(self.known_endpoint(id)?.state, EndpointState::Detaching { .. }) {
            self.pay(vec![id]).await?;
        }
        self.known_endpoint(id)
    }

    /// Pays what these endpoints owe, links all at once; goes on over errors. The caller has them in hand.
    pub(super) async fn pay(self: &Arc<Self>, ids: Vec<EndpointId>) -> Result<()> {
        let (debts, mut errors) = self.clear(ids).await;
        for debt in debts {
            errors.extend(self.close(debt).await.err());
        }
        // Whoever hurries an endpoint waits for its debts to be paid, not for it to be let go.
        self.freed.notify_waiters();
        Error::several(errors).map_or(Ok(()), Err)
    }

    /// Pays what of these debts the kernel is owed; answers with what is left of them.
    async fn clear(&self, ids: Vec<EndpointId>) -> (Vec<Debt>, Vec<Error>) {
        let mut errors = Vec::new();
        let mut debts: Vec<Debt> = ids.into_iter().filter_map(|id| self.debt(id)).collect();
        let changing = self.changing.read().await;
        for debt in debts.iter_mut().filter(|debt| debt.owed.contains(&Owed::Cut)) {
            match self.surroundings.kernel.remove(&debt.plan).await {
                Ok(()) => {
                    self.state().ports.release_all(debt.endpoint.id);
                    debt.pay(Owed::Cut);
                }
                Err(error) => errors.push(error),
            }
        }
        let ready = |debt: &&Debt| debt.owed.contains(&Owed::Reap) && !debt.owed.contains(&Owed::Cut);
        let gone: Vec<Plan> = debts.iter().filter(ready).map(|debt| debt.plan.clone()).collect();
        if !gone.is_empty() {
            match self.surroundings.kernel.reap(&gone).await {
                Ok(()) => debts
                    .iter_mut()
                    .filter(|debt| !debt.owed.contains(&Owed::Cut))
                    .for_each(|debt| debt.pay(Owed::Reap)),
                Err(error) => errors.push(error),
            }
        }
        drop(changing);
        (debts, errors)
    }

    pub(super) fn debt(&self, id: EndpointId) -> Option<Debt> {
        let endpoint = self.state().endpoints.get(&id)?.clone();
        match &endpoint.state {
            EndpointState::Detaching { plan, owed, .. } => {
                Some(Debt { plan: plan.clone(), owed: owed.clone(), endpoint: Endpoint::clone(&endpoint) })
            }
            EndpointState::Reserving => {
                Some(Debt { plan: Plan::new(), owed: vec![Owed::Forget], endpoint: Endpoint::clone(&endpoint) })
            }
            _ => None,
        }
    }

    /// What is left once the kernel is clean: the driver, the addresses, the record.
    async fn close(&self, mut debt: Debt) -> Result<()> {
        let network = self.state().network_of(&debt.endpoint)?;
        let driver = self.surroundings.registry.driver(&network.driver)?;
        let name = debt.endpoint.name.clone();
        let is_clean = debt.is_clean();
        let mut outcome = Ok(());
        if is_clean && debt.owed.contains(&Owed::Leave) {
            outcome = driver.leave(&network, &debt.endpoint).await;
            if outcome.is_ok() {
                debt.pay(Owed::Leave);
            }
        }
        if is_clean && outcome.is_ok() && debt.owed.contains(&Owed::Forget) {
            outcome = self.forget(&network, &debt.endpoint).await;
            if outcome.is_ok() {
                if debt.endpoint.lifetime == Lifetime::Explicit && debt.endpoint.state != EndpointState::Reserving {
                    let attributes = [("network", network.name.to_string())];
                    self.tell(Subject::Endpoint, Action::Destroy, debt.endpoint.id, &name, attributes);
                }
                return Ok(());
            }
        }
        let stored = self.commit(vec![Change::Put(Record::Endpoint(Box::new(debt.into_endpoint())))]).await;
        outcome.and(stored).doing(|| format!("finishing with endpoint {name}"))
    }
}

/// What an endpoint owes.
pub(super) struct Debt {
    endpoint: Endpoint,
    plan: Plan,
    owed: Vec<Owed>,
}

impl Debt {
    /// Whether nothing is left in the kernel.
    fn is_clean(&self) -> bool {
        !self.owed.contains(&Owed::Cut) && !self.owed.contains(&Owed::Reap)
    }

    fn pay(&mut self, debt: Owed) {
        self.owed.retain(|owed| *owed != debt);
    }

    fn into_endpoint(self) -> Endpoint {
        let state = match self.endpoint.state {
            _ if self.owed.is_empty() => EndpointState::Reserved,
            EndpointState::Detaching { sandbox, interface, plan, .. } => {
                EndpointState::Detaching { sandbox, interface, plan, owed: self.owed }
            }
            other => other,
        };
        Endpoint { state, ..self.endpoint }
    }
}
