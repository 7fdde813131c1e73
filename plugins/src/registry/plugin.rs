//! One plugin: found, shaken hands with, lost, found again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use trestle_core::id::{EndpointId, NetworkId};
use trestle_core::{Doing, Error, Result};

use super::debts::Debts;
use super::{Contact, Debt, Settings};
use crate::client::Failure;
use crate::discovery::{Definition, PluginName};
use crate::wire::Call;

/// One plugin. It is known by its name before it is found, and stays so when it is lost.
#[derive(Debug)]
pub struct Plugin {
    name: PluginName,
    settings: Arc<Settings>,
    state: watch::Sender<State>,
    debts: Debts,
    lacks: Mutex<HashSet<Lack>>,
}

/// Something that a plugin is known not to have, because it let it go or never took it: asking it to let it go would fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lack {
    /// The network.
    Network(NetworkId),
    /// The endpoint.
    Endpoint(EndpointId),
    /// The endpoint in a sandbox.
    Inside(EndpointId),
}

/// Where a plugin stands.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// What it is asked by, also while another handshake is under way.
    pub(super) contact: Option<Arc<Contact>>,
    /// Whether a handshake is under way.
    pub(super) activating: bool,
    /// How the last handshake failed, if it did.
    pub(super) failure: Option<String>,
    /// The file that it failed with, if there was one.
    pub(super) failed_with: Option<Definition>,
}

/// How long to wait before something is rolled back again when the plugin would not, at first and at most; and how often.
const ROLL_BACK: (Duration, Duration, u32) = (Duration::from_secs(1), Duration::from_secs(60), 12);

impl Plugin {
    pub(super) fn new(name: PluginName, settings: Arc<Settings>) -> Self {
        let state = watch::Sender::new(State::default());
        Self { name, settings, state, debts: Debts::default(), lacks: Mutex::default() }
    }

    /// Its name.
    pub fn name(&self) -> &PluginName {
        &self.name
    }

    /// What it was asked to give up and did not.
    pub fn debts(&self) -> Vec<Debt> {
        self.debts.list()
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(super) fn is_active(&self) -> bool {
        self.state.borrow().contact.is_some()
    }

    /// What it said at its last handshake, if there was one.
    pub(crate) fn known(&self) -> Option<Arc<Contact>> {
        self.state.borrow().contact.clone()
    }

    /// How it is asked. Where it did not shake hands yet, that is begun, and waited for with patience.
    pub async fn contact(self: &Arc<Self>) -> Result<Arc<Contact>, Failure> {
        if let Some(contact) = self.known() {
            return Ok(contact);
        }
        self.activate();
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !state.activating);
        match tokio::time::timeout(self.settings.patience, settled).await {
            Ok(Ok(state)) => match (&state.contact, &state.failure) {
                (Some(contact), _) => Ok(Arc::clone(contact)),
                (None, Some(why)) => Err(Failure::Unreachable(why.clone())),
                (None, None) => Err(Failure::Unreachable("its file is gone".to_owned())),
            },
            // The sender is ours, and lives as long as we.
            Ok(Err(_)) | Err(_) => Err(Failure::Late { limit: self.settings.patience, before: None }),
        }
    }

    /// Asks.
    pub(crate) async fn ask<C: Call>(self: &Arc<Self>, request: &C) -> Result<C::Reply, Failure> {
        self.contact().await?.client.call(request).await
    }

    /// Asks to give something up; what fails is kept for people to see until it succeeds. Whoever asks, asks again.
    pub(crate) async fn ask_to_let_go<C: Call>(self: &Arc<Self>, request: &C, of: &str) -> Result<C::Reply, Failure> {
        let outcome = self.ask(request).await;
        self.debts.note(C::METHOD, of, outcome.as_ref().map(drop));
        outcome
    }

    /// Undoes what a plugin did with an answer that is of no use; nobody else will ask for it. How that went, for the
    /// end of an error's text. What the plugin does not do at once is asked for again later, a bounded number of times.
    pub(crate) async fn roll_back<C>(self: &Arc<Self>, request: C, of: &str, at_once: bool) -> String
    where
        C: Call + Clone + 'static,
    {
        let outcome = match at_once {
            true => self.ask_to_let_go(&request, of).await.map(drop),
            false => Err(Failure::Unreachable("it does not answer; it will be asked later".to_owned())),
        };
        let Err(failure) = outcome else { return "; rolled back".to_owned() };
        let (plugin, of) = (Arc::clone(self), of.to_owned());
        // The task ends by itself; nobody waits for it.
        drop(tokio::spawn(async move {
            let (mut wait, longest, tries) = ROLL_BACK;
            for _ in 0..tries {
                tokio::time::sleep(wait).await;
                wait = longest.min(wait * 2);
                if plugin.ask_to_let_go(&request, &of).await.is_ok() {
                    return;
                }
            }
            tracing::warn!(plugin = %plugin.name, of, method = C::METHOD, "given up rolling back what a plugin did");
        }));
        format!("; failed to roll back: {failure}")
    }

    /// A failure as an error that names the plugin.
    pub(crate) fn told(&self, failure: Failure) -> Error {
        failure.of(&format!("plugin {}", self.name))
    }

    /// A failure of a method as an error that names the plugin.
    pub(crate) fn failed<C: Call>(&self, failure: Failure) -> Error {
        failure.of(C::METHOD).doing(format!("plugin {}", self.name))
    }

    /// Keeps in mind whether the plugin is known not to have it.
    pub(crate) fn remember(&self, lack: Lack, is_lacking: bool) {
        let mut lacks = self.lacks.lock().unwrap_or_else(PoisonError::into_inner);
        match is_lacking {
            true => lacks.insert(lack),
            false => lacks.remove(&lack),
        };
    }

    pub(crate) fn is_without(&self, lack: Lack) -> bool {
        self.lacks.lock().unwrap_or_else(PoisonError::into_inner).contains(&lack)
    }

    /// The plugin's file as it is found now. Another one than before makes us shake hands anew; one that we failed with
    /// before, only where that is asked for.
    pub(super) fn look_again(self: &Arc<Self>, found: Option<&Definition>, forgives: bool) {
        let Some(found) = found else {
            self.state.send_if_modified(|state| state.contact.take().is_some());
            return;
        };
        let state = self.state();
        let is_known = state.contact.is_some_and(|contact| contact.definition == *found);
        let has_failed = state.failed_with.as_ref() == Some(found);
        if !is_known && (forgives || !has_failed) {
            self.activate();
        }
    }

    /// Begins to shake hands, unless that is under way.
    fn activate(self: &Arc<Self>) {
        let begins = self.state.send_if_modified(|state| !std::mem::replace(&mut state.activating, true));
        if begins {
            let plugin = Arc::clone(self);
            // It ends at its deadline at the latest; whoever is interested watches the state.
            drop(tokio::spawn(async move { plugin.shake_hands().await }));
        }
    }

    async fn shake_hands(&self) {
        let definition = self.find().await;
        let failed_with = definition.as_ref().ok().cloned();
        let outcome = match definition {
            Ok(definition) => {
                let path = definition.path.display().to_string();
                Contact::make(definition, self.settings.limits).await.doing(|| path)
            }
            Err(error) => Err(error),
        };
        let next = match outcome {
            Ok(contact) => State { contact: Some(Arc::new(contact)), ..State::default() },
            Err(error) => {
                tracing::warn!(plugin = %self.name, %error, "a plugin does not shake hands");
                State { failure: Some(error.to_string()), failed_with, ..State::default() }
            }
        };
        self.state.send_replace(next);
    }

    async fn find(&self) -> Result<Definition> {
        let (folders, name) = (self.settings.folders.clone(), self.name.clone());
        let found = super::aside(move || folders.find(&name)).await.flatten();
        found.ok_or_else(|| Error::not_found("there is no file of that name in the plugin folders"))
    }
}
