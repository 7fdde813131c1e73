//! Making sandboxes and removing them.

use std::path::PathBuf;
use std::sync::Arc;

use super::Inner;
use super::attach::{Door, attaching};
use super::claims::{Claim, Held};
use super::endpoints::Reservation;
use super::request::{NetnsRequest, SandboxRequest};
use super::sandbox_plan::{sandbox_plan, together};
use super::spares::Spare;
use crate::dns::Naming;
use crate::endpoint::{Endpoint, Lifetime, Plans};
use crate::error::{Doing, Error, ErrorKind, Result};
use crate::event::{Action, Subject};
use crate::id::{EndpointId, SandboxId};
use crate::name::SandboxName;
use crate::plan::Plan;
use crate::resource::Namespace;
use crate::sandbox::{Sandbox, SandboxNetns, SandboxState};
use crate::store::{Change, Key, Record};

impl Inner {
    /// Makes a sandbox with everything that it is to be attached to, or nothing at all.
    pub(super) async fn create_sandbox(self: &Arc<Self>, request: SandboxRequest) -> Result<Sandbox> {
        let spare = self.take_spare(&request);
        if spare.is_none() && request.netns == NetnsRequest::Make {
            self.surroundings.kernel.expect_namespace();
        }
        let id = match &spare {
            Some(spare) => spare.sandbox,
            None => SandboxId::random(self.surroundings.entropy.as_ref()),
        };
        let name = match request.name {
            Some(name) => name,
            None => SandboxName::try_from(format!("sandbox-{}", id.short()))?,
        };
        let ready = spare.as_ref().map(|spare| (spare.endpoint, spare.mac));
        let mut places = self.reserve_all(request.endpoints, Lifetime::Attachment, Some(name.as_str()), ready).await?;
        match self.make_sandbox(id, name, (request.netns, request.naming), &mut places, spare).await {
            Ok(sandbox) => {
                // Only now is a spare that was taken one no more.
                self.wanting.notify_one();
                self.tell(Subject::Sandbox, Action::Create, id, &sandbox.name, []);
                places.iter().for_each(|place| self.tell_connected(place, id));
                Ok(sandbox)
            }
            Err(cause) => {
                self.unmake(id, places).await;
                Err(cause)
            }
        }
    }

    /// Makes a sandbox and attaches it. It is stored as half made until it is whole.
    async fn make_sandbox(
        self: &Arc<Self>,
        id: SandboxId,
        name: SandboxName,
        (netns, naming): (NetnsRequest, Option<Naming>),
        places: &mut [Reservation],
        spare: Option<Spare>,
    ) -> Result<Sandbox> {
        let (sandbox, _claims) = self.claim_sandbox(id, name, (netns, naming), spare).await?;
        // Who acts by himself is given the path of a namespace that is there; others take one change of the kernel.
        if places.first().is_none_or(|place| place.driver.capability().external) {
            self.lay_ground(&sandbox, places.is_empty()).await.doing(|| format!("making sandbox {}", sandbox.name))?;
        }
        let mut left = places.len();
        for place in places {
            left -= 1;
            let door = Door::HalfMade { sandbox: &sandbox, last: left == 0 };
            self.enter(place, id, door).await.doing(|| attaching(place))?;
        }
        self.known_sandbox(id).map(Arc::unwrap_or_clone)
    }

    /// Makes what a sandbox needs before anything is attached to it.
    async fn lay_ground(&self, sandbox: &Sandbox, whole: bool) -> Result<()> {
        let plan = sandbox_plan(sandbox, &[]);
        let _changing = self.changing.read().await;
        self.put_sandbox(&Sandbox { state: SandboxState::Creating { plan: plan.clone() }, ..sandbox.clone() }).await?;
        self.surroundings.kernel.apply(&plan).await?;
        match whole {
            true => self.put_sandbox(&Sandbox { state: SandboxState::Ready { plan }, ..sandbox.clone() }).await,
            false => Ok(()),
        }
    }

    /// Leaves nothing of a sandbox that could not be made.
    async fn unmake(self: &Arc<Self>, id: SandboxId, places: Vec<Reservation>) {
        for place in places {
            if let Err(error) = self.abandon(&place).await {
                tracing::error!(%error, "some of a failed attach is still owed");
            }
        }
        let _sandbox = self.take(Claim::Sandbox(id)).await;
        // A spare that nothing was done to is one still.
        if let Ok(sandbox) = self.known_sandbox(id)
            && !matches!(sandbox.state, SandboxState::Spare { .. })
            && let Err(error) = self.remove_sandbox(&sandbox, &[]).await
        {
            tracing::error!(%error, sandbox = %sandbox.name, "a half-made sandbox remains");
        }
    }

    /// A sandbox that nobody else has or makes, as it is before anything is done about it.
    async fn claim_sandbox(
        self: &Arc<Self>,
        id: SandboxId,
        name: SandboxName,
        (netns, naming): (NetnsRequest, Option<Naming>),
        spare: Option<Spare>,
    ) -> Result<(Sandbox, Vec<Held>)> {
        let mut claims = vec![self.take(Claim::SandboxName(name.clone())).await];
        let plan = match spare {
            Some(Spare { plan, claim, .. }) => {
                claims.push(claim);
                plan
            }
            None => {
                claims.push(self.take(Claim::Sandbox(id)).await);
                Plan::new()
            }
        };
        self.check_new_name(&name)?;
        // Two who give the same namespace at once must not both find it free.
        if matches!(netns, NetnsRequest::Path(_) | NetnsRequest::Pid(_)) {
            claims.push(self.take(Claim::Shared).await);
        }
        let netns = match netns {
            NetnsRequest::Make => SandboxNetns::Made { path: self.config.netns_folder.join(id.short()) },
            NetnsRequest::Path(path) => self.given(path).await?,
            NetnsRequest::Pid(pid) => self.given(PathBuf::from(format!("/proc/{pid}/ns/net"))).await?,
            NetnsRequest::Host => SandboxNetns::Host,
        };
        let (naming, state) = (naming.map(Box::new), SandboxState::Creating { plan });
        Ok((Sandbox { id, name, netns, naming, state }, claims))
    }

    /// Removes a sandbox with whatever is attached to it.
    pub(super) async fn delete_sandbox(self: &Arc<Self>, id: SandboxId) -> Result<()> {
        let (sandbox, inside, _claims) = self.take_whole(id).await?;
        self.remove_sandbox(&sandbox, &inside).await.doing(|| format!("removing sandbox {}", sandbox.name))?;
        inside.iter().try_for_each(|endpoint| self.tell_disconnected(endpoint, &sandbox))?;
        self.tell(Subject::Sandbox, Action::Destroy, id, &sandbox.name, []);
        Ok(())
    }

    /// A sandbox and whatever is attached to it, all in hand.
    async fn take_whole(self: &Arc<Self>, id: SandboxId) -> Result<(Arc<Sandbox>, Vec<Arc<Endpoint>>, Vec<Held>)> {
        let inside = || {
            let state = self.state();
            let attached = state.endpoints_in(id).filter(|it| it.state.is_inside());
            attached.cloned().collect::<Vec<Arc<Endpoint>>>()
        };
        loop {
            // In the order of claims, which is that of the ids.
            let expected: Vec<EndpointId> = inside().iter().map(|it| it.id).collect();
            let mut claims = Vec::with_capacity(expected.len() + 1);
            for endpoint in &expected {
                claims.push(self.take(Claim::Endpoint(*endpoint)).await);
            }
            claims.push(self.take(Claim::Sandbox(id)).await);
            // Who had one of them in hand may have brought another, or taken it away.
            let found = inside();
            if found.iter().map(|it| it.id).eq(expected) {
                return Ok((self.known_sandbox(id)?, found, claims));
            }
        }
    }

    /// Removes what there is of a sandbox, and cuts off what is attached to it, as one change of the kernel. Whatever
    /// fails stays stored, as owed and as `Deleting`.
    pub(super) async fn remove_sandbox(&self, sandbox: &Sandbox, inside: &[Arc<Endpoint>]) -> Result<()> {
        let _changing = self.changing.read().await;
        let detaching: Vec<Endpoint> =
            inside.iter().map(|endpoint| self.detaching(endpoint, false)).collect::<Result<_>>()?;
        let plan = sandbox.state.footprint();
        let links = detaching.iter().fold(Plan::new(), |links, it| links.then(&it.state.footprint()));
        let whole = together(&plan, &Plans { link: links, ports: Plan::new() });
        let deleting = Sandbox { state: SandboxState::Deleting { plan }, ..sandbox.clone() };
        let mut changes: Vec<Change> = detaching.iter().cloned().map(put_endpoint).collect();
        changes.push(Change::Put(Record::Sandbox(deleting)));
        self.commit(changes).await?;
        let removed = match self.surroundings.kernel.remove(&whole).await {
            Ok(()) => {
                let mut changes: Vec<Change> =
                    detaching.into_iter().map(|it| put_endpoint(self.after_cut(it, true))).collect();
                changes.push(Change::Remove(Key::Sandbox(sandbox.id)));
                self.settle_on(changes).await
            }
            Err(error) => Err(error),
        };
        if removed.is_err() || !inside.is_empty() {
            self.owing.notify_one();
        }
        removed
    }

    /// Sandboxes that nobody has in hand and that were not finished, because something failed or the process died: what
    /// was being changed gets the plan that its endpoints call for, what was being made or removed goes. Goes on over
    /// errors.
    pub(super) async fn finish_sandboxes(self: &Arc<Self>) -> Result<()> {
        let unfinished: Vec<Arc<Sandbox>> = {
            let state = self.state();
            let is_ready = |it: &&Arc<Sandbox>| matches!(it.state, SandboxState::Ready { .. });
            state.sandboxes.values().filter(|it| !is_ready(it)).cloned().collect()
        };
        let mut errors = Vec::new();
        for sandbox in unfinished {
            errors.extend(self.finish_sandbox(sandbox.id).await.err());
        }
        Error::several(errors).map_or(Ok(()), Err)
    }

    async fn finish_sandbox(self: &Arc<Self>, id: SandboxId) -> Result<()> {
        let Some(claim) = self.try_take(Claim::Sandbox(id)) else { return Ok(()) };
        let Ok(sandbox) = self.known_sandbox(id) else { return Ok(()) };
        match sandbox.state {
            SandboxState::Ready { .. } | SandboxState::Spare { .. } => return Ok(()),
            SandboxState::Deleting { .. } => return self.remove_sandbox(&sandbox, &[]).await,
            SandboxState::Creating { .. } => return self.finish_half_made(id, claim).await,
            SandboxState::Changing { .. } => {}
        }
        let _changing = self.changing.read().await;
        let plan = sandbox_plan(&sandbox, &self.state().members(id, None));
        self.surroundings.kernel.replace(&sandbox.state.footprint().without([&plan]), &plan).await?;
        self.put_sandbox(&Sandbox { state: SandboxState::Ready { plan }, ..Sandbox::clone(&sandbox) }).await
    }

    /// Removes a sandbox that nobody makes any more, with what is attached to it.
    async fn finish_half_made(self: &Arc<Self>, id: SandboxId, claim: Held) -> Result<()> {
        let inside: Vec<EndpointId> = {
            let state = self.state();
            state.endpoints_in(id).filter(|it| it.state.is_inside()).map(|it| it.id).collect()
        };
        let in_hand: Option<Vec<Held>> = inside.iter().map(|it| self.try_take(Claim::Endpoint(*it))).collect();
        // Who made it is about to undo it.
        if in_hand.is_none() {
            return Ok(());
        }
        drop(claim);
        for endpoint in inside {
            self.detach(&*self.known_endpoint(endpoint)?, false).await?;
        }
        let _sandbox = self.take(Claim::Sandbox(id)).await;
        match self.known_sandbox(id) {
            Ok(sandbox) => self.remove_sandbox(&sandbox, &[]).await,
            Err(_) => Ok(()),
        }
    }

    /// The sandbox as it is now.
    pub(super) fn known_sandbox(&self, id: SandboxId) -> Result<Arc<Sandbox>> {
        let known = self.state().sandboxes.get(&id).cloned();
        known.ok_or_else(|| Error::not_found(format!("sandbox {} not found", id.short())))
    }

    fn check_new_name(&self, name: &SandboxName) -> Result<()> {
        match self.state().listed_sandboxes().find(|other| other.name == *name) {
            Some(other) => {
                Err(Error::conflict(format!("sandbox with name {name} already exists ({})", other.id.short())))
            }
            None => Ok(()),
        }
    }

    /// The namespace behind a path, which is neither the host's own nor another sandbox's.
    async fn given(&self, path: PathBuf) -> Result<SandboxNetns> {
        let kernel = &self.surroundings.kernel;
        let cookie = kernel.cookie(&Namespace::At(path.clone())).await?;
        if cookie == kernel.cookie(&Namespace::Host).await? {
            return Err(Error::forbidden(format!(
                "{} is the host's own network namespace; ask for that with --host-namespace",
                path.display()
            )));
        }
        let others: Vec<Arc<Sandbox>> = self.state().sandboxes.values().cloned().collect();
        for other in others {
            let theirs = match &other.netns {
                SandboxNetns::Host => continue,
                SandboxNetns::Given { cookie, .. } => Ok(*cookie),
                SandboxNetns::Made { .. } => kernel.cookie(&other.netns.namespace()).await,
            };
            match theirs {
                Ok(theirs) if theirs == cookie => {
                    return Err(Error::conflict(format!(
                        "the network namespace at {} is sandbox {}'s already",
                        path.display(),
                        other.name
                    )));
                }
                // Not made yet, or lost: nobody can give it.
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => return Err(error),
                _ => {}
            }
        }
        Ok(SandboxNetns::Given { path, cookie })
    }

    async fn put_sandbox(&self, sandbox: &Sandbox) -> Result<()> {
        self.commit(vec![Change::Put(Record::Sandbox(sandbox.clone()))]).await
    }
}

fn put_endpoint(endpoint: Endpoint) -> Change {
    Change::Put(Record::Endpoint(Box::new(endpoint)))
}
