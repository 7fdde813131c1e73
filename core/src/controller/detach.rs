//! Taking an endpoint out of its sandbox: the one way out, for a person's wish as for an attach that failed.
//!
//! Detaching cuts off and answers; what takes the kernel long is owed, and paid by the reaper.

use std::sync::Arc;

use super::Inner;
use super::attach::both;
use super::claims::Claim;
use super::endpoints::Reservation;
use super::sandbox_plan::together;
use crate::endpoint::{Endpoint, EndpointState, Lifetime, Owed, Plans};
use crate::error::{Error, Result};
use crate::event::{Action, Subject};
use crate::id::EndpointId;
use crate::plan::Plan;
use crate::sandbox::{Sandbox, SandboxState};
use crate::store::{Change, Record};

impl Inner {
    /// Takes an endpoint out of its sandbox; it stays reserved, or goes if it lived as long as its attachment.
    pub(super) async fn leave(self: &Arc<Self>, id: EndpointId) -> Result<()> {
        let _endpoint = self.take(Claim::Endpoint(id)).await;
        // Somebody else may have taken it out while we waited.
        let Ok(endpoint) = self.known_endpoint(id) else { return Ok(()) };
        match endpoint.state {
            EndpointState::Reserving | EndpointState::Reserved | EndpointState::Detaching { .. } => Ok(()),
            _ => self.detach(&endpoint, false).await,
        }
    }

    /// Cuts an endpoint off. The caller has it in hand. If the wish can't even be stored nothing is changed.
    pub(super) async fn detach(self: &Arc<Self>, endpoint: &Endpoint, forget: bool) -> Result<()> {
        let Some(sandbox) = endpoint.state.sandbox() else { return Ok(()) };
        let _sandbox = self.take(Claim::Sandbox(sandbox)).await;
        let _changing = self.changing.read().await;
        let detaching = self.detaching(endpoint, forget)?;
        let sandbox = self.known_sandbox(sandbox)?;
        let before = sandbox.state.footprint();
        let after = self.sandbox_without(&sandbox, endpoint.id);
        self.commit_both(&detaching, &sandbox, sandbox.state.between(&before, &after)).await?;
        let outcome = self.cut(endpoint, &before, &after).await;
        let settled = self.after_cut(detaching, outcome.is_ok());
        // What of the sandbox's own change was not done is done by the reaper, as what the endpoint owes.
        let state = match outcome {
            Ok(()) => sandbox.state.at(after),
            Err(_) => sandbox.state.between(&before, &after),
        };
        let stored = self.settle_on(both(&settled, &sandbox, state)).await;
        self.tell_disconnected(endpoint, &sandbox)?;
        self.owing.notify_one();
        Error::several([outcome.err(), stored.err()].into_iter().flatten().collect()).map_or(Ok(()), Err)
    }

    /// Tells who listens that an endpoint is out, if they were told that it was in.
    pub(super) fn tell_disconnected(&self, endpoint: &Endpoint, sandbox: &Sandbox) -> Result<()> {
        let was_told = !matches!(sandbox.state, SandboxState::Creating { .. });
        if was_told && matches!(endpoint.state, EndpointState::Attached(_) | EndpointState::Changing { .. }) {
            let network = self.state().network_of(endpoint)?.name.to_string();
            let attributes = [("network", network), ("sandbox", sandbox.id.to_string())];
            self.tell(Subject::Endpoint, Action::Disconnect, endpoint.id, &endpoint.name, attributes);
        }
        Ok(())
    }

    /// Undoes a failed try before the next one: nothing of it stays in the kernel, the place stays promised.
    pub(super) async fn back_out(self: &Arc<Self>, place: &Reservation) -> Result<()> {
        let stored = self.state().endpoints.get(&place.endpoint.id).cloned();
        let Some((stored, sandbox)) = stored.and_then(|stored| Some((stored.clone(), stored.state.sandbox()?))) else {
            self.state().ports.release_all(place.endpoint.id);
            return Ok(());
        };
        let _changing = self.changing.read().await;
        let sandbox = self.known_sandbox(sandbox)?;
        let after = self.sandbox_without(&sandbox, stored.id);
        self.cut(&stored, &sandbox.state.footprint(), &after).await?;
        self.surroundings.kernel.reap(&[stored.state.footprint()]).await?;
        self.state().ports.release_all(stored.id);
        self.commit_both(&stored.reservation(), &sandbox, sandbox.state.at(after)).await
    }

    /// Leaves nothing of an attach that failed: what was stored is detached and reaped, what was only promised is given up.
    pub(super) async fn abandon(self: &Arc<Self>, place: &Reservation) -> Result<()> {
        let stored = self.state().endpoints.get(&place.endpoint.id).cloned();
        let in_sandbox = stored.as_ref().is_some_and(|stored| stored.state.sandbox().is_some());
        if !in_sandbox {
            self.state().ports.release_all(place.endpoint.id);
        }
        match stored {
            None => {
                self.give_up(&place.network, &place.endpoint).await;
                Ok(())
            }
            Some(stored) if in_sandbox => {
                let detached = match self.detach(&stored, false).await {
                    Ok(()) => Ok(()),
                    // Not even the wish could be stored. Stored is `Attaching`, which a restart removes: remove it now.
                    Err(error) => self.detach_unstored(&stored).await.and(Err(error)),
                };
                detached.and(self.pay(vec![stored.id]).await)
            }
            Some(stored) if stored.lifetime == Lifetime::Explicit => Ok(()),
            Some(stored) => self.forget(&place.network, &stored).await,
        }
    }

    /// The endpoint as it is stored while it is being cut off.
    pub(super) fn detaching(&self, endpoint: &Endpoint, forget: bool) -> Result<Endpoint> {
        let network = self.state().network_of(endpoint)?;
        let external = self.surroundings.registry.driver(&network.driver)?.capability().external;
        let forget = forget || endpoint.lifetime == Lifetime::Attachment;
        let owed = [Some(Owed::Cut), Some(Owed::Reap), external.then_some(Owed::Leave), forget.then_some(Owed::Forget)];
        let Some(sandbox) = endpoint.state.sandbox() else { return Ok(endpoint.clone()) };
        let state = EndpointState::Detaching {
            sandbox,
            interface: endpoint.state.interface().cloned(),
            plan: endpoint.state.footprint(),
            owed: owed.into_iter().flatten().collect(),
        };
        Ok(Endpoint { state, ..endpoint.clone() })
    }

    /// Closes the doors, lets the ports go and takes the links out of service.
    async fn cut(&self, endpoint: &Endpoint, before: &Plan, after: &Plan) -> Result<()> {
        let own = Plans { link: endpoint.state.footprint(), ports: Plan::new() };
        self.surroundings.kernel.replace(&together(before, &own), after).await
    }

    /// Once it is cut off, its ports are anybody's.
    pub(super) fn after_cut(&self, mut endpoint: Endpoint, done: bool) -> Endpoint {
        if let EndpointState::Detaching { owed, .. } = &mut endpoint.state
            && done
        {
            owed.retain(|debt| *debt != Owed::Cut);
            self.state().ports.release_all(endpoint.id);
        }
        endpoint
    }

    /// Detaches in memory and in the kernel when the store refuses; the reaper stores it when it can again.
    async fn detach_unstored(self: &Arc<Self>, endpoint: &Endpoint) -> Result<()> {
        if self.debt(endpoint.id).is_some() {
            return Ok(());
        }
        let detaching = self.detaching(endpoint, false)?;
        self.settle_on(vec![Change::Put(Record::Endpoint(Box::new(detaching)))]).await
    }

    /// Makes sure that an endpoint on its way out is forgotten afterwards.
    pub(super) async fn owe_forgetting(&self, endpoint: &Endpoint) -> Result<()> {
        let mut endpoint = endpoint.clone();
        if let EndpointState::Detaching { owed, .. } = &mut endpoint.state
            && !owed.contains(&Owed::Forget)
        {
            owed.push(Owed::Forget);
            self.commit(vec![Change::Put(Record::Endpoint(Box::new(endpoint)))]).await?;
            self.owing.notify_one();
        }
        Ok(())
    }
}
