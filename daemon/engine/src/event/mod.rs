//! What happened to containers, images, networks and volumes: now, and a while ago.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::broadcast;
use trestle_core::surroundings::Clock;

/// How many events of the past are kept, as Docker keeps them.
const PAST: usize = 256;

/// How many a slow listener may be behind before it loses the oldest.
const BEHIND: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// To what kind of thing.
    pub noun: Noun,
    /// What, in Docker's words: `start`, `exec_create: sh`, `health_status: healthy`.
    pub action: String,
    /// The thing's id; a volume's name.
    pub id: String,
    /// What else there is to know: `name`, `image`, `exitCode`, and the labels.
    pub attributes: BTreeMap<String, String>,
}

/// What kind of thing an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// The daemon itself.
    Daemon,
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Daemon => "daemon",
        })
    }
}

/// Everything that happens, for whoever listens, and the last of what happened before.
pub struct Events {
    clock: Arc<dyn Clock>,
    past: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

impl Events {
    /// Nothing happened yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, past: Mutex::new(VecDeque::with_capacity(PAST)), live: broadcast::Sender::new(BEHIND) }
    }

    /// Tells everybody who listens what happened just now.
    pub fn tell<'a>(
        &self,
        noun: Noun,
        action: impl Into<String>,
        id: impl Into<String>,
        attributes: impl IntoIterator<Item = (&'a str, String)>,
    ) {
        let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event { at: self.clock.now(), noun, action: action.into(), id: id.into(), attributes };
        if past.len() == PAST {
            past.pop_front();
        }
        past.push_back(event.clone());
        // Nobody has to listen.
        drop(self.live.send(event));
    }

    /// What happened last, oldest first, and whatever happens from then on: each event is in one of them.
    pub fn listen(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        (past.iter().cloned().collect(), self.live.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trestle_core::surroundings::Task;

    use super::*;

    /// Always the same time.
    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn sleep(&self, _length: Duration) -> Task {
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn a_listener_hears_the_last_of_the_past_and_then_the_present() {
        let events = Events::new(Arc::new(Stopped));
        let tell = |number: usize| events.tell(Noun::Network, "create", number.to_string(), [("name", "x".to_owned())]);
        (0..PAST + 2).for_each(tell);
        let (past, mut live) = events.listen();
        tell(1000);
        assert_eq!((past.len(), past[0].id.as_str(), past[PAST - 1].id.as_str()), (PAST, "2", "257"));
        let now = live.recv().await.unwrap();
        assert_eq!((now.id.as_str(), now.at, now.attributes["name"].as_str()), ("1000", SystemTime::UNIX_EPOCH, "x"));
    }
}
