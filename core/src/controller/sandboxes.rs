//! Making sandboxes and removing them.

use std::path::PathBuf;
use std::sync::Arc;

use super::Inner;
use super::claims::Claim;
use super::request::{NetnsRequest, SandboxRequest};
use super::sandbox_plan::sandbox_plan;
use crate::error::{Doing, Error, ErrorKind, Result};
use crate::event::{Action, Subject};
use crate::id::SandboxId;
use crate::name::SandboxName;
use crate::resource::Namespace;
use crate::sandbox::{Sandbox, SandboxNetns, SandboxState};
use crate::store::{Change, Key, Record};

impl Inner {
    /// Makes a sandbox, or nothing at all.
    pub(super) async fn create_sandbox(self: &Arc<Self>, request: SandboxRequest) -> Result<Sandbox> {
        let id = SandboxId::random(self.surroundings.entropy.as_ref());
        let name = match request.name {
            Some(name) => name,
            None => SandboxName::try_from(format!("sandbox-{}", id.short()))?,
        };
        let _name = self.take(Claim::SandboxName(name.clone())).await;
        let _sandbox = self.take(Claim::Sandbox(id)).await;
        self.check_new_name(&name)?;
        // Two who give the same namespace at once must not both find it free.
        let giving = match request.netns {
            NetnsRequest::Path(_) | NetnsRequest::Pid(_) => Some(self.take(Claim::Shared).await),
            NetnsRequest::Make | NetnsRequest::Host => None,
        };
        let netns = match request.netns {
            NetnsRequest::Make => SandboxNetns::Made { path: self.config.netns_folder.join(id.short()) },
            NetnsRequest::Path(path) => self.given(path).await?,
            NetnsRequest::Pid(pid) => self.given(PathBuf::from(format!("/proc/{pid}/ns/net"))).await?,
            NetnsRequest::Host => SandboxNetns::Host,
        };
        let plan = sandbox_plan(&netns, &[]);
        let sandbox = Sandbox { id, name, netns, state: SandboxState::Creating { plan: plan.clone() } };
        self.put_sandbox(&sandbox).await?;
        drop(giving);
        let changing = self.changing.read().await;
        let applied = self.surroundings.kernel.apply(&plan).await;
        drop(changing);
        if let Err(cause) = applied {
            self.remove_sandbox(&sandbox)
                .await
                .unwrap_or_else(|error| tracing::error!(%error, "a half-made sandbox remains"));
            return Err(cause).doing(|| format!("making sandbox {}", sandbox.name));
        }
        let sandbox = Sandbox { state: SandboxState::Ready { plan }, ..sandbox };
        if let Err(cause) = self.put_sandbox(&sandbox).await {
            self.remove_sandbox(&sandbox)
                .await
                .unwrap_or_else(|error| tracing::error!(%error, "a half-made sandbox remains"));
            return Err(cause);
        }
        self.tell(Subject::Sandbox, Action::Create, id, &sandbox.name, []);
        Ok(sandbox)
    }

    /// Detaches whatever is in it, then removes it.
    pub(super) async fn delete_sandbox(self: &Arc<Self>, id: SandboxId) -> Result<()> {
        loop {
            let inside = self.state().endpoints_in(id).find(|it| it.state.attachment().is_some()).map(|it| it.id);
            if let Some(endpoint) = inside {
                self.leave(endpoint).await?;
                continue;
            }
            let _sandbox = self.take(Claim::Sandbox(id)).await;
            if self.state().endpoints_in(id).any(|it| it.state.attachment().is_some()) {
                continue;
            }
            let sandbox = self.known_sandbox(id)?;
            self.remove_sandbox(&sandbox).await.doing(|| format!("removing sandbox {}", sandbox.name))?;
            self.tell(Subject::Sandbox, Action::Destroy, id, &sandbox.name, []);
            return Ok(());
        }
    }

    /// Removes what there is of a sandbox without endpoints; whatever fails stays stored as `Deleting`.
    pub(super) async fn remove_sandbox(&self, sandbox: &Sandbox) -> Result<()> {
        let plan = sandbox.state.footprint();
        let deleting = Sandbox { state: SandboxState::Deleting { plan: plan.clone() }, ..sandbox.clone() };
        self.put_sandbox(&deleting).await?;
        let _changing = self.changing.read().await;
        let removed = match self.surroundings.kernel.remove(&plan).await {
            Ok(()) => self.commit(vec![Change::Remove(Key::Sandbox(sandbox.id))]).await,
            Err(error) => Err(error),
        };
        if removed.is_err() {
            self.owing.notify_one();
        }
        removed
    }

    /// Sandboxes that nobody has in hand and whose change or removal was not finished, because something failed or the
    /// process died: they get the plan that their endpoints call for, or go. Goes on over errors.
    pub(super) async fn finish_sandboxes(self: &Arc<Self>) -> Result<()> {
        let is_between =
            |it: &&Arc<Sandbox>| matches!(it.state, SandboxState::Changing { .. } | SandboxState::Deleting { .. });
        let between: Vec<SandboxId> = self.state().sandboxes.values().filter(is_between).map(|it| it.id).collect();
        let mut errors = Vec::new();
        for id in between {
            let Some(_sandbox) = self.try_take(Claim::Sandbox(id)) else { continue };
            errors.extend(self.finish_sandbox(id).await.err());
        }
        Error::several(errors).map_or(Ok(()), Err)
    }

    async fn finish_sandbox(&self, id: SandboxId) -> Result<()> {
        let Some(sandbox) = self.state().sandboxes.get(&id).cloned() else { return Ok(()) };
        if let SandboxState::Deleting { .. } = sandbox.state {
            return self.remove_sandbox(&sandbox).await;
        }
        let _changing = self.changing.read().await;
        let plan = sandbox_plan(&sandbox.netns, &self.state().members(id, None));
        self.surroundings.kernel.replace(&sandbox.state.footprint().without([&plan]), &plan).await?;
        self.put_sandbox(&Sandbox { state: SandboxState::Ready { plan }, ..Sandbox::clone(&sandbox) }).await
    }

    /// The sandbox as it is now.
    pub(super) fn known_sandbox(&self, id: SandboxId) -> Result<Arc<Sandbox>> {
        let known = self.state().sandboxes.get(&id).cloned();
        known.ok_or_else(|| Error::not_found(format!("sandbox {} not found", id.short())))
    }

    fn check_new_name(&self, name: &SandboxName) -> Result<()> {
        match self.state().sandboxes.values().find(|other| other.name == *name) {
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
