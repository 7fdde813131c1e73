//! Who asks, and writes down what came of it.

use trestle_core::id::{EndpointId, NetworkId};
use trestle_core::name::IfName;

use super::{Check, Report, Trial, Verdict};
use crate::client::{Client, Failure};
use crate::wire::{Activate, Call, IPAM_DRIVER, MEDIA_TYPE, NETWORK_DRIVER};

/// Who asks, and writes down what came of it.
pub(super) struct Examiner {
    pub(super) client: Client,
    pub(super) trial: Trial,
    report: Report,
}

impl Examiner {
    pub(super) fn new(client: Client, trial: Trial) -> Self {
        let report = Report { address: trial.address.to_string(), ..Report::default() };
        Self { client, trial, report }
    }

    pub(super) fn finish(self) -> Report {
        self.report
    }

    pub(super) fn network_id(&self) -> String {
        NetworkId::random(self.trial.entropy.as_ref()).to_string()
    }

    pub(super) fn endpoint_id(&self) -> String {
        EndpointId::random(self.trial.entropy.as_ref()).to_string()
    }

    /// Writes down that something went as it should, or what it did instead.
    pub(super) fn note<C: Call>(&mut self, promise: &str, fault: Option<(Verdict, String)>) {
        self.note_of(C::METHOD, promise, fault);
    }

    pub(super) fn note_of(&mut self, method: &str, promise: &str, fault: Option<(Verdict, String)>) {
        let (verdict, detail) = fault.unwrap_or((Verdict::Passed, String::new()));
        let (method, promise) = (method.to_owned(), promise.to_owned());
        self.report.checks.push(Check { method, promise, verdict, detail });
    }

    /// Asks for what has to succeed.
    pub(super) async fn succeeds<C: Call>(&mut self, promise: &str, request: &C) -> Option<C::Reply> {
        match self.client.call(request).await {
            Ok(reply) => {
                self.note::<C>(promise, None);
                Some(reply)
            }
            Err(failure) => {
                self.note::<C>(promise, failed(failure.to_string()));
                None
            }
        }
    }

    /// Asks for what has to be refused, in words.
    pub(super) async fn refuses<C: Call>(&mut self, promise: &str, request: &C, lenient: Verdict) {
        let fault = match self.client.call(request).await {
            Err(Failure::Refused(_) | Failure::Status { .. }) => None,
            Ok(_) => Some((lenient, format!("it said that all went well; answer with {}", how_to_refuse::<C>()))),
            Err(failure) => failed(format!("{failure}; answer with {}", how_to_refuse::<C>())),
        };
        self.note::<C>(promise, fault);
    }

    /// Asks for what may be refused, but has to be answered.
    pub(super) async fn answers<C: Call>(&mut self, promise: &str, request: &C) {
        let fault = match self.client.call(request).await {
            Ok(_) | Err(Failure::Refused(_) | Failure::Status { .. }) => None,
            Err(failure) => failed(failure.to_string()),
        };
        self.note::<C>(promise, fault);
    }

    /// Asks for what a plugin need not be able to do.
    pub(super) async fn may_be_unknown<C: Call>(&mut self, promise: &str, request: &C) {
        let fault = match self.client.call(request).await {
            Ok(_) => None,
            Err(failure) if failure.is_unknown_method() => None,
            Err(failure) => {
                Some((Verdict::Doubtful, format!("{failure}; where there is nothing to do, answer with {{}}")))
            }
        };
        self.note::<C>(promise, fault);
    }

    /// Asks to give up what is not there: whoever deletes tries again until it succeeds, also when the first answer
    /// was lost.
    pub(super) async fn gives_up_what_is_gone<C: Call>(&mut self, promise: &str, request: &C) {
        let fault = match self.client.call(request).await {
            Ok(_) => None,
            Err(Failure::Refused(text) | Failure::Status { text, .. }) => Some((
                Verdict::Doubtful,
                format!("it said {text:?}; a delete whose answer was lost is sent again, and should succeed"),
            )),
            Err(failure) => failed(failure.to_string()),
        };
        self.note::<C>(promise, fault);
    }

    /// Whether a link is in the host's namespace, if that can be seen.
    pub(super) async fn sees_link(&self, name: &IfName) -> Option<bool> {
        let facts = self.trial.kernel.as_ref()?.facts().await.ok()?;
        Some(facts.link(name).is_some())
    }

    /// What it is. Asked first, for nothing else makes sense without.
    pub(super) async fn handshake(&mut self) -> Vec<String> {
        let Some(manifest) = self.succeeds("answers a handshake", &Activate {}).await else { return Vec::new() };
        let known = |kind: &String| kind == NETWORK_DRIVER || kind == IPAM_DRIVER;
        let told = manifest.implements.join(", ");
        let fault = match manifest.implements.iter().any(known) {
            true => None,
            false => failed(format!("Implements is [{told}]; {NETWORK_DRIVER} or {IPAM_DRIVER} is expected in it")),
        };
        self.note::<Activate>("says what it is", fault);
        let again = self.client.call(&Activate {}).await;
        let same = again.as_ref().is_ok_and(|again| *again == manifest);
        let fault = (!same).then(|| (Verdict::Failed, "the second handshake has another answer".to_owned()));
        self.note::<Activate>("answers every handshake the same way", fault);
        self.look_at_content_type().await;
        self.report.implements.clone_from(&manifest.implements);
        manifest.implements
    }

    async fn look_at_content_type(&mut self) {
        let answer = self.client.send(Activate::METHOD, "").await;
        let kind = answer.ok().and_then(|answer| answer.content_type).unwrap_or_default();
        let is_json = kind.starts_with("application/vnd.docker.plugins.") || kind.starts_with("application/json");
        let fault = (!is_json).then(|| {
            (Verdict::Doubtful, format!("Content-Type is {:?}; send {MEDIA_TYPE}", crate::client::shown(&kind)))
        });
        self.note::<Activate>("says that it answers in JSON", fault);
    }

    /// Whether it still works, after all that was done to it.
    pub(super) async fn lives(&mut self, promise: &str) {
        self.succeeds(promise, &Activate {}).await;
    }
}

pub(super) fn failed(detail: impl Into<String>) -> Option<(Verdict, String)> {
    Some((Verdict::Failed, detail.into()))
}

fn how_to_refuse<C: Call>() -> String {
    format!("{{\"{}\": \"why\"}}", crate::wire::refusal_field(C::METHOD))
}
