//! Announcing addresses again, after the first time: an announcement may get lost like any packet. Nobody waits for it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use trestle_core::mac::MacAddress;
use trestle_core::name::IfName;
use trestle_core::resource::Announcements;
use trestle_core::{Error, Result};

use crate::announce::Announcer;

/// What is still to be announced, and the task that does it. Dropped, it announces nothing any more.
pub(crate) struct Repeats {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// An address behind a bridge.
type Key = (IfName, IpAddr);

/// What is said of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// The index of the bridge.
    pub(crate) bridge: u32,
    /// Who has the address.
    pub(crate) mac: MacAddress,
}

struct Shared {
    schedule: Mutex<Schedule>,
    /// Something is due earlier than was known.
    earlier: Notify,
    announcer: Announcer,
}

impl Repeats {
    /// Starts the task in the runtime of the caller.
    pub(crate) fn start() -> Result<Self> {
        let runtime = Handle::try_current()
            .map_err(|_| Error::internal("the kernel layer has to be opened in a tokio runtime, which announces"))?;
        let shared = Arc::new(Shared {
            schedule: Mutex::new(Schedule::default()),
            earlier: Notify::new(),
            announcer: Announcer::open()?,
        });
        let task = runtime.spawn(announce(shared.clone()));
        Ok(Self { shared, task })
    }

    /// An address was announced for the first time; from now on for the other times. What was still to be said of it
    /// before is not said any more.
    pub(crate) fn go_on(&self, bridge: &IfName, address: IpAddr, news: News, announcements: Announcements) {
        let mut schedule = self.shared.schedule();
        let key = (bridge.clone(), address);
        schedule.forget(&key);
        if announcements.count > 1 && schedule.add(Instant::now(), key, news, announcements) {
            self.shared.earlier.notify_one();
        }
    }

    /// An address goes: when this returns, nothing is said of it any more.
    pub(crate) fn forget(&self, bridge: &IfName, address: IpAddr) {
        self.shared.schedule().forget(&(bridge.clone(), address));
    }
}

impl Drop for Repeats {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn announce(shared: Arc<Shared>) {
    loop {
        let due = {
            // Under the lock: an address that goes must not be announced after that.
            let mut schedule = shared.schedule();
            for ((_, address), news) in schedule.take_due(Instant::now()) {
                shared.announcer.announce(news.bridge, address, news.mac);
            }
            schedule.next()
        };
        match due {
            None => shared.earlier.notified().await,
            Some(due) => {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = shared.earlier.notified() => {}
                }
            }
        }
    }
}

/// What is to be said when. Pure: the time is an argument.
#[derive(Default)]
struct Schedule {
    /// By the time, and a number that no two have.
    due: BTreeMap<(Instant, u64), Pending>,
    places: HashMap<Key, (Instant, u64)>,
    numbers: u64,
}

struct Pending {
    key: Key,
    news: News,
    left: u8,
    apart: Duration,
}

impl Schedule {
    /// The first announcement is made; whether the next one is the earliest of all.
    fn add(&mut self, now: Instant, key: Key, news: News, announcements: Announcements) -> bool {
        let apart = Duration::from_millis(announcements.milliseconds_apart.into());
        let left = announcements.count.saturating_sub(1);
        let place = self.put(now + apart, Pending { key, news, left, apart });
        self.due.first_key_value().is_some_and(|(first, _)| *first == place)
    }

    fn put(&mut self, due: Instant, pending: Pending) -> (Instant, u64) {
        self.numbers += 1;
        let place = (due, self.numbers);
        self.places.insert(pending.key.clone(), place);
        self.due.insert(place, pending);
        place
    }

    fn forget(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key) {
            self.due.remove(&place);
        }
    }

    fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    /// What is to be said by now. What is to be said again is due later.
    fn take_due(&mut self, now: Instant) -> Vec<(Key, News)> {
        let mut said = Vec::new();
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let pending = entry.remove();
            said.push((pending.key.clone(), pending.news));
            match pending.left.checked_sub(1) {
                Some(left) if left > 0 => drop(self.put(now + pending.apart, Pending { left, ..pending })),
                _ => drop(self.places.remove(&pending.key)),
            }
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> Key {
        ("br0".try_into().unwrap(), IpAddr::from([10, 0, 0, last]))
    }

    fn news(bridge: u32) -> News {
        News { bridge, mac: "02:00:00:00:00:01".parse().unwrap() }
    }

    fn said(schedule: &mut Schedule, at: Instant) -> Vec<u32> {
        schedule.take_due(at).into_iter().map(|(_, news)| news.bridge).collect()
    }

    const THREE: Announcements = Announcements { count: 3, milliseconds_apart: 100 };

    #[test]
    fn what_is_announced_three_times_is_announced_twice_more_and_then_never() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!(schedule.add(start, key(1), news(1), THREE));
        assert!(!schedule.add(start, key(2), news(2), Announcements { count: 2, milliseconds_apart: 150 }));
        assert_eq!(said(&mut schedule, after(99)), []);
        assert_eq!(schedule.next(), Some(after(100)));
        assert_eq!(said(&mut schedule, after(100)), [1]);
        assert_eq!(said(&mut schedule, after(200)), [2, 1]);
        assert_eq!((schedule.next(), schedule.places.len()), (None, 0));
    }

    #[test]
    fn of_an_address_that_goes_nothing_more_is_said() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.add(start, key(1), news(1), THREE);
        schedule.add(start, key(2), news(2), THREE);
        schedule.forget(&key(1));
        schedule.forget(&key(3));
        assert_eq!(said(&mut schedule, start + Duration::from_secs(1)), [2]);
    }
}
