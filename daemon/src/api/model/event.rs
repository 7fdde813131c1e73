//! Events: a line of JSON each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use trestle_core::event::{self, Action, Subject};
use trestle_core::name::EndpointName;
use trestle_core::{Doing, Error, Result};

use super::{shown, timestamp};

/// A line of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Line {
    /// Something happened.
    Event(Event),
    /// The reader was too slow: so many events before the next line are missing.
    Lost {
        /// How many.
        lost: u64,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// When.
    pub at: String,
    /// To a `network`, an `endpoint` or a `sandbox`.
    pub subject: String,
    /// `create`, `connect`, `disconnect`, `publish`, `repair` or `destroy`.
    pub action: String,
    /// The thing's id.
    pub id: String,
    /// The thing's name.
    pub name: String,
    /// What else there is to know.
    pub attributes: BTreeMap<String, String>,
}

impl From<&event::Event> for Event {
    fn from(event: &event::Event) -> Self {
        Self {
            at: timestamp(event.at),
            subject: subject_name(event.subject).into(),
            action: action_name(event.action).into(),
            id: event.id.clone(),
            name: event.name.clone(),
            attributes: event.attributes.clone(),
        }
    }
}

/// Which events are wanted. All that are given must fit.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventFilter {
    /// `network`, `endpoint` or `sandbox`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `create`, `connect`, `disconnect`, `publish`, `repair` or `destroy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The name of the thing, its id, or the beginning of its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

/// The filter, read.
#[derive(Clone, Debug)]
pub struct Wanted {
    subject: Option<Subject>,
    action: Option<Action>,
    object: Option<String>,
}

impl EventFilter {
    /// Reads it.
    ///
    /// # Errors
    /// `Invalid`, with the field's name.
    pub fn read(self) -> Result<Wanted> {
        Ok(Wanted {
            subject: one_of("subject", self.subject, SUBJECTS, subject_name)?,
            action: one_of("action", self.action, ACTIONS, action_name)?,
            object: self.object.map(object).transpose()?,
        })
    }
}

impl Wanted {
    /// Whether an event is wanted.
    pub fn fits(&self, event: &event::Event) -> bool {
        self.subject.is_none_or(|subject| subject == event.subject)
            && self.action.is_none_or(|action| action == event.action)
            && self.object.as_ref().is_none_or(|object| event.name == *object || event.id.starts_with(object.as_str()))
    }
}

const SUBJECTS: &[Subject] = &[Subject::Network, Subject::Endpoint, Subject::Sandbox];
const ACTIONS: &[Action] =
    &[Action::Create, Action::Connect, Action::Disconnect, Action::Publish, Action::Repair, Action::Destroy];

fn subject_name(subject: Subject) -> &'static str {
    match subject {
        Subject::Network => "network",
        Subject::Endpoint => "endpoint",
        Subject::Sandbox => "sandbox",
    }
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Connect => "connect",
        Action::Disconnect => "disconnect",
        Action::Publish => "publish",
        Action::Repair => "repair",
        Action::Destroy => "destroy",
    }
}

/// What names nothing would be waited for in vain.
fn object(text: String) -> Result<String> {
    EndpointName::try_from(text.as_str()).map(|_| text).doing(|| "object")
}

fn one_of<T: Copy>(
    field: &str,
    text: Option<String>,
    known: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    if let Some(found) = known.iter().find(|it| name(**it) == text) {
        return Ok(Some(*found));
    }
    let known: Vec<&str> = known.iter().map(|it| name(*it)).collect();
    Err(Error::invalid(format!("{field}: {:?} is not one of {}", shown(&text), known.join(", "))))
}
