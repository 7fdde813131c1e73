//! Links that strangers made: moved into a sandbox, and put back. They bear our mark as long as they are there.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;

use netlink_packet_route::AddressFamily;
use trestle_core::error::Error;
use trestle_core::resource::{Moved, Namespace, Resource};
use trestle_core::{Doing, Plan, Result};

use super::Worker;
use super::links::{GONE, look};
use super::steps::{Step, set_up, try_each};
use crate::mark;
use crate::namespace;
use crate::netlink::observed::SeenRoute;
use crate::netlink::{Link, Socket, message};

impl Worker {
    /// Moves links in, or sets them right where they are in already.
    pub(super) fn move_in(&mut self, wanted: &[&Moved]) -> Result<()> {
        for moved in wanted {
            let instance = self.instance;
            let socket = self.socket(&moved.namespace)?;
            let inside = look(socket, [&moved.name])?.remove(moved.name.as_str());
            match (inside, moved.mac) {
                (None, _) => self.move_one(moved)?,
                (Some(link), _) if !link.is_live(instance) => {
                    let cause = format!(
                        "the sandbox has a link {} already, which was not moved there; ask for another name (--interface)",
                        moved.name
                    );
                    return Err(Error::conflict(cause).doing(format!("moving {moved}")));
                }
                (Some(link), Some(mac)) if link.mac != Some(mac) => {
                    set_up(socket, vec![Step::new(message::set_mac(link.index, mac), "setting right", *moved)])?;
                }
                (Some(_), _) => {}
            }
        }
        Ok(())
    }

    fn move_one(&mut self, moved: &Moved) -> Result<()> {
        let doing = || format!("moving {moved}");
        let there = look(&mut self.host, [&moved.source])?.remove(moved.source.as_str());
        let link = there.ok_or_else(|| {
            Error::not_found(format!(
                "there is no link {} in the host's namespace: it was not made, or it is in a sandbox already",
                moved.source
            ))
        });
        let link = link.doing(doing)?;
        may_be_moved(&link, &uplinks(&mut self.host)?).doing(doing)?;
        let namespace = self.namespaces.file(&moved.namespace).doing(doing)?;
        let request = message::move_link(link.index, namespace.as_raw_fd(), moved, self.instance);
        set_up(&mut self.host, vec![Step::new(request, "moving", moved)])
    }

    /// Puts links back where they came from, for who made them to delete. Those that are gone, or were never moved, are
    /// left alone.
    pub(super) fn put_back(&mut self, moved: &[&Moved]) -> Vec<Error> {
        moved.iter().filter_map(|it| self.put_one_back(it).doing(|| format!("putting back {it}")).err()).collect()
    }

    fn put_one_back(&mut self, moved: &Moved) -> Result<()> {
        let instance = self.instance;
        let Some(socket) = self.socket_if_there(&moved.namespace)? else { return Ok(()) };
        let mut seen = look(socket, [&moved.name, &moved.source])?;
        // One that was moved and then could not be renamed has its old name, and no mark.
        let is_half_moved = |link: &Link| !link.is_ours(instance) && matches!(moved.namespace, Namespace::At(_));
        let named = seen.remove(moved.name.as_str()).filter(|link| link.is_ours(instance));
        let link = named.or_else(|| seen.remove(moved.source.as_str()).filter(is_half_moved));
        let Some(link) = link else { return Ok(()) };
        let host = namespace::own()?;
        let back = |name: &str| message::put_back(link.index, host.as_raw_fd(), name);
        let first = Step::new(back(moved.source.as_str()), "moving", moved).or(GONE);
        match try_each(socket, &[first])?.into_iter().flatten().next() {
            None => Ok(()),
            Some((libc::EEXIST, _)) => {
                tracing::warn!(link = %moved.source, "its name was taken meanwhile; it is put back with another one");
                set_up(socket, vec![Step::new(back("moved%d"), "moving", moved).or(GONE)])
            }
            Some((_, error)) => Err(error),
        }
    }

    /// Links of a plan that are nowhere any more. Only who made them can make them again.
    pub(super) fn lost<'a>(&mut self, plan: &'a Plan) -> Result<Vec<&'a Moved>> {
        let moved = plan.resources().iter().filter_map(|it| if let Resource::Moved(it) = it { Some(it) } else { None });
        let mut lost = Vec::new();
        for it in moved {
            let in_host = !look(&mut self.host, [&it.source])?.is_empty();
            let inside = match self.socket_if_there(&it.namespace)? {
                Some(socket) => !look(socket, [&it.name])?.is_empty(),
                None => false,
            };
            lost.extend((!in_host && !inside).then_some(it));
        }
        Ok(lost)
    }
}

/// Whether a resource is one of these links, or needs one.
pub(super) fn needs_one_of(resource: &Resource, links: &[&Moved]) -> bool {
    links.iter().any(|it| match resource {
        Resource::Moved(moved) => moved == *it,
        other => other.is_by(&it.namespace, &it.name),
    })
}

/// Refuses what is ours, and what the host can't do without.
fn may_be_moved(link: &Link, uplinks: &BTreeSet<u32>) -> Result<()> {
    let name = &link.name;
    if mark::is_any_instance_s(link.group) {
        return Err(Error::forbidden(format!("link {name} is Trestle's own; a plugin has to make one of its own")));
    }
    if link.loopback {
        return Err(Error::forbidden(format!("link {name} is the host's loopback")));
    }
    if uplinks.contains(&link.index) || link.master.is_some_and(|master| uplinks.contains(&master)) {
        return Err(Error::forbidden(format!("link {name} is the host's way out: its default route leads by it")));
    }
    Ok(())
}

/// The links by which default routes lead, in whatever table.
fn uplinks(host: &mut Socket) -> Result<BTreeSet<u32>> {
    let mut uplinks = BTreeSet::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let routes = host.dump(&message::all_routes(family)).doing(|| "listing routes")?;
        let defaults = routes.iter().filter_map(SeenRoute::of).filter(|route| route.destination.prefix_len() == 0);
        uplinks.extend(defaults.filter_map(|route| route.link));
    }
    Ok(uplinks)
}

/// What of a moved link is not as planned, in the links of the host and of its sandbox.
pub(super) fn deviation(
    wanted: &Moved,
    host: Option<&BTreeMap<String, Link>>,
    inside: Option<&BTreeMap<String, Link>>,
    instance: mark::Instance,
) -> Option<Missed> {
    let Some(link) = inside.and_then(|links| links.get(wanted.name.as_str())) else {
        let in_host = host.is_some_and(|links| links.contains_key(wanted.source.as_str()));
        return Some(if in_host { Missed::NotMoved } else { Missed::Lost });
    };
    if !link.is_live(instance) {
        return Some(Missed::Stranger);
    }
    let differences = [
        (!link.up).then(|| "it is down".to_owned()),
        wanted.mac.filter(|mac| link.mac != Some(*mac)).map(|mac| format!("its MAC address is not {mac}")),
    ];
    let told: Vec<String> = differences.into_iter().flatten().collect();
    (!told.is_empty()).then(|| Missed::Altered(told.join(", ")))
}

/// In what way a moved link is not as planned.
pub(super) enum Missed {
    /// It is in the host's namespace still, or again.
    NotMoved,
    /// It is nowhere.
    Lost,
    /// Another link has its name.
    Stranger,
    /// It has other values.
    Altered(String),
}
