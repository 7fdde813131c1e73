//! What happened to containers, images, networks and volumes: now, and a while ago.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::broadcast;

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
#[derive(Debug)]
pub struct Events {
    past: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    /// Nothing happened yet.
    pub fn new() -> Self {
        Self { past: Mutex::new(VecDeque::with_capacity(PAST)), live: broadcast::Sender::new(BEHIND) }
    }

    /// Tells everybody who listens.
    pub fn tell(&self, event: Event) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
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
    use super::*;

    fn numbered(number: usize) -> Event {
        let (at, id) = (SystemTime::UNIX_EPOCH, number.to_string());
        Event { at, noun: Noun::Network, action: "create".into(), id, attributes: BTreeMap::new() }
    }

    #[tokio::test]
    async fn a_listener_hears_the_last_of_the_past_and_then_the_present() {
        let events = Events::new();
        (0..PAST + 2).for_each(|number| events.tell(numbered(number)));
        let (past, mut live) = events.listen();
        events.tell(numbered(1000));
        assert_eq!((past.len(), past[0].id.as_str(), past[PAST - 1].id.as_str()), (PAST, "2", "257"));
        assert_eq!(live.recv().await.unwrap(), numbered(1000));
    }
}
