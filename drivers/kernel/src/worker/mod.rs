//! The worker: the one thread that changes the kernel, and everything that it owns.
//!
//! | to find | look in |
//! |---|---|
//! | in which order a difference is made so | `replace` |
//! | bridges and pairs | `links` |
//! | links that strangers made | `moved` |
//! | addresses, routes, rules | `addressing` |
//! | what is not as it should be | `verify` |
//! | what is ours and in no plan | `sweep` |

mod addressing;
mod facts;
mod links;
mod moved;
mod replace;
mod restore;
mod steps;
mod sweep;
mod verify;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use trestle_core::error::ErrorKind;
use trestle_core::name::IfName;
use trestle_core::resource::{NameServer, Namespace, Resource, Sysctl};
use trestle_core::{Doing, Error, Result};

use self::addressing::Announcement;
use crate::announce::Announcer;
use crate::carrier::Carrier;
use crate::firewall::Firewall;
use crate::firewall::conntrack::ConnectionTracker;
use crate::mark::Instance;
use crate::names::NameServers;
use crate::namespace::{self, Namespaces};
use crate::netlink::Socket;
use crate::ports::Ports;
use crate::remembered::Remembered;
use crate::repeat::Repeats;
use crate::sysctl;
use crate::thread::Rest;
use crate::watch::Expectations;

/// What the worker owns.
pub(crate) struct Worker {
    pub(crate) instance: Instance,
    pub(crate) host: Socket,
    /// The indexes of bridges that were seen. One may be gone by now, but its index is given to no other link.
    pub(crate) bridges: BTreeMap<IfName, u32>,
    pub(crate) firewall: Firewall,
    pub(crate) connections: ConnectionTracker,
    pub(crate) namespaces: Namespaces,
    pub(crate) ports: Ports,
    pub(crate) names: NameServers,
    pub(crate) announcer: Announcer,
    pub(crate) repeats: Repeats,
    pub(crate) remembered: Remembered,
    /// What is announced when nobody waits.
    pub(crate) unannounced: Vec<Announcement>,
    pub(crate) carrier: Carrier,
    pub(crate) expected: Arc<Expectations>,
}

impl Rest for Worker {
    fn rest(&mut self) {
        self.namespaces.settle();
        for announcement in std::mem::take(&mut self.unannounced) {
            self.say(announcement);
        }
        self.expected.is_at_work(false);
    }
}

impl Worker {
    /// See [`trestle_core::kernel::Kernel::cookie`].
    pub(crate) fn cookie(&mut self, namespace: &Namespace) -> Result<u64> {
        match namespace.path() {
            None => self.host.cookie(),
            Some(path) => self.namespaces.cookie(path),
        }
    }

    /// The socket into a namespace.
    ///
    /// # Errors
    /// `NotFound` if it is gone.
    fn socket(&mut self, namespace: &Namespace) -> Result<&mut Socket> {
        match namespace {
            Namespace::Host => Ok(&mut self.host),
            sandbox => self.namespaces.socket(sandbox),
        }
    }

    /// The socket into a namespace; `None` if it is gone.
    fn socket_if_there(&mut self, namespace: &Namespace) -> Result<Option<&mut Socket>> {
        match self.socket(namespace) {
            Ok(socket) => Ok(Some(socket)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a namespace that somebody gave us is there no more.
    fn is_gone(&mut self, namespace: &Namespace) -> bool {
        matches!(namespace, Namespace::Given { .. }) && matches!(self.socket_if_there(namespace), Ok(None))
    }

    /// Opens name servers. Goes in after links and addresses, so that who is asked can answer.
    fn open_name_servers(&mut self, wanted: &[&NameServer]) -> Result<()> {
        wanted.iter().try_for_each(|server| {
            let opened = self.namespaces.file(&server.namespace).and_then(|file| self.names.open(server, &file));
            opened.doing(|| format!("opening the name server in {}", shown(&server.namespace)))
        })
    }

    /// Closes name servers; of `dying` namespaces nothing is left to set right.
    fn close_name_servers(&mut self, gone: &[&NameServer], dying: &[&Path]) -> Vec<Error> {
        let mut errors = Vec::new();
        for server in gone {
            let dies = matches!(&server.namespace, Namespace::At(path) if dying.contains(&path.as_path()));
            let file = match dies {
                true => None,
                false => match self.namespaces.file(&server.namespace) {
                    Ok(file) => Some(file),
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => {
                        errors.push(error);
                        None
                    }
                },
            };
            let closed = self.names.close(server, file.as_deref());
            errors.extend(closed.doing(|| format!("closing the name server in {}", shown(&server.namespace))).err());
        }
        errors
    }

    /// Makes the host's settings say what they said before us, where that is asked for. Goes on over errors.
    fn put_sysctls_back(&self, removed: &[&Resource]) -> Vec<Error> {
        let of_host = removed.iter().filter_map(|it| match it {
            Resource::Sysctl(it) if it.namespace == Namespace::Host => Some(it),
            _ => None,
        });
        of_host.filter_map(|it| sysctl::put_back(it).doing(|| format!("changing {it} back")).err()).collect()
    }

    /// Makes settings say what they should: the host's here, a sandbox's all on one thread in it.
    fn set_sysctls(&mut self, wanted: &[&Sysctl]) -> Result<()> {
        let set_all = |wanted: &[&Sysctl]| -> Result<()> {
            wanted.iter().try_for_each(|it| sysctl::set(it).doing(|| format!("changing {it}")))
        };
        for group in wanted.chunk_by(|one, other| one.namespace == other.namespace) {
            match &group[0].namespace {
                Namespace::Host => set_all(group)?,
                sandbox => {
                    let namespace = self.namespaces.file(sandbox)?;
                    namespace::within(&namespace, || set_all(group))??
                }
            }
        }
        Ok(())
    }
}

/// A namespace, for an error's sake.
fn shown(namespace: &Namespace) -> String {
    namespace.path().map_or_else(|| "the host's namespace".to_owned(), |path| path.display().to_string())
}
