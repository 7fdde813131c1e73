//! Who is called what: a picture of the controller's records, changed with every commit and asked with every question.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ipnet::IpNet;
use trestle_core::dns::{DnsName, Naming};
use trestle_core::endpoint::{Endpoint, EndpointState};
use trestle_core::id::{EndpointId, NetworkId, SandboxId};
use trestle_core::network::Network;
use trestle_core::port::ExposedPort;
use trestle_core::sandbox::{Sandbox, SandboxNetns, SandboxState};
use trestle_core::store::{Change, Key, Record};
use trestle_core::witness::Witness;

/// Names and addresses of everything that is attached. Cheap to clone; each clone is the same one.
#[derive(Clone, Default)]
pub struct Directory {
    picture: Arc<RwLock<Picture>>,
}

/// What is known.
#[derive(Default)]
pub struct Picture {
    networks: HashMap<NetworkId, Zone>,
    places: HashMap<EndpointId, Place>,
    sandboxes: HashMap<SandboxId, Member>,
}

/// A network, and who is called what on it.
#[derive(Default)]
pub(crate) struct Zone {
    pub(crate) name: String,
    pub(crate) internal: bool,
    pub(crate) has_names: bool,
    pub(crate) subnets: Vec<IpNet>,
    pub(crate) gateways: Vec<IpAddr>,
    called: HashMap<String, Vec<EndpointId>>,
    at: HashMap<IpAddr, EndpointId>,
}

/// An endpoint that is attached.
pub(crate) struct Place {
    pub(crate) network: NetworkId,
    pub(crate) sandbox: SandboxId,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) exposed: Vec<ExposedPort>,
    /// What its sandbox calls others.
    links: Vec<(DnsName, DnsName)>,
    /// What it is called without its sandbox's names, in lower case; the first is told for its address.
    own: Vec<String>,
    /// All that it is called, as the zone has it.
    names: Vec<String>,
    /// Smaller is asked first.
    rank: (std::cmp::Reverse<i64>, bool),
}

/// How a sandbox asks for names.
pub(crate) struct Served {
    /// Whether it speaks IPv4.
    pub(crate) v4: bool,
}

/// A sandbox.
#[derive(Default)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) naming: Option<Arc<Naming>>,
    is_host: bool,
    /// Its places, those first whose names go before others'.
    places: Vec<EndpointId>,
}

impl Directory {
    /// A look at it; nobody changes it meanwhile.
    pub fn look(&self) -> RwLockReadGuard<'_, Picture> {
        self.picture.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Picture> {
        self.picture.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for Directory {
    fn committed(&self, changes: &[Change]) {
        let mut picture = self.change();
        for change in changes {
            match change {
                Change::Put(Record::Network(network)) => picture.put_network(network),
                Change::Put(Record::Endpoint(endpoint)) => picture.put_endpoint(endpoint),
                Change::Put(Record::Sandbox(sandbox)) => picture.put_sandbox(sandbox),
                Change::Remove(Key::Network(id)) => drop(picture.networks.remove(id)),
                Change::Remove(Key::Endpoint(id)) => picture.remove_place(*id),
                Change::Remove(Key::Sandbox(id)) => drop(picture.sandboxes.remove(id)),
            }
        }
    }
}

impl Picture {
    fn put_network(&mut self, network: &Network) {
        let zone = self.networks.entry(network.id).or_default();
        zone.name = network.name.as_str().to_ascii_lowercase();
        zone.internal = network.internal;
        zone.has_names = network.has_names();
        zone.subnets = network.pools.iter().map(|pool| pool.subnet).collect();
        zone.gateways = network.pools.iter().filter_map(|pool| pool.gateway).collect();
    }

    fn put_endpoint(&mut self, endpoint: &Endpoint) {
        self.remove_place(endpoint.id);
        let attachment = match &endpoint.state {
            EndpointState::Attached(attachment) => attachment,
            EndpointState::Changing { to, .. } => to,
            _ => return,
        };
        let mut own = vec![endpoint.name.as_str().to_ascii_lowercase()];
        own.extend(endpoint.names.aliases.iter().map(|alias| alias.as_str().to_owned()));
        let place = Place {
            network: endpoint.network,
            sandbox: attachment.sandbox,
            addresses: endpoint.lease.iter().flat_map(|lease| lease.addresses()).collect(),
            exposed: endpoint.exposed.clone(),
            links: endpoint.names.links.iter().map(|link| (link.alias.clone(), link.to.clone())).collect(),
            own,
            names: Vec::new(),
            rank: (std::cmp::Reverse(endpoint.priority), !endpoint.primary),
        };
        self.sandboxes.entry(place.sandbox).or_default().places.push(endpoint.id);
        let sandbox = place.sandbox;
        self.places.insert(endpoint.id, place);
        self.call(endpoint.id);
        self.sort(sandbox);
    }

    /// Its names go before the others' whose priority is larger, then those of the primary network, then by name.
    fn sort(&mut self, sandbox: SandboxId) {
        let Self { networks, places, sandboxes } = self;
        let Some(member) = sandboxes.get_mut(&sandbox).filter(|member| member.places.len() > 1) else { return };
        let rank = |id: &EndpointId| {
            let place = places.get(id)?;
            Some((place.rank, networks.get(&place.network).map(|zone| zone.name.as_str()), *id))
        };
        member.places.sort_by(|one, other| rank(one).cmp(&rank(other)));
    }

    /// Enters the names of a place.
    fn call(&mut self, id: EndpointId) {
        let Some(place) = self.places.get_mut(&id) else { return };
        let mut names = place.own.clone();
        if let Some(member) = self.sandboxes.get(&place.sandbox) {
            names.extend(member.names(place.sandbox));
        }
        names.sort();
        names.dedup();
        let zone = self.networks.entry(place.network).or_default();
        for name in &names {
            zone.called.entry(name.clone()).or_default().push(id);
        }
        for address in &place.addresses {
            zone.at.insert(*address, id);
        }
        place.names = names;
    }

    /// Takes the names of a place out of its zone.
    fn hush(&mut self, id: EndpointId) {
        let Some(place) = self.places.get_mut(&id) else { return };
        let Some(zone) = self.networks.get_mut(&place.network) else { return };
        for name in std::mem::take(&mut place.names) {
            if let Some(called) = zone.called.get_mut(&name) {
                called.retain(|it| *it != id);
                if called.is_empty() {
                    zone.called.remove(&name);
                }
            }
        }
        for address in &place.addresses {
            if zone.at.get(address) == Some(&id) {
                zone.at.remove(address);
            }
        }
    }

    fn remove_place(&mut self, id: EndpointId) {
        self.hush(id);
        let Some(place) = self.places.remove(&id) else { return };
        if let Some(member) = self.sandboxes.get_mut(&place.sandbox) {
            member.places.retain(|it| *it != id);
        }
    }

    fn put_sandbox(&mut self, sandbox: &Sandbox) {
        if matches!(sandbox.state, SandboxState::Spare { .. }) {
            return;
        }
        let member = self.sandboxes.entry(sandbox.id).or_default();
        let name = sandbox.name.as_str().to_ascii_lowercase();
        if member.name == name && member.naming.as_deref() == sandbox.naming.as_deref() {
            return;
        }
        member.is_host = matches!(sandbox.netns, SandboxNetns::Host);
        member.name = name;
        member.naming = sandbox.naming.clone().map(Arc::from);
        for id in member.places.clone() {
            self.hush(id);
            self.call(id);
        }
    }

    pub(crate) fn member(&self, sandbox: SandboxId) -> Option<&Member> {
        self.sandboxes.get(&sandbox)
    }

    /// A sandbox's places with their networks, in the order in which their names count.
    pub(crate) fn places_of(&self, sandbox: SandboxId) -> impl Iterator<Item = (&Place, &Zone)> {
        let places = self.sandboxes.get(&sandbox).map(|member| member.places.as_slice()).unwrap_or_default();
        places.iter().filter_map(|id| {
            let place = self.places.get(id)?;
            Some((place, self.networks.get(&place.network)?))
        })
    }

    /// The same, of networks where there are names.
    fn named_places_of(&self, sandbox: SandboxId) -> impl Iterator<Item = (&Place, &Zone)> {
        self.places_of(sandbox).filter(|(_, zone)| zone.has_names)
    }

    /// Every sandbox that there is a record of.
    pub fn sandboxes(&self) -> impl Iterator<Item = SandboxId> {
        self.sandboxes.keys().copied()
    }

    /// Whether a sandbox may ask others: it is on a network that leads out.
    pub fn leads_out(&self, sandbox: SandboxId) -> bool {
        self.places_of(sandbox).any(|(_, zone)| !zone.internal)
    }

    /// What a sandbox is told about names.
    pub fn naming(&self, sandbox: SandboxId) -> Option<Arc<Naming>> {
        self.member(sandbox)?.naming.clone()
    }

    /// Whom a sandbox means by a name (in lower case, without a closing dot); `None` if nobody.
    ///
    /// The sandbox's own links go first, then its networks in their order, then names with a network's behind them.
    pub(crate) fn find(&self, sandbox: SandboxId, name: &str) -> Option<Vec<&Place>> {
        let called = |zone: &Zone, name: &str| self.called(zone, name);
        let linked = self.named_places_of(sandbox).find_map(|(place, zone)| {
            let (_, to) = place.links.iter().find(|(alias, _)| alias.as_str() == name)?;
            called(zone, to.as_str())
        });
        let bare = || self.named_places_of(sandbox).find_map(|(_, zone)| called(zone, name));
        let with_network = || {
            let mut splits = name.match_indices('.').map(|(at, _)| (&name[..at], &name[at + 1..]));
            splits.find_map(|(name, network)| {
                let mut zones = self.named_places_of(sandbox).filter(|(_, zone)| zone.name == network);
                zones.find_map(|(_, zone)| called(zone, name))
            })
        };
        linked.or_else(bare).or_else(with_network)
    }

    /// Whom everybody on a network calls so.
    pub(crate) fn called(&self, zone: &Zone, name: &str) -> Option<Vec<&Place>> {
        let ids = zone.called.get(name)?;
        Some(ids.iter().filter_map(|id| self.places.get(id)).collect())
    }

    /// The names by which a place's sandbox knows others on its network, and who they are.
    pub(crate) fn linked<'a>(
        &'a self,
        place: &'a Place,
        zone: &'a Zone,
    ) -> impl Iterator<Item = (&'a str, Vec<&'a Place>)> {
        place.links.iter().filter_map(|(alias, to)| Some((alias.as_str(), self.called(zone, to.as_str())?)))
    }

    /// Sandboxes that know others on a network by names of their own.
    pub(crate) fn linkers(&self, network: NetworkId) -> Vec<SandboxId> {
        let linking = self.places.values().filter(|place| place.network == network && !place.links.is_empty());
        linking.map(|place| place.sandbox).collect()
    }

    /// Whether a sandbox is in the host's own namespace.
    pub(crate) fn is_host(&self, sandbox: SandboxId) -> bool {
        self.member(sandbox).is_some_and(|member| member.is_host)
    }

    /// How a sandbox reaches our name server, if it has one: as its plan has it.
    pub(crate) fn server_of(&self, sandbox: SandboxId) -> Option<Served> {
        let member = self.member(sandbox).filter(|member| member.naming.is_some() && !member.is_host)?;
        let ids = member.places.iter().filter_map(|id| self.places.get(id));
        let named = ids.filter(|place| self.zone(place).is_some_and(|zone| zone.has_names));
        let addresses: Vec<&IpAddr> = named.flat_map(|place| &place.addresses).collect();
        (!addresses.is_empty()).then(|| Served { v4: addresses.iter().any(|address| address.is_ipv4()) })
    }

    /// The name that belongs to an address, as `name.network`, if the sandbox shares a network with it.
    pub fn name_of(&self, sandbox: SandboxId, address: IpAddr) -> Option<String> {
        self.named_places_of(sandbox).find_map(|(_, zone)| {
            let place = self.places.get(zone.at.get(&address)?)?;
            Some(place.full_name(zone))
        })
    }

    /// Whether an address lies in a network of the sandbox's: nobody else knows a name for it.
    pub fn is_near(&self, sandbox: SandboxId, address: IpAddr) -> bool {
        self.places_of(sandbox).any(|(_, zone)| zone.subnets.iter().any(|subnet| subnet.contains(&address)))
    }

    /// How many names there are, each counted once a network.
    pub fn names(&self) -> usize {
        self.networks.values().map(|zone| zone.called.len()).sum()
    }

    pub(crate) fn zone(&self, place: &Place) -> Option<&Zone> {
        self.networks.get(&place.network)
    }

    /// Every name on every network with its addresses, for a person.
    pub fn listing(&self) -> BTreeMap<String, Vec<IpAddr>> {
        let zones = self.networks.values().flat_map(|zone| zone.called.keys().map(move |name| (zone, name)));
        let told = zones.map(|(zone, name)| {
            let places = self.called(zone, name).unwrap_or_default();
            (format!("{name}.{}", zone.name), places.iter().flat_map(|place| place.addresses.clone()).collect())
        });
        told.collect()
    }
}

impl Place {
    /// The name that is told for its addresses.
    pub(crate) fn full_name(&self, zone: &Zone) -> String {
        match self.own.first() {
            Some(name) => format!("{name}.{}", zone.name),
            None => zone.name.clone(),
        }
    }
}

impl Member {
    /// What every place of the sandbox is called because of it: its name, the beginning of its id, its host name.
    fn names(&self, id: SandboxId) -> Vec<String> {
        let mut names = vec![self.name.clone(), id.short()];
        if let Some(naming) = &self.naming
            && let Some(hostname) = &naming.hostname
        {
            names.push(hostname.as_str().to_owned());
            names.extend(naming.domain.as_ref().map(|domain| format!("{hostname}.{domain}")));
        }
        names.retain(|name| !name.is_empty());
        names
    }
}
