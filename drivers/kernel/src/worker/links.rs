//! Bridges and pairs: made, set right, cut off. A stranger's link is never touched.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use trestle_core::error::Error;
use trestle_core::name::IfName;
use trestle_core::resource::{Bridge, Namespace, Owner, Veth};
use trestle_core::{Doing, Result};

use super::Worker;
use super::steps::{Step, set_up, take, tear_down, try_each};
use crate::mark::Instance;
use crate::netlink::message::{self, Which};
use crate::netlink::{Link, Request, Socket, observed};
use crate::watch::{Changing, Wanted};

/// A link that does not exist (any more).
pub(super) const GONE: &[i32] = &[libc::ENODEV, libc::ENOENT];

/// A kernel or a link without IPv6: nothing would give itself a link-local address there anyway.
pub(super) const NO_IPV6: &[i32] = &[libc::EAFNOSUPPORT, libc::EINVAL, libc::EOPNOTSUPP];

/// Links that were made just now, where they are and what number they got. One that is not here has to be looked for.
pub(super) type Born<'a> = BTreeMap<(&'a Namespace, &'a IfName), u32>;

/// What has to be done about a link that should be there.
enum Fate {
    Make,
    /// It is ours; set it right.
    Mend,
    /// It is ours, and nothing to set right; make it anew.
    MakeAnew(u32),
}

impl Worker {
    /// Makes bridges and pairs, or sets them right where they are there.
    pub(super) fn make_links<'a>(&mut self, bridges: &[&'a Bridge], veths: &[&'a Veth]) -> Result<Born<'a>> {
        if bridges.is_empty() && veths.is_empty() {
            return Ok(Born::new());
        }
        let expected = self.expected.clone();
        let mut expected = expected.changing();
        if bridges.is_empty()
            && let Some(born) = self.make_unseen(veths, &mut expected)?
        {
            return Ok(born);
        }
        let names = bridges.iter().map(|it| &it.name).chain(veths.iter().flat_map(|it| [&it.name, &it.bridge]));
        let mut seen = look(&mut self.host, names)?;
        for bridge in bridges {
            // Before it is made: what is half made when something fails is no stranger's work either.
            expected.insert(&bridge.name, Wanted::bridge(bridge));
            self.make_bridge(bridge, seen.get(bridge.name.as_str()))?;
        }
        if bridges.iter().any(|bridge| veths.iter().any(|veth| veth.bridge == bridge.name)) {
            seen.append(&mut look(&mut self.host, bridges.iter().map(|it| &it.name))?);
        }
        for veth in veths {
            let bridge = master(veth, &seen)?;
            self.bridges.insert(veth.bridge.clone(), bridge);
            expected.insert(&veth.name, Wanted::veth(veth, bridge));
        }
        self.make_veths(veths, &seen)?;
        Ok(Born::new())
    }

    fn peer_namespace(&mut self, veth: &Veth) -> Result<Option<Arc<File>>> {
        match &veth.peer.namespace {
            Namespace::Host => Ok(None),
            sandbox => self.namespaces.file(sandbox).map(Some).doing(|| making(veth)),
        }
    }

    /// Makes pairs on bridges that were seen before, without a look at what is there: that would cost as much as a
    /// third of making them. False if something is in the way, or gone; then looking tells what, and what was made
    /// here is found.
    fn make_unseen<'a>(&mut self, veths: &[&'a Veth], expected: &mut Changing<'_>) -> Result<Option<Born<'a>>> {
        let (mut namespaces, mut births) = (Vec::new(), Vec::new());
        for veth in veths {
            let Some(bridge) = self.bridges.get(&veth.bridge).copied() else { return Ok(None) };
            let namespace = self.peer_namespace(veth)?;
            expected.insert(&veth.name, Wanted::veth(veth, bridge));
            births.push(birth(veth, bridge, namespace.as_deref(), self.instance));
            namespaces.extend(namespace);
        }
        let answers = take(&mut self.host, &births)?;
        if answers.iter().any(Result::is_err) {
            for veth in veths {
                self.bridges.remove(&veth.bridge);
            }
            return Ok(None);
        }
        // These go by name, and must not meet a stranger's link: they wait for the births.
        self.set_ports(veths)?;
        let peers = answers.iter().zip(veths).filter_map(|(answer, veth)| {
            Some(((&veth.peer.namespace, &veth.peer.name), observed::link(answer)?.partner?))
        });
        Ok(Some(peers.collect()))
    }

    /// What the host's end of a pair can only be told when it is there.
    fn set_ports(&mut self, veths: &[&Veth]) -> Result<()> {
        let settings: Vec<Step<'_>> =
            veths.iter().map(|veth| Step::new(message::set_silent_port(veth), "making", *veth)).collect();
        let mut without_ipv6 = Vec::new();
        for (failure, veth) in try_each(&mut self.host, &settings)?.into_iter().zip(veths) {
            match failure {
                None => {}
                Some((errno, _)) if NO_IPV6.contains(&errno) => {
                    without_ipv6.push(Step::new(message::set_port(veth), "making", *veth));
                }
                Some((_, error)) => return Err(error),
            }
        }
        set_up(&mut self.host, without_ipv6)
    }

    fn make_bridge(&mut self, bridge: &Bridge, there: Option<&Link>) -> Result<()> {
        if bridge.owner == Owner::User {
            return check_users_bridge(bridge, there);
        }
        let fate = match there {
            None => Fate::Make,
            Some(link) if !link.is_ours(self.instance) => return Err(stranger(link).doing(making(bridge))),
            Some(link) if link.is_live(self.instance) && link.kind == "bridge" => Fate::Mend,
            Some(link) => Fate::MakeAnew(link.index),
        };
        if !matches!(fate, Fate::Mend) {
            self.remembered.made(&bridge.name);
        }
        let name = Which::Name(bridge.name.as_str());
        let first = match fate {
            Fate::Make => vec![message::make_bridge(bridge, self.instance)],
            Fate::Mend => vec![message::mend_bridge(bridge)],
            Fate::MakeAnew(index) => vec![message::delete_link(index), message::make_bridge(bridge, self.instance)],
        };
        let mut steps: Vec<Step<'_>> = first.into_iter().map(|it| Step::new(it, "making", bridge)).collect();
        steps.push(Step::new(message::address_generation(name, bridge.ipv6), "making", bridge).or(NO_IPV6));
        steps.push(Step::new(message::set_bridge(bridge, "a network of Trestle"), "making", bridge));
        steps.push(Step::new(message::link_up(name), "making", bridge));
        set_up(&mut self.host, steps)
    }

    fn make_veths(&mut self, veths: &[&Veth], seen: &BTreeMap<String, Link>) -> Result<()> {
        let mut namespaces: Vec<Arc<File>> = Vec::new();
        let (mut steps, mut mended) = (Vec::new(), Vec::new());
        for veth in veths {
            let bridge = master(veth, seen)?;
            let fate = self.fate_of(veth, seen.get(veth.name.as_str()))?;
            if let Fate::MakeAnew(index) = fate {
                steps.push(Step::new(message::delete_link(index), "removing the remains of", *veth).or(GONE));
            }
            if let Fate::Mend = fate {
                steps.push(Step::new(message::mend_veth(veth, bridge), "setting right", *veth));
                mended.push(*veth);
            } else {
                let namespace = self.peer_namespace(veth)?;
                steps.push(birth(veth, bridge, namespace.as_deref(), self.instance));
                namespaces.extend(namespace);
            }
        }
        if let Some((errno, error)) = try_each(&mut self.host, &steps)?.into_iter().flatten().next() {
            return Err(if errno == libc::EEXIST { name_taken(error) } else { error });
        }
        self.set_ports(veths)?;
        for veth in mended {
            let Some(socket) = self.socket_if_there(&veth.peer.namespace)? else { continue };
            set_up(socket, vec![Step::new(message::mend_peer(veth), "setting right", veth)])?;
        }
        Ok(())
    }

    fn fate_of(&mut self, veth: &Veth, there: Option<&Link>) -> Result<Fate> {
        let Some(there) = there else { return Ok(Fate::Make) };
        if !there.is_ours(self.instance) {
            return Err(stranger(there).doing(making(veth)));
        }
        if !there.is_live(self.instance) || there.kind != "veth" {
            return Ok(Fate::MakeAnew(there.index));
        }
        let Some(socket) = self.socket_if_there(&veth.peer.namespace)? else {
            return Ok(Fate::MakeAnew(there.index));
        };
        let peer = look(socket, [&veth.peer.name])?.remove(veth.peer.name.as_str());
        let paired = peer.is_some_and(|peer| are_paired(there, &peer));
        Ok(if paired { Fate::Mend } else { Fate::MakeAnew(there.index) })
    }

    /// Deletes a pair here and now, so that one of the same name can be made elsewhere.
    pub(super) fn remove_at_once(&mut self, veth: &Veth) -> Vec<Error> {
        let there = match look(&mut self.host, [&veth.name]) {
            Ok(mut seen) => seen.remove(veth.name.as_str()),
            Err(error) => return vec![error],
        };
        let Some(link) = there.filter(|link| link.is_ours(self.instance)) else { return Vec::new() };
        self.expected.changing().remove(&veth.name);
        tear_down(&mut self.host, vec![Step::new(message::delete_link(link.index), "removing", veth).or(GONE)])
    }

    /// From now on no packet passes these links; [`crate::reaper`] deletes them. Links that are gone, or a
    /// stranger's, are left alone.
    pub(super) fn cut_off(&mut self, bridges: &[&Bridge], veths: &[&Veth]) -> Vec<Error> {
        let ours: Vec<&Bridge> = bridges.iter().copied().filter(|it| it.owner == Owner::Us).collect();
        let expected = self.expected.clone();
        let mut expected = expected.changing();
        let things = ours.iter().map(|it| (&it.name, *it as &dyn Display));
        let things: Vec<(&IfName, &dyn Display)> =
            veths.iter().map(|it| (&it.name, *it as &dyn Display)).chain(things).collect();
        for bridge in bridges {
            self.bridges.remove(&bridge.name);
            self.remembered.gone(&bridge.name);
            expected.remove(&bridge.name);
        }
        for veth in veths {
            expected.remove(&veth.name);
        }
        let seen = match look(&mut self.host, things.iter().map(|(name, _)| *name)) {
            Ok(seen) => seen,
            Err(error) => return vec![error],
        };
        let steps = things.iter().filter_map(|(name, thing)| {
            let link = seen.get(name.as_str()).filter(|link| link.is_live(self.instance))?;
            Some(Step::new(message::cut_off(link.index, self.instance), "cutting off", *thing).or(GONE))
        });
        let steps = steps.collect();
        tear_down(&mut self.host, steps)
    }
}

/// The links of these names that are there.
pub(super) fn look<'a>(
    socket: &mut Socket,
    names: impl IntoIterator<Item = &'a IfName>,
) -> Result<BTreeMap<String, Link>> {
    let mut names: Vec<&str> = names.into_iter().map(IfName::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let requests: Vec<Request> = names.iter().map(|name| message::get_link(Which::Name(name))).collect();
    let answers = socket.batch(&requests.iter().collect::<Vec<_>>()).doing(|| "looking at links")?;
    let links = answers.iter().filter_map(observed::link);
    Ok(links.map(|link| (link.name.clone(), link)).collect())
}

/// Whether two ends name each other. Indexes are small numbers and meet by chance, but not twice and both ways.
pub(super) fn are_paired(host: &Link, peer: &Link) -> bool {
    peer.kind == "veth" && host.partner == Some(peer.index) && peer.partner == Some(host.index)
}

fn check_users_bridge(bridge: &Bridge, there: Option<&Link>) -> Result<()> {
    match there {
        Some(link) if link.kind == "bridge" => Ok(()),
        Some(link) => Err(Error::conflict(format!("{} is not a bridge but {}", link.name, kind(link)))),
        None => Err(Error::not_found(format!("there is no bridge {}; it has to be made first", bridge.name))),
    }
}

fn master(veth: &Veth, seen: &BTreeMap<String, Link>) -> Result<u32> {
    match seen.get(veth.bridge.as_str()) {
        Some(link) if link.kind == "bridge" => Ok(link.index),
        Some(link) => {
            Err(Error::conflict(format!("{} is not a bridge but {}", link.name, kind(link))).doing(making(veth)))
        }
        None => Err(Error::not_found(format!("the bridge {} is gone", veth.bridge)).doing(making(veth))),
    }
}

/// Makes a pair.
fn birth<'a>(veth: &'a Veth, bridge: u32, namespace: Option<&File>, instance: Instance) -> Step<'a> {
    Step::new(message::make_veth(veth, bridge, namespace.map(AsRawFd::as_raw_fd), instance), "making", veth)
}

fn making(thing: &dyn Display) -> String {
    format!("making {thing}")
}

fn stranger(link: &Link) -> Error {
    Error::conflict(format!(
        "there is a link {} already, {}, which Trestle did not make; remove or rename it",
        link.name,
        kind(link)
    ))
}

/// The host's name was free a moment ago, so it is the sandbox's that is taken.
fn name_taken(error: Error) -> Error {
    Error::conflict(format!(
        "{error}: the sandbox has a link of that name already, which Trestle did not make; ask for another name \
         (--interface)"
    ))
}

fn kind(link: &Link) -> String {
    match link.kind.as_str() {
        "" => "hardware".into(),
        kind => format!("a link of kind {kind}"),
    }
}
