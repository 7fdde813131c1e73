//! Who changed what we look after: links as the kernel tells of them, and the firewall.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netlink_sys::SocketAddr;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::event::{EventfdFlags, PollFd, PollFlags};
use tokio::sync::mpsc::{self, error::TrySendError};
use trestle_core::kernel::Disturbance;
use trestle_core::name::IfName;
use trestle_core::resource::{Bridge, Owner, Veth};
use trestle_core::{Error, Result};

use crate::firewall;
use crate::mark::Instance;
use crate::netlink::message::{self, Which};
use crate::netlink::{Link, Socket, observed, split};
use crate::thread::give_way;

/// How much news may wait to be heard; whoever is further behind looks at everything anyway.
const WAITING: usize = 64;

/// How long to wait before what failed is tried again.
const SECOND: Duration = Duration::from_secs(1);

/// The receive buffer for news, in bytes: a change of a link is told in some 1.5 KiB.
const RECEIVE_BUFFER: usize = 4 << 20;

/// `RTM_NEWLINK`, `RTM_DELLINK`, `RTMGRP_LINK` (linux/rtnetlink.h).
const NEW_LINK: u16 = 16;
const DELETED_LINK: u16 = 17;
const LINKS: u32 = 1;

/// What links should be like. Whoever changes links holds the lock meanwhile, so that nobody takes a half-made link
/// for a stranger's work.
#[derive(Default)]
pub(crate) struct Expectations {
    links: Mutex<BTreeMap<String, Wanted>>,
    at_work: Mutex<bool>,
    rested: Condvar,
}

/// What one link should be like; what is open here is its maker's own affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    ours: bool,
    mtu: Option<u32>,
    master: Option<u32>,
    /// It is not as it should be, and that was told: once is enough, until it is set right.
    told: bool,
}

impl Wanted {
    pub(crate) fn bridge(bridge: &Bridge) -> Self {
        match bridge.owner {
            Owner::Us => Self { ours: true, mtu: Some(bridge.mtu), master: None, told: false },
            Owner::User => Self { ours: false, mtu: None, master: None, told: false },
        }
    }

    /// The bridge by its index: one made anew with the same name has no ports.
    pub(crate) fn veth(veth: &Veth, bridge: u32) -> Self {
        Self { ours: true, mtu: Some(veth.mtu), master: Some(bridge), told: false }
    }

    /// Whether a link is as it should be.
    fn is_met_by(&self, link: &Link, instance: Instance) -> bool {
        self.mtu.is_none_or(|mtu| mtu == link.mtu)
            && self.master.is_none_or(|master| link.master == Some(master))
            && (!self.ours || (link.up && link.is_live(instance)))
    }
}

/// The right to change links, and what they should be like after it.
pub(crate) struct Changing<'a>(MutexGuard<'a, BTreeMap<String, Wanted>>);

impl Expectations {
    pub(crate) fn changing(&self) -> Changing<'_> {
        Changing(self.links.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Said before and after a piece of work. What the kernel tells of it meanwhile is heard after it, all at once: a
    /// listener that wakes for every part of it takes time from who makes it, and from who waits for him.
    pub(crate) fn is_at_work(&self, now: bool) {
        *self.at_work.lock().unwrap_or_else(PoisonError::into_inner) = now;
        if !now {
            self.rested.notify_all();
        }
    }

    fn wait_for_rest(&self) {
        let at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.rested.wait_while(at_work, |at_work| *at_work).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Changing<'_> {
    pub(crate) fn insert(&mut self, name: &IfName, wanted: Wanted) {
        self.0.insert(name.as_str().to_owned(), wanted);
    }

    pub(crate) fn remove(&mut self, name: &IfName) {
        self.0.remove(name.as_str());
    }

    /// Whether a link is in order, as expected or not ours at all, or is known not to be.
    fn is_no_news(&mut self, name: &str, link: Option<&Link>, instance: Instance) -> bool {
        let Some(wanted) = self.0.get_mut(name) else {
            // A link of ours under a name of its own: somebody renamed it.
            return !link.is_some_and(|link| link.is_live(instance));
        };
        let fine = link.is_some_and(|link| wanted.is_met_by(link, instance));
        wanted.told &= !fine;
        fine || wanted.told
    }

    fn is_told(&mut self, name: &str) {
        if let Some(wanted) = self.0.get_mut(name) {
            wanted.told = true;
        }
    }
}

/// The listener's end, and the thread at the other.
pub(crate) struct Watch {
    news: tokio::sync::Mutex<mpsc::Receiver<Disturbance>>,
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Listens in the calling thread's namespace from now on.
    pub(crate) fn start(instance: Instance, expected: Arc<Expectations>, firewall: firewall::Watch) -> Result<Self> {
        let failed = |cause: io::Error| Error::internal(format!("listening to changes of links: {cause}"));
        let stop = rustix::event::eventfd(0, EventfdFlags::CLOEXEC).map_err(|cause| failed(cause.into()))?;
        let stopped = stop.try_clone().map_err(failed)?;
        let (sender, news) = mpsc::channel(WAITING);
        let listener = Listener {
            instance,
            expected,
            links: listen().map_err(failed)?,
            firewall,
            ask: Socket::open()?,
            sender,
            untold: false,
            deaf: false,
            received: Vec::new(),
        };
        let thread = thread::Builder::new().name("trestle-watch".into());
        let run = move || {
            // Every change of ours wakes it in the middle, and what it has to say is for afterwards.
            give_way();
            listener.run(&stopped);
        };
        let thread = thread.spawn(run).map_err(failed)?;
        Ok(Self { news: news.into(), stop, thread: Some(thread) })
    }

    /// The next disturbance; `None` when there will be no more.
    pub(crate) async fn next(&self) -> Option<Disturbance> {
        self.news.lock().await.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Err(cause) = rustix::io::write(&self.stop, &1u64.to_ne_bytes()) {
            tracing::debug!(%cause, "the watch of links can't be stopped");
            return;
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the watch of links panicked");
        }
    }
}

fn listen() -> io::Result<netlink_sys::Socket> {
    let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
    // Only root of the machine may; with a small one, what does not fit is told as lost.
    if let Err(cause) = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER) {
        tracing::debug!(%cause, "changes of links are told through a small buffer");
    }
    socket.bind(&SocketAddr::new(0, LINKS))?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

struct Listener {
    instance: Instance,
    expected: Arc<Expectations>,
    links: netlink_sys::Socket,
    firewall: firewall::Watch,
    /// For a second look: what is told may be old.
    ask: Socket,
    sender: mpsc::Sender<Disturbance>,
    /// There was no room for some news; it is told as [`Disturbance::Lost`] when there is.
    untold: bool,
    /// News can't be heard at present; it is tried again every second.
    deaf: bool,
    received: Vec<u8>,
}

impl Listener {
    fn run(mut self, stop: &OwnedFd) {
        loop {
            let patience = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            let mut ready = [stop.as_fd(), self.links.as_fd(), self.firewall.as_fd()]
                .map(|each| PollFd::from_borrowed_fd(each, PollFlags::IN));
            // What can't be heard may be ready all the time.
            let heard = if self.deaf { &mut ready[..1] } else { &mut ready[..] };
            let outcome = rustix::event::poll(heard, (self.untold || self.deaf).then_some(&patience));
            if !ready[0].revents().is_empty() || self.sender.is_closed() {
                return;
            }
            match outcome {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(cause) => {
                    tracing::error!(%cause, "changes of others can't be waited for; trying again");
                    thread::sleep(SECOND);
                    self.tell(Disturbance::Lost);
                }
            }
            if self.deaf {
                self.listen_anew();
                continue;
            }
            self.expected.wait_for_rest();
            if self.untold {
                self.tell(Disturbance::Lost);
            }
            self.hear();
            loop {
                match self.firewall.news() {
                    Ok(Some(news)) => self.tell(news),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(%error, "changes of the firewall can't be heard; listening anew");
                        self.listen_anew();
                        break;
                    }
                }
            }
        }
    }

    /// Whatever happened meanwhile was not heard.
    fn listen_anew(&mut self) {
        let opened = self.firewall.reopen().and_then(|()| {
            self.links =
                listen().map_err(|cause| Error::internal(format!("listening to changes of links: {cause}")))?;
            Ok(())
        });
        self.deaf = opened.is_err();
        match opened {
            Ok(()) => self.tell(Disturbance::Lost),
            Err(error) => tracing::error!(%error, "changes of others are not heard"),
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = std::mem::take(&mut self.received);
        buffer.clear();
        buffer.reserve(64 << 10);
        match self.links.recv(&mut buffer, 0) {
            Ok(_) => return Some(buffer),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
            Err(cause) if cause.raw_os_error() == Some(libc::ENOBUFS) => {
                tracing::warn!("news of links were lost");
                self.tell(Disturbance::Lost);
            }
            Err(cause) => {
                tracing::error!(%cause, "changes of links can't be heard; listening anew");
                self.listen_anew();
            }
        }
        self.received = buffer;
        None
    }

    /// Takes in what was told, and judges each link by the last that was told of it.
    fn hear(&mut self) {
        let expected = self.expected.clone();
        // Whoever changes links of ours is done first; what he did has been told by then, the middle and the end of it.
        let mut changing = expected.changing();
        let mut last: BTreeMap<String, Option<Link>> = BTreeMap::new();
        while let Some(datagram) = self.receive() {
            let mut rest = &datagram[..];
            while let Ok((header, payload, after)) = split(rest) {
                if matches!(header.message_type, NEW_LINK | DELETED_LINK)
                    && let Some(link) = Link::glimpse(payload)
                {
                    last.insert(link.name.clone(), (header.message_type == NEW_LINK).then_some(link));
                }
                rest = after;
            }
            self.received = datagram;
        }
        last.retain(|name, link| !changing.is_no_news(name, link.as_ref(), self.instance));
        drop(changing);
        last.into_keys().for_each(|name| self.look_again(&name));
    }

    /// What was told may be old. Nobody changes links while we look.
    fn look_again(&mut self, name: &str) {
        let expected = self.expected.clone();
        let mut expected = expected.changing();
        match self.ask.batch(&[&message::get_link(Which::Name(name))]) {
            Ok(answers) => {
                let link = answers.first().and_then(observed::link);
                if expected.is_no_news(name, link.as_ref(), self.instance) {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, name, "a changed link can't be looked at"),
        }
        expected.is_told(name);
        drop(expected);
        self.tell(Disturbance::Link { name: name.to_owned() });
    }

    fn tell(&mut self, news: Disturbance) {
        let lost = news == Disturbance::Lost;
        match self.sender.try_send(news) {
            Ok(()) => self.untold &= !lost,
            Err(TrySendError::Full(_)) => self.untold = true,
            Err(TrySendError::Closed(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use rustix::thread::UnshareFlags;

    use super::*;
    use crate::firewall::Firewall;

    #[test]
    fn a_socket_that_fails_does_not_end_the_watch() {
        let watching = thread::spawn(|| {
            // SAFETY: only FILES could harm other threads, and it is not asked for.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            let instance = Instance::new(1);
            let firewall = Firewall::open(instance).unwrap();
            let broken = firewall::watch(&firewall).unwrap();
            let nothing = std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
            // SAFETY: the watch keeps its descriptor, which is something else now, and closes it when it drops.
            assert!(unsafe { libc::dup2(nothing.as_raw_fd(), broken.as_raw_fd()) } >= 0);
            let watch = Watch::start(instance, Arc::default(), broken).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                assert_eq!(watch.next().await, Some(Disturbance::Lost));
                let mut ours = Firewall::open(instance).unwrap();
                ours.restore(&[&trestle_core::resource::Resource::FirewallBase]).unwrap();
                assert!(matches!(watch.next().await, Some(Disturbance::Firewall { .. })), "it is deaf still");
            });
        });
        watching.join().unwrap();
    }
}
