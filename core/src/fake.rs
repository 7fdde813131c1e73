//! A kernel and a store in memory, and a fate that lets any step of theirs fail or be the last one.
//!
//! For tests of the controller and of what embeds it. What the fake kernel accepts, the real one accepts: one contract
//! suite runs on both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::facts::{Facts, LinkFact};
use crate::kernel::{Deviation, Disturbance, Drift, Kernel, PORT_TAKEN};
use crate::name::IfName;
use crate::plan::Plan;
use crate::port::Protocol;
use crate::resource::{Bridge, Moved, Namespace, Owner, PublishedPort, Resource, Veth};
use crate::store::{Change, Key, Record, Revision, Store};

/// What becomes of one step among all steps that a fake takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The step is refused, and nothing of it done.
    FailBefore,
    /// The step is done, and yet answered with an error.
    FailAfter,
    /// The process dies before the step: nothing is done from here on.
    DieBefore,
    /// The process dies after the step.
    DieAfter,
}

/// Counts the steps of all fakes that share it, and strikes once.
#[derive(Debug, Default)]
pub struct Fate(Mutex<FateState>);

#[derive(Debug, Default)]
struct FateState {
    steps: usize,
    blow: Option<(usize, Blow)>,
    dead: bool,
    told: Vec<String>,
}

impl Fate {
    /// A kind one.
    pub fn kind() -> Arc<Self> {
        Arc::default()
    }

    /// From now on, lets the step of that number (the next one is 0) be struck.
    pub fn strike(&self, step: usize, blow: Blow) {
        *lock(&self.0) = FateState { blow: Some((step, blow)), ..FateState::default() };
    }

    /// Counts anew, kindly; the dead live again.
    pub fn relent(&self) {
        *lock(&self.0) = FateState::default();
    }

    /// How many steps were taken since it was last told anything.
    pub fn steps(&self) -> usize {
        lock(&self.0).steps
    }

    /// The names of the steps taken since, in order.
    pub fn told(&self) -> Vec<String> {
        lock(&self.0).told.clone()
    }

    /// Whether the process has died.
    pub fn is_dead(&self) -> bool {
        lock(&self.0).dead
    }

    /// Takes a step: runs it unless struck before, and tells an error if struck at all.
    pub fn step<T>(&self, name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut state = lock(&self.0);
        let number = state.steps;
        state.steps += 1;
        state.told.push(name.to_owned());
        let blow = state.blow.and_then(|(step, blow)| (step == number).then_some(blow));
        if state.dead || blow == Some(Blow::DieBefore) {
            state.dead = true;
            return Err(Error::internal(format!("{name}: the process is dead")));
        }
        state.dead = blow == Some(Blow::DieAfter);
        drop(state);
        if blow == Some(Blow::FailBefore) {
            return Err(Error::internal(format!("{name}: struck before")));
        }
        let done = act()?;
        match blow {
            Some(_) => Err(Error::internal(format!("{name}: struck after"))),
            None => Ok(done),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A host in memory.
#[derive(Debug)]
pub struct FakeKernel {
    fate: Arc<Fate>,
    state: Mutex<Host>,
}

#[derive(Debug, Default)]
struct Host {
    facts: Facts,
    present: BTreeMap<String, Resource>,
    cut_off: BTreeSet<String>,
    /// When each link was made, counted in links.
    born: BTreeMap<IfName, u64>,
    births: u64,
    /// The cookie of every namespace but the host's.
    namespaces: BTreeMap<PathBuf, u64>,
    cookies: u64,
    foreign_ports: Vec<(Protocol, u16)>,
    /// The link by which the host's default route leads.
    uplink: Option<IfName>,
}

impl FakeKernel {
    /// A host of which these things are known.
    pub fn new(facts: Facts, fate: Arc<Fate>) -> Self {
        Self { fate, state: Mutex::new(Host { facts, ..Host::default() }) }
    }

    /// Everything that is there, links that are cut off and not yet reaped as `cut off …`.
    pub fn snapshot(&self) -> Vec<String> {
        let host = lock(&self.state);
        let present = host.present.values().map(|resource| format!("{resource:?}"));
        present.chain(host.cut_off.iter().map(|link| format!("cut off {link}"))).collect()
    }

    /// Takes something away behind our back, with what stands on it.
    pub fn lose(&self, resource: &Resource) {
        let mut host = lock(&self.state);
        host.unmake(resource);
        host.cut_off.remove(&key(resource));
    }

    /// When the link of that name was made, counted in links; `None` if there is none.
    pub fn born(&self, link: &IfName) -> Option<u64> {
        lock(&self.state).born.get(link).copied()
    }

    /// Somebody else makes a bridge.
    pub fn make_strangers_bridge(&self, name: &IfName) {
        let mut host = lock(&self.state);
        host.be_born(name);
        host.facts.links.push(strangers_link(name, "bridge"));
    }

    /// And removes it.
    pub fn remove_strangers_bridge(&self, name: &IfName) {
        self.remove_strangers_link(name);
    }

    /// Somebody else makes a link that can be moved.
    pub fn make_strangers_link(&self, name: &IfName) {
        let mut host = lock(&self.state);
        host.be_born(name);
        host.facts.links.push(strangers_link(name, "veth"));
    }

    /// And removes it, wherever it is.
    pub fn remove_strangers_link(&self, name: &IfName) {
        let mut host = lock(&self.state);
        host.facts.links.retain(|link| link.name != *name);
        host.born.remove(name);
        let moved = host.present.values().find(|it| matches!(it, Resource::Moved(it) if it.source == *name)).cloned();
        if let Some(moved) = moved {
            host.unmake(&moved);
            host.facts.links.retain(|link| link.name != *name);
            host.born.remove(name);
        }
    }

    /// The host's default route leads by this link, or by none.
    pub fn lead_out_by(&self, link: Option<&IfName>) {
        lock(&self.state).uplink = link.cloned();
    }

    /// Somebody else puts a new namespace at a path, whatever was there.
    pub fn put_strangers_namespace(&self, path: &Path) {
        lock(&self.state).put_namespace(path);
    }

    /// And takes away what is there.
    pub fn remove_strangers_namespace(&self, path: &Path) {
        lock(&self.state).namespaces.remove(path);
    }

    /// Puts what is at one path at another too.
    pub fn bind_namespace(&self, from: &Path, to: &Path) {
        let mut host = lock(&self.state);
        if let Some(cookie) = host.namespaces.get(from).copied() {
            host.namespaces.insert(to.to_owned(), cookie);
        }
    }

    /// Puts the host's own namespace at a path.
    pub fn bind_host_namespace(&self, to: &Path) {
        lock(&self.state).namespaces.insert(to.to_owned(), HOST_COOKIE);
    }

    /// Another program takes these ports.
    pub fn occupy(&self, protocol: Protocol, ports: impl IntoIterator<Item = u16>) {
        lock(&self.state).foreign_ports.extend(ports.into_iter().map(|port| (protocol, port)));
    }

    /// The machine restarts: nothing is left.
    pub fn restart(&self) {
        let mut host = lock(&self.state);
        host.present.clear();
        host.cut_off.clear();
        host.born.clear();
        host.namespaces.clear();
    }
}

/// The cookie of the host's own namespace.
const HOST_COOKIE: u64 = 1;

/// Whether a resource is one of these links, or needs one.
fn needs_one_of(resource: &Resource, links: &[Moved]) -> bool {
    links.iter().any(|it| match resource {
        Resource::Moved(moved) => moved == it,
        other => other.is_by(&it.namespace, &it.name),
    })
}

fn strangers_link(name: &IfName, kind: &str) -> LinkFact {
    let kind = kind.to_owned();
    LinkFact { name: name.clone(), kind, mtu: 1500, mac: None, addresses: Vec::new(), ours: false }
}

fn key(resource: &Resource) -> String {
    format!("{:?}", resource.identity())
}

impl Host {
    fn put_namespace(&mut self, path: &Path) {
        self.cookies += 1;
        self.namespaces.insert(path.to_owned(), HOST_COOKIE + self.cookies);
    }

    fn cookie(&self, namespace: &Namespace) -> Result<u64> {
        let (path, wanted) = match namespace {
            Namespace::Host => return Ok(HOST_COOKIE),
            Namespace::At(path) => (path, None),
            Namespace::Given { path, cookie } => (path, Some(*cookie)),
        };
        match self.namespaces.get(path) {
            Some(cookie) if wanted.is_none_or(|wanted| wanted == *cookie) => Ok(*cookie),
            Some(_) => Err(Error::not_found(format!(
                "the network namespace of {} is gone: another one is at its path",
                path.display()
            ))),
            None => Err(Error::not_found(format!("no namespace at {}", path.display()))),
        }
    }

    /// Whether a namespace that somebody gave us is there no more.
    fn is_gone(&self, namespace: &Namespace) -> bool {
        matches!(namespace, Namespace::Given { .. }) && self.cookie(namespace).is_err()
    }

    fn be_born(&mut self, link: &IfName) {
        self.births += 1;
        self.born.insert(link.clone(), self.births);
    }

    /// Whether a stranger has a link of that name.
    fn is_strangers(&self, name: &IfName) -> bool {
        self.facts.link(name).is_some_and(|link| !link.ours)
    }

    /// Makes one resource, if what it stands on is there.
    fn make(&mut self, resource: &Resource) -> Result<()> {
        let needs_namespace = |host: &Host, namespace: &Namespace| host.cookie(namespace).map(drop);
        let needs_link = |host: &Host, name: &IfName| {
            let named = |it: &Resource| match it {
                Resource::Bridge(bridge) => bridge.name == *name,
                Resource::Veth(veth) => veth.name == *name || veth.peer.name == *name,
                Resource::Moved(moved) => moved.name == *name,
                _ => false,
            };
            let there = host.present.values().any(named);
            there.then_some(()).ok_or_else(|| Error::not_found(format!("no link {name}")))
        };
        match resource {
            Resource::Loopback(it) => needs_namespace(self, &it.namespace)?,
            Resource::Sysctl(it) => needs_namespace(self, &it.namespace)?,
            Resource::Bridge(it) if it.owner == Owner::User => {
                self.facts.link(&it.name).ok_or_else(|| Error::not_found(format!("no link {}", it.name)))?;
            }
            Resource::Bridge(Bridge { name, .. }) | Resource::Veth(Veth { name, .. }) if self.is_strangers(name) => {
                return Err(Error::conflict(format!("link {name} is a stranger's")));
            }
            Resource::Bridge(_) => {}
            Resource::Veth(it) => {
                if self.cut_off.contains(&key(resource)) {
                    return Err(Error::conflict(format!("link {} is cut off and not yet gone", it.name)));
                }
                needs_link(self, &it.bridge)?;
                needs_namespace(self, &it.peer.namespace)?;
            }
            Resource::Moved(it) => {
                needs_namespace(self, &it.namespace)?;
                self.move_in(it)?;
            }
            Resource::Address(it) => needs_namespace(self, &it.namespace).and(needs_link(self, &it.link))?,
            Resource::Route(it) => needs_namespace(self, &it.namespace).and(needs_link(self, &it.link))?,
            Resource::SourceRule(it) => needs_namespace(self, &it.namespace)?,
            Resource::NameServer(it) => needs_namespace(self, &it.namespace)?,
            Resource::PublishedPort(it) => self.hold(it)?,
            Resource::FirewallNetwork(_) => {
                self.present.get("FirewallBase").ok_or_else(|| Error::not_found("no firewall table"))?;
            }
            Resource::Netns(it) => {
                if !self.namespaces.contains_key(&it.path) {
                    self.put_namespace(&it.path);
                }
            }
            Resource::FirewallBase | Resource::OpenedPort(_) | Resource::Hairpin(_) | Resource::MasqueradedUdp(_) => {}
        }
        if let Resource::Bridge(Bridge { name, owner: Owner::Us, .. }) | Resource::Veth(Veth { name, .. }) = resource
            && !self.born.contains_key(name)
        {
            self.be_born(name);
        }
        self.present.insert(key(resource), resource.clone());
        Ok(())
    }

    fn move_in(&mut self, moved: &Moved) -> Result<()> {
        if self.present.contains_key(&format!("{:?}", crate::resource::Identity::Moved(&moved.namespace, &moved.name)))
        {
            return Ok(());
        }
        let Moved { source, name, .. } = moved;
        let is_ours = self.present.values().any(|it| match it {
            Resource::Bridge(it) => it.name == *source,
            Resource::Veth(it) => it.name == *source,
            _ => false,
        });
        if is_ours || self.uplink.as_ref() == Some(source) {
            return Err(Error::forbidden(format!("link {source} is not to be moved")));
        }
        if !self.is_strangers(source) {
            return Err(Error::not_found(format!("there is no link {source} in the host's namespace")));
        }
        self.facts.links.retain(|link| link.name != *source);
        let number = self.born.remove(source);
        self.born.extend(number.map(|number| (name.clone(), number)));
        Ok(())
    }

    /// Moved links of a plan that are nowhere any more.
    fn lost(&self, plan: &Plan) -> Vec<Moved> {
        let moved = plan.resources().iter().filter_map(|it| match it {
            Resource::Moved(moved) if !self.present.contains_key(&key(it)) => Some(moved),
            _ => None,
        });
        moved.filter(|it| !self.is_strangers(&it.source)).cloned().collect()
    }

    fn put_back(&mut self, moved: &Moved) {
        let number = self.born.remove(&moved.name);
        self.born.extend(number.map(|number| (moved.source.clone(), number)));
        self.facts.links.push(strangers_link(&moved.source, "veth"));
        self.present.retain(|_, it| !it.is_by(&moved.namespace, &moved.name));
    }

    fn hold(&self, port: &PublishedPort) -> Result<()> {
        let mut ports = port.host.ports();
        match ports.find(|number| self.foreign_ports.contains(&(port.protocol, *number))) {
            Some(taken) => {
                Err(Error::conflict(format!("{PORT_TAKEN}{taken}/{} is taken by another program", port.protocol)))
            }
            None => Ok(()),
        }
    }

    fn unmake(&mut self, resource: &Resource) {
        let key = key(resource);
        let was = self.present.remove(&key);
        if let (Some(Resource::Veth(veth)), Resource::Veth(_)) = (&was, resource) {
            // With the link go the sandbox end's addresses and routes.
            let (namespace, peer) = (veth.peer.namespace.clone(), veth.peer.name.clone());
            self.present.retain(|_, it| match it {
                Resource::Address(it) => (&it.namespace, &it.link) != (&namespace, &peer),
                Resource::Route(it) => (&it.namespace, &it.link) != (&namespace, &peer),
                _ => true,
            });
            self.born.remove(&veth.name);
            self.cut_off.insert(key);
        } else if let Some(Resource::Bridge(bridge)) = &was
            && bridge.owner == Owner::Us
        {
            self.born.remove(&bridge.name);
        } else if let Some(Resource::Moved(moved)) = &was {
            self.put_back(moved);
        }
        if let Resource::Netns(netns) = resource {
            self.namespaces.remove(&netns.path);
            let namespace = Namespace::At(netns.path.clone());
            self.present.retain(|_, it| it.sandbox() != Some(&namespace));
        }
    }
}

#[async_trait]
impl Kernel for FakeKernel {
    async fn facts(&self) -> Result<Facts> {
        self.fate.step("facts", || Ok(lock(&self.state).facts.clone()))
    }

    async fn cookie(&self, namespace: &Namespace) -> Result<u64> {
        lock(&self.state).cookie(namespace)
    }

    async fn replace(&self, from: &Plan, to: &Plan) -> Result<()> {
        let difference = from.difference(to);
        let left: Vec<&Namespace> = difference.removed.iter().filter_map(|it| it.sandbox()).collect();
        let somebody_leaves = difference.removed.iter().any(|it| !it.is_firewall());
        let mut errors = Vec::new();
        for resource in difference.added.iter().copied().chain(difference.changed.iter().map(|(_, after)| *after)) {
            let passed_over = |namespace: &Namespace| left.contains(&namespace) && lock(&self.state).is_gone(namespace);
            if !matches!(resource, Resource::Veth(_)) && resource.sandbox().is_some_and(passed_over) {
                continue;
            }
            let made = self.fate.step(&format!("make {}", key(resource)), || lock(&self.state).make(resource));
            match made {
                Ok(()) => {}
                Err(error) if somebody_leaves && !matches!(resource, Resource::PublishedPort(_)) => {
                    errors.push(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        for resource in difference.removed {
            let removed = self.fate.step(&format!("remove {}", key(resource)), || {
                lock(&self.state).unmake(resource);
                Ok(())
            });
            errors.extend(removed.err());
        }
        Error::several(errors).map_or(Ok(()), Err)
    }

    async fn reap(&self, _gone: &[Plan]) -> Result<()> {
        self.fate.step("reap", || {
            lock(&self.state).cut_off.clear();
            Ok(())
        })
    }

    async fn restore(&self, plans: &[Plan]) -> Vec<Result<()>> {
        let mut outcomes = Vec::new();
        for plan in plans {
            let lost = lock(&self.state).lost(plan);
            let stays = |it: &&Resource| !needs_one_of(it, &lost);
            outcomes.push(plan.resources().iter().filter(stays).try_for_each(|resource| {
                self.fate.step(&format!("restore {}", key(resource)), || lock(&self.state).make(resource))
            }));
        }
        outcomes
    }

    async fn verify(&self, plan: &Plan) -> Result<Vec<Drift>> {
        let host = lock(&self.state);
        let strangers = |resource: &Resource| match resource {
            Resource::Bridge(it) => it.owner == Owner::Us && host.is_strangers(&it.name),
            Resource::Veth(it) => host.is_strangers(&it.name),
            _ => false,
        };
        let lost = host.lost(plan);
        let drift = |resource: &Resource| {
            let deviation = match host.present.get(&key(resource)) {
                None if strangers(resource) || needs_one_of(resource, &lost) => Deviation::Obstructed,
                None => Deviation::Missing,
                Some(there) if there != resource => Deviation::Altered,
                Some(_) => return None,
            };
            Some(Drift { resource: resource.to_string(), deviation, detail: String::new() })
        };
        Ok(plan.resources().iter().filter_map(drift).collect())
    }

    async fn strays(&self, keep: &[Plan]) -> Result<Vec<String>> {
        let kept: BTreeSet<String> = keep.iter().flat_map(|plan| plan.resources().iter().map(key)).collect();
        let host = lock(&self.state);
        let is_stray = |it: &&Resource| !kept.contains(&key(it)) && !matches!(it, Resource::Sysctl(_));
        Ok(host.present.values().filter(is_stray).map(ToString::to_string).collect())
    }

    async fn sweep(&self, keep: &[Plan]) -> Result<Vec<String>> {
        let kept: BTreeSet<String> = keep.iter().flat_map(|plan| plan.resources().iter().map(key)).collect();
        self.fate.step("sweep", || {
            let mut host = lock(&self.state);
            let swept: Vec<Resource> =
                host.present.iter().filter(|(key, _)| !kept.contains(*key)).map(|(_, it)| it.clone()).collect();
            swept.iter().for_each(|resource| host.unmake(resource));
            host.cut_off.clear();
            Ok(swept.iter().map(Resource::to_string).collect())
        })
    }

    async fn disturbed(&self) -> Option<Disturbance> {
        None
    }
}

/// A store in memory.
#[derive(Debug)]
pub struct FakeStore {
    fate: Arc<Fate>,
    records: Mutex<BTreeMap<Key, Record>>,
}

impl FakeStore {
    /// An empty one.
    pub fn new(fate: Arc<Fate>) -> Self {
        Self { fate, records: Mutex::default() }
    }

    /// Every record.
    pub fn snapshot(&self) -> Vec<Record> {
        lock(&self.records).values().cloned().collect()
    }

    /// The machine restarts: what lived as long as the kernel's state is gone.
    pub fn restart(&self) {
        let mut records = lock(&self.records);
        *records = records.iter().filter_map(|(key, record)| Some((*key, record.durable()?))).collect();
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn commit(&self, changes: &[Change], _expected: &[(Key, Revision)]) -> Result<Revision> {
        self.fate.step("commit", || {
            let mut records = lock(&self.records);
            for change in changes {
                match change {
                    Change::Put(record) => records.insert(record.key(), record.clone()),
                    Change::Remove(key) => records.remove(key),
                };
            }
            Ok(Revision::default())
        })
    }

    async fn load(&self) -> Result<Vec<(Record, Revision)>> {
        self.fate.step("load", || Ok(self.snapshot().into_iter().map(|record| (record, Revision::default())).collect()))
    }
}
