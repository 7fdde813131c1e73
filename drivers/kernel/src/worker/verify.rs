//! Resource by resource: there, missing, or altered.

use std::collections::BTreeMap;

use netlink_packet_route::AddressFamily;
use trestle_core::error::ErrorKind;
use trestle_core::kernel::{Deviation, Drift};
use trestle_core::resource::{
    Address, Bridge, Moved, NameServer, Namespace, Owner, Resource, Route, SourceRule, Sysctl, Veth,
};
use trestle_core::{Doing, Plan, Result};

use super::Worker;
use super::links::are_paired;
use super::moved::{Missed, deviation, needs_one_of};
use crate::mark::{Instance, PROTOCOL};
use crate::namespace;
use crate::netlink::observed::{SeenAddress, SeenRoute, SeenRule};
use crate::netlink::{Link, Socket, message};
use crate::sysctl;

/// What is in one namespace.
struct Scene {
    links: BTreeMap<String, Link>,
    addresses: Vec<SeenAddress>,
    routes: Vec<SeenRoute>,
    rules: Vec<SeenRule>,
}

impl Worker {
    /// See [`trestle_core::kernel::Kernel::verify`].
    pub(crate) fn verify(&mut self, plan: &Plan) -> Result<Vec<Drift>> {
        let mut drifts = Vec::new();
        let mut scenes: BTreeMap<Namespace, Option<Scene>> = BTreeMap::new();
        for namespace in plan.resources().iter().flat_map(namespaces) {
            if !scenes.contains_key(namespace) {
                let scene = self.socket_if_there(namespace)?.map(Scene::see).transpose()?;
                scenes.insert(namespace.clone(), scene);
            }
        }
        let lost = self.lost(plan)?;
        let scene = |namespace: &Namespace| scenes.get(namespace).and_then(Option::as_ref);
        for resource in plan.resources() {
            let found = match resource {
                Resource::Netns(it) if namespace::is_namespace(&it.path)? => None,
                Resource::Netns(_) => Some(missing("its file leads to no namespace")),
                Resource::Loopback(it) => loopback(scene(&it.namespace)),
                Resource::Sysctl(it) => self.setting(it)?,
                Resource::Bridge(it) => bridge(it, scene(&Namespace::Host), self.instance),
                Resource::Veth(it) => veth(it, scene(&Namespace::Host), scene(&it.peer.namespace), self.instance),
                Resource::Moved(it) => moved(it, scene(&Namespace::Host), scene(&it.namespace), self.instance),
                it if needs_one_of(it, &lost) => Some((Deviation::Obstructed, "its link is gone".to_owned())),
                Resource::Address(it) => address(it, scene(&it.namespace)),
                Resource::Route(it) => route(it, scene(&it.namespace)),
                Resource::SourceRule(it) => rule(it, scene(&it.namespace)),
                Resource::PublishedPort(it) => self.ports.verify(it),
                Resource::NameServer(it) => self.name_server(it)?,
                Resource::FirewallBase
                | Resource::FirewallNetwork(_)
                | Resource::OpenedPort(_)
                | Resource::Hairpin(_)
                | Resource::MasqueradedUdp(_) => None,
            };
            drifts.extend(found.map(|(deviation, detail)| Drift { resource: resource.to_string(), deviation, detail }));
        }
        let firewall: Vec<&Resource> = plan.resources().iter().filter(|it| it.is_firewall()).collect();
        if !firewall.is_empty() {
            drifts.extend(self.firewall.verify(&firewall)?);
        }
        if plan.resources().contains(&Resource::FirewallBase) {
            let rivals = self.firewall.foreign_drops()?;
            let resource = || Resource::FirewallBase.to_string();
            drifts.extend(rivals.into_iter().map(|detail| Drift {
                resource: resource(),
                deviation: Deviation::Obstructed,
                detail,
            }));
        }
        Ok(drifts)
    }

    fn name_server(&mut self, wanted: &NameServer) -> Result<Found> {
        match self.namespaces.file(&wanted.namespace) {
            Ok(file) => self.names.verify(wanted, &file),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(missing("the namespace is gone"))),
            Err(error) => Err(error),
        }
    }

    fn setting(&mut self, wanted: &Sysctl) -> Result<Found> {
        let now = match &wanted.namespace {
            Namespace::Host => sysctl::read(&wanted.key)?,
            sandbox => match self.namespaces.file(sandbox) {
                Ok(file) => namespace::within(&file, || sysctl::read(&wanted.key))??,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Some(missing("the namespace is gone")));
                }
                Err(error) => return Err(error),
            },
        };
        Ok(match now {
            None => Some(missing("this kernel has no such setting")),
            Some(value) if sysctl::says(&value, &wanted.value) => None,
            Some(value) => Some(altered(format!("it says {value} instead of {}", wanted.value))),
        })
    }
}

impl Scene {
    fn see(socket: &mut Socket) -> Result<Self> {
        let links = socket.dump(&message::all_links()).doing(|| "listing links")?;
        let addresses = socket.dump(&message::all_addresses()).doing(|| "listing addresses")?;
        let (mut routes, mut rules) = (Vec::new(), Vec::new());
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            routes.extend(socket.dump(&message::all_routes(family)).doing(|| "listing routes")?);
            rules.extend(socket.dump(&message::all_rules(family)).doing(|| "listing rules")?);
        }
        Ok(Self {
            links: links.iter().filter_map(Link::of_message).map(|link| (link.name.clone(), link)).collect(),
            addresses: addresses.iter().filter_map(SeenAddress::of).collect(),
            routes: routes.iter().filter_map(SeenRoute::of).collect(),
            rules: rules.iter().filter_map(SeenRule::of).collect(),
        })
    }

    fn name(&self, index: Option<u32>) -> &str {
        self.links.values().find(|link| Some(link.index) == index).map_or("no link", |link| link.name.as_str())
    }
}

type Found = Option<(Deviation, String)>;

fn missing(detail: &str) -> (Deviation, String) {
    (Deviation::Missing, detail.to_owned())
}

fn altered(detail: String) -> (Deviation, String) {
    (Deviation::Altered, detail)
}

/// Where a resource has to be looked for.
fn namespaces(resource: &Resource) -> impl Iterator<Item = &Namespace> {
    const HOST: &Namespace = &Namespace::Host;
    let (first, second) = match resource {
        Resource::Loopback(it) => (Some(&it.namespace), None),
        Resource::Bridge(_) => (Some(HOST), None),
        Resource::Veth(it) => (Some(HOST), Some(&it.peer.namespace)),
        Resource::Moved(it) => (Some(HOST), Some(&it.namespace)),
        Resource::Address(it) => (Some(&it.namespace), None),
        Resource::Route(it) => (Some(&it.namespace), None),
        Resource::SourceRule(it) => (Some(&it.namespace), None),
        _ => (None, None),
    };
    first.into_iter().chain(second)
}

fn loopback(scene: Option<&Scene>) -> Found {
    match scene.and_then(|scene| scene.links.get("lo")) {
        None => Some(missing("the namespace is gone")),
        Some(link) if link.up => None,
        Some(_) => Some(altered("it is down".into())),
    }
}

fn bridge(wanted: &Bridge, host: Option<&Scene>, instance: Instance) -> Found {
    let Some(link) = host.and_then(|scene| scene.links.get(wanted.name.as_str())) else {
        return Some(missing("there is no such link"));
    };
    if wanted.owner == Owner::User {
        return (link.kind != "bridge").then(|| altered("it is not a bridge".into()));
    }
    if let Some(found) = not_ours(link, instance) {
        return Some(found);
    }
    let differences = [
        (link.kind != "bridge").then(|| "it is not a bridge".to_owned()),
        (!link.up).then(|| "it is down".to_owned()),
        (link.mtu != wanted.mtu).then(|| format!("its MTU is {} instead of {}", link.mtu, wanted.mtu)),
        (link.mac != Some(wanted.mac)).then(|| format!("its MAC address is not {}", wanted.mac)),
        (wanted.filter_bridged && link.filter_bridged == Some(false))
            .then(|| "its traffic does not pass the firewall".to_owned()),
    ];
    all_of(differences)
}

fn veth(wanted: &Veth, host: Option<&Scene>, inside: Option<&Scene>, instance: Instance) -> Found {
    let Some(link) = host.and_then(|scene| scene.links.get(wanted.name.as_str())) else {
        return Some(missing("there is no such link"));
    };
    if let Some(found) = not_ours(link, instance) {
        return Some(found);
    }
    let Some(peer) = inside.and_then(|scene| scene.links.get(wanted.peer.name.as_str())) else {
        return Some(altered(format!("its other end {} is not in the sandbox", wanted.peer.name)));
    };
    let bridge = host.and_then(|scene| scene.links.get(wanted.bridge.as_str())).map(|link| link.index);
    let differences = [
        (!are_paired(link, peer)).then(|| format!("{} is not its other end", peer.name)),
        (!link.up).then(|| "it is down".to_owned()),
        (!peer.up).then(|| format!("{} is down in the sandbox", peer.name)),
        (bridge.is_none() || link.master != bridge).then(|| format!("it is no port of {}", wanted.bridge)),
        (link.mtu != wanted.mtu).then(|| format!("its MTU is {} instead of {}", link.mtu, wanted.mtu)),
        (peer.mtu != wanted.mtu).then(|| format!("the MTU of {} is {} instead of {}", peer.name, peer.mtu, wanted.mtu)),
        (peer.mac != Some(wanted.peer.mac))
            .then(|| format!("the MAC address of {} is not {}", peer.name, wanted.peer.mac)),
        (link.hairpin.is_some_and(|hairpin| hairpin != wanted.hairpin)).then(|| "its hairpin mode is wrong".to_owned()),
    ];
    all_of(differences)
}

/// What only a plugin can mend is told, and not tried again and again.
fn moved(wanted: &Moved, host: Option<&Scene>, inside: Option<&Scene>, instance: Instance) -> Found {
    Some(match deviation(wanted, host.map(|it| &it.links), inside.map(|it| &it.links), instance)? {
        Missed::NotMoved => missing("it is in the host's namespace"),
        Missed::Lost => (Deviation::Obstructed, "it is gone, and only its plugin can make it again".to_owned()),
        Missed::Stranger => (Deviation::Obstructed, format!("another link is called {} there", wanted.name)),
        Missed::Altered(how) => altered(how),
    })
}

/// A stranger's link in the place of ours; ours that was cut off is as good as gone.
fn not_ours(link: &Link, instance: Instance) -> Found {
    match (link.is_live(instance), link.is_doomed(instance)) {
        (true, _) => None,
        (_, true) => Some(missing("it was cut off and waits to be deleted")),
        _ => Some((Deviation::Obstructed, "a link of this name is there that Trestle did not make".to_owned())),
    }
}

fn all_of(differences: impl IntoIterator<Item = Option<String>>) -> Found {
    let told: Vec<String> = differences.into_iter().flatten().collect();
    (!told.is_empty()).then(|| altered(told.join(", ")))
}

fn address(wanted: &Address, scene: Option<&Scene>) -> Found {
    let Some(scene) = scene else { return Some(missing("the namespace is gone")) };
    let Some(link) = scene.links.get(wanted.link.as_str()) else { return Some(missing("the link is gone")) };
    match scene.addresses.iter().any(|seen| seen.link == link.index && seen.address == wanted.address) {
        true => None,
        false => Some(missing("the link does not have it")),
    }
}

fn route(wanted: &Route, scene: Option<&Scene>) -> Found {
    let Some(scene) = scene else { return Some(missing("the namespace is gone")) };
    let link = scene.links.get(wanted.link.as_str()).map(|link| link.index);
    let there: Vec<&SeenRoute> = scene
        .routes
        .iter()
        .filter(|seen| seen.table == wanted.table && seen.destination == wanted.destination.trunc())
        .collect();
    let ours = there.iter().find(|seen| seen.protocol == PROTOCOL);
    match (ours, there.first()) {
        (Some(seen), _) if seen.gateway == wanted.gateway && seen.link == link => None,
        (Some(seen), _) => Some(altered(leads(seen, scene))),
        (None, Some(seen)) => Some((Deviation::Obstructed, format!("there is another, {}", leads(seen, scene)))),
        (None, None) => Some(missing("there is no such route")),
    }
}

fn leads(seen: &SeenRoute, scene: &Scene) -> String {
    let by = seen.gateway.map_or_else(|| "directly".to_owned(), |gateway| format!("by {gateway}"));
    format!("it leads {by} over {}", scene.name(seen.link))
}

fn rule(wanted: &SourceRule, scene: Option<&Scene>) -> Found {
    let Some(scene) = scene else { return Some(missing("the namespace is gone")) };
    let ours = scene
        .rules
        .iter()
        .find(|seen| seen.protocol == PROTOCOL && seen.from == wanted.from && seen.table == wanted.table);
    match ours {
        None => Some(missing("there is no such rule")),
        Some(seen) if seen.priority == wanted.priority => None,
        Some(seen) => Some(altered(format!("its priority is {} instead of {}", seen.priority, wanted.priority))),
    }
}
