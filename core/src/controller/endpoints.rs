//! Reserving places on networks, and giving them up.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Inner;
use super::claims::{Claim, Held};
use super::request::EndpointRequest;
use super::state::Release;
use crate::dns::EndpointNames;
use crate::driver::Driver;
use crate::endpoint::{Endpoint, EndpointState, Lease, Lifetime};
use crate::error::{Doing, Error, ErrorKind, Result};
use crate::event::{Action, Subject};
use crate::failpoint;
use crate::id::{EndpointId, NetworkId};
use crate::ipam::{AddressRequest, Ipam, Purpose};
use crate::mac::MacAddress;
use crate::name::EndpointName;
use crate::network::{Network, NetworkState, Pool};
use crate::port::PortRequest;
use crate::store::{Change, Key, Record};

/// A place on a network that is promised but not stored yet, with the claims that keep others off.
pub(super) struct Reservation {
    pub(super) endpoint: Endpoint,
    pub(super) network: Arc<Network>,
    pub(super) driver: Arc<dyn Driver>,
    /// Of all the places that were promised together, the last one has them.
    pub(super) claims: Vec<Held>,
}

/// A place on a network that is asked for.
struct Place {
    request: EndpointRequest,
    network: Arc<Network>,
    endpoint: Endpoint,
}

impl Place {
    /// What nobody else may touch meanwhile.
    fn claims(&self) -> impl Iterator<Item = Claim> + use<> {
        let mac = self.request.mac.map(|mac| Claim::Mac(self.network.id, mac));
        let name = Claim::EndpointName(self.network.id, self.endpoint.name.clone());
        [Some(name), mac, Some(Claim::Endpoint(self.endpoint.id))].into_iter().flatten()
    }
}

impl Inner {
    /// Reserves a place that lives until it is deleted.
    pub(super) async fn create_endpoint(self: &Arc<Self>, request: EndpointRequest) -> Result<Endpoint> {
        let reservation = self.reserve(request, Lifetime::Explicit, None).await?;
        let endpoint = reservation.endpoint.clone();
        if let Err(cause) = self.commit(vec![Change::Put(Record::Endpoint(Box::new(endpoint.clone())))]).await {
            self.give_up(&reservation.network, &endpoint).await;
            return Err(cause);
        }
        let network = reservation.network.name.to_string();
        self.tell(Subject::Endpoint, Action::Create, endpoint.id, &endpoint.name, [("network", network)]);
        Ok(endpoint)
    }

    /// Deletes an endpoint; one that is attached only by force.
    pub(super) async fn delete_endpoint(self: &Arc<Self>, id: EndpointId, force: bool) -> Result<()> {
        let _endpoint = self.take(Claim::Endpoint(id)).await;
        let endpoint = self.known_endpoint(id)?;
        let network = self.state().network_of(&endpoint)?;
        match &endpoint.state {
            EndpointState::Reserved => {
                self.forget(&network, &endpoint).await.doing(|| format!("deleting endpoint {}", endpoint.name))?;
                self.tell(
                    Subject::Endpoint,
                    Action::Destroy,
                    id,
                    &endpoint.name,
                    [("network", network.name.to_string())],
                );
                Ok(())
            }
            EndpointState::Reserving => Err(Error::not_found(format!("endpoint {} not found", id.short()))),
            EndpointState::Detaching { .. } => self.owe_forgetting(&endpoint).await,
            _ if force => self.detach(&endpoint, true).await,
            _ => Err(Error::forbidden(format!(
                "endpoint {} is attached to a sandbox; disconnect it first, or delete it by force",
                endpoint.name
            ))),
        }
    }

    /// Calls an endpoint, and those that it links to, by these names from now on. The kernel has no part in it.
    pub(super) async fn call(self: &Arc<Self>, id: EndpointId, names: EndpointNames) -> Result<Endpoint> {
        let _endpoint = self.take(Claim::Endpoint(id)).await;
        let endpoint = Endpoint { names, ..Endpoint::clone(&*self.known_endpoint(id)?) };
        self.commit(vec![Change::Put(Record::Endpoint(Box::new(endpoint.clone())))]).await?;
        Ok(endpoint)
    }

    /// Promises name, addresses and MAC. Nothing is stored yet; [`Inner::give_up`] takes it back.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        request: EndpointRequest,
        lifetime: Lifetime,
        default_name: Option<&str>,
    ) -> Result<Reservation> {
        let mut places = self.reserve_all(vec![request], lifetime, default_name, None).await?;
        places.pop().ok_or_else(|| Error::internal("a place was asked for, and none was promised"))
    }

    /// Promises several places, or none. Their claims are taken in order before anything else, so that two who want
    /// the same names never wait for each other. The first may have its id and MAC address already.
    pub(super) async fn reserve_all(
        self: &Arc<Self>,
        requests: Vec<EndpointRequest>,
        lifetime: Lifetime,
        default_name: Option<&str>,
        ready: Option<(EndpointId, MacAddress)>,
    ) -> Result<Vec<Reservation>> {
        let places = requests.into_iter().map(|it| self.place(it, lifetime, default_name));
        let mut places: Vec<Place> = places.collect::<Result<_>>()?;
        if let (Some(first), Some((id, mac))) = (places.first_mut(), ready) {
            (first.endpoint.id, first.endpoint.mac) = (id, mac);
        }
        let mut claims: Vec<Claim> = places.iter().flat_map(Place::claims).collect();
        claims.sort();
        if let Some(twins) = claims.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::conflict(match &twins[0] {
                Claim::Mac(_, mac) => format!("two endpoints of one network want the MAC address {mac}"),
                Claim::EndpointName(_, name) => format!("two endpoints of one network want the name {name}"),
                other => format!("{other:?} is wanted twice"),
            }));
        }
        let mut held = Vec::with_capacity(claims.len());
        for claim in claims {
            held.push(self.take(claim).await);
        }
        let mut promised: Vec<Reservation> = Vec::with_capacity(places.len());
        for place in places {
            match self.promise(place).await {
                Ok(place) => promised.push(place),
                Err(cause) => {
                    for place in &promised {
                        self.give_up(&place.network, &place.endpoint).await;
                    }
                    return Err(cause);
                }
            }
        }
        if let Some(last) = promised.last_mut() {
            last.claims = held;
        }
        Ok(promised)
    }

    /// What a request comes to before anything is promised.
    fn place(&self, request: EndpointRequest, lifetime: Lifetime, default_name: Option<&str>) -> Result<Place> {
        request.ports.iter().try_for_each(PortRequest::check)?;
        let network = self.state().find_network(&request.network)?;
        self.check_together(&network, &request.ports)?;
        let entropy = self.surroundings.entropy.as_ref();
        let id = EndpointId::random(entropy);
        let name = match (&request.name, default_name) {
            (Some(name), _) => name.clone(),
            (None, Some(name)) => EndpointName::try_from(name)?,
            (None, None) => EndpointName::try_from(format!("endpoint-{}", id.short()))?,
        };
        let endpoint = Endpoint {
            id,
            network: network.id,
            name,
            lifetime,
            lease: None,
            mac: request.mac.unwrap_or_else(|| MacAddress::random(entropy)),
            exposed: request.exposed.clone(),
            wanted: request.ports.clone(),
            options: request.options.clone(),
            priority: request.priority,
            primary: request.primary,
            interface: request.interface.clone(),
            names: request.names.clone(),
            state: EndpointState::Reserved,
        };
        Ok(Place { request, network, endpoint })
    }

    /// Leases addresses and asks the driver, for who has the claims in hand. What a detached endpoint still holds is
    /// waited for, not refused for.
    async fn promise(self: &Arc<Self>, place: Place) -> Result<Reservation> {
        let Place { request, network, mut endpoint } = place;
        let is_in_the_way = |other: &Endpoint| {
            other.name == endpoint.name
                || Some(other.mac) == request.mac
                || holds(other, request.v4.map(IpAddr::from))
                || holds(other, request.v6.map(IpAddr::from))
        };
        self.hurry(self.leaving(network.id, is_in_the_way)).await;
        self.check_new_endpoint(&network, &endpoint)?;
        let driver = self.surroundings.registry.driver(&network.driver)?;
        let ipam = self.surroundings.registry.ipam(&network.ipam)?;
        endpoint.lease = match self.lease(ipam.as_ref(), &network, &endpoint, &request).await {
            Err(cause) if cause.kind() == ErrorKind::Exhausted => {
                let leaving = self.leaving(network.id, |_| true);
                if leaving.is_empty() {
                    return Err(cause);
                }
                self.hurry(leaving).await;
                self.lease(ipam.as_ref(), &network, &endpoint, &request).await?
            }
            other => other.map_err(|cause| self.name_the_holder(cause, &network, &request))?,
        };
        failpoint!("controller.addresses-leased");
        let is_outside = driver.capability().external;
        if is_outside && let Err(cause) = self.put_reserving(&endpoint).await {
            self.cancel(leases(&network, &endpoint)).await;
            return Err(cause);
        }
        let chosen = driver.create_endpoint(&network, &endpoint).await;
        failpoint!("controller.driver-created-endpoint");
        match chosen {
            Ok(chosen) => {
                endpoint.mac = chosen.mac.unwrap_or(endpoint.mac);
                endpoint.lease = endpoint.lease.or(chosen.lease);
                Ok(Reservation { endpoint, network, driver, claims: Vec::new() })
            }
            Err(cause) => {
                match is_outside {
                    true => self.give_up(&network, &endpoint).await,
                    false => self.cancel(leases(&network, &endpoint)).await,
                }
                Err(cause)
            }
        }
    }

    /// Stores a place before somebody outside is asked for it.
    async fn put_reserving(&self, endpoint: &Endpoint) -> Result<()> {
        let reserving = Endpoint { state: EndpointState::Reserving, ..endpoint.clone() };
        self.commit(vec![Change::Put(Record::Endpoint(Box::new(reserving)))]).await
    }

    /// Takes back what [`Inner::reserve`] promised: the driver is told, the addresses are free. What is on record, because
    /// the driver is outside, and can't be taken back now, the reaper takes back.
    pub(super) async fn give_up(&self, network: &Network, endpoint: &Endpoint) {
        if self.known_endpoint(endpoint.id).is_ok() {
            if let Err(error) = self.forget(network, endpoint).await {
                tracing::warn!(%error, endpoint = %endpoint.name, "the driver keeps an endpoint that never came to be");
                self.owing.notify_one();
            }
            return;
        }
        if let Err(error) = self.tell_driver(network, endpoint).await {
            tracing::warn!(%error, endpoint = %endpoint.name, "the driver keeps an endpoint that never came to be");
        }
        self.cancel(leases(network, endpoint)).await;
    }

    /// Takes an endpoint out of the world, the record before its addresses: no record may claim an address that
    /// somebody else can get.
    pub(super) async fn forget(&self, network: &Network, endpoint: &Endpoint) -> Result<()> {
        self.tell_driver(network, endpoint).await?;
        self.commit(vec![Change::Remove(Key::Endpoint(endpoint.id))]).await?;
        self.release(leases(network, endpoint)).await;
        Ok(())
    }

    async fn tell_driver(&self, network: &Network, endpoint: &Endpoint) -> Result<()> {
        let driver = self.surroundings.registry.driver(&network.driver)?;
        driver.delete_endpoint(network, endpoint).await?;
        failpoint!("controller.driver-deleted-endpoint");
        Ok(())
    }

    /// The endpoint as it is now.
    pub(super) fn known_endpoint(&self, id: EndpointId) -> Result<Arc<Endpoint>> {
        let known = self.state().endpoints.get(&id).cloned();
        known.ok_or_else(|| Error::not_found(format!("endpoint {} not found", id.short())))
    }

    /// Endpoints on their way out for good, of those that matter.
    pub(super) fn leaving(&self, network: NetworkId, matters: impl Fn(&Endpoint) -> bool) -> Vec<EndpointId> {
        let state = self.state();
        let leaving = state.endpoints_on(network).filter(|it| it.state.is_leaving_for_good() && matters(it));
        leaving.map(|endpoint| endpoint.id).collect()
    }

    fn check_new_endpoint(&self, network: &Network, endpoint: &Endpoint) -> Result<()> {
        let state = self.state();
        let current = state.networks.get(&network.id);
        let ready = current.is_some_and(|current| matches!(current.state, NetworkState::Ready { .. }));
        if !ready || state.claims.contains_key(&Claim::Network(network.id)) {
            return Err(Error::conflict(format!(
                "network {} is being created or removed; try again when it is done",
                network.name
            )));
        }
        for other in state.endpoints_on(network.id) {
            if other.name == endpoint.name {
                return Err(Error::conflict(format!(
                    "endpoint with name {} already exists in network {}",
                    other.name, network.name
                )));
            }
            if other.mac == endpoint.mac {
                return Err(Error::conflict(format!(
                    "MAC address {} is endpoint {}'s on network {}",
                    other.mac, other.name, network.name
                )));
            }
        }
        Ok(())
    }

    /// Leases an address of each family that the network has. On an error nothing stays on lease.
    async fn lease(
        &self,
        ipam: &dyn Ipam,
        network: &Network,
        endpoint: &Endpoint,
        request: &EndpointRequest,
    ) -> Result<Option<Lease>> {
        let purpose = Purpose::Endpoint { mac: endpoint.mac, name: endpoint.name.to_string() };
        let mut lease = Lease::default();
        let mut taken: Vec<(&str, IpAddr)> = Vec::new();
        for (noun, wanted, is_v6) in
            [("IPv4", request.v4.map(IpAddr::from), false), ("IPv6", request.v6.map(IpAddr::from), true)]
        {
            let pools = network.pools.iter().filter(|pool| matches!(pool.subnet, IpNet::V6(_)) == is_v6);
            let answer = match (pool_for(pools, wanted), wanted) {
                (None, None) => continue,
                (None, Some(address)) => Err(Error::invalid(format!(
                    "no {noun} subnet of network {} contains the address {address}",
                    network.name
                ))),
                (Some(pool), _) => {
                    let ask = AddressRequest { subnet: Some(pool.subnet), wanted, purpose: purpose.clone() };
                    ipam.request_address(&pool.id, &ask).await.map(|address| (pool, address))
                }
            };
            match answer {
                Ok((pool, address)) => {
                    taken.push((&pool.id, address.addr()));
                    match address {
                        IpNet::V4(address) => lease.v4 = Some(address),
                        IpNet::V6(address) => lease.v6 = Some(address),
                    }
                }
                Err(cause) => {
                    let taken = taken.into_iter().map(|(pool, address)| Release {
                        ipam: network.ipam.clone(),
                        pool: pool.to_owned(),
                        address: Some(address),
                        unused: true,
                    });
                    self.release(taken.collect()).await;
                    return Err(cause).doing(|| format!("choosing an {noun} address on network {}", network.name));
                }
            }
        }
        Ok((lease != Lease::default()).then_some(lease))
    }

    /// Tells who has an address that was asked for.
    fn name_the_holder(&self, cause: Error, network: &Network, request: &EndpointRequest) -> Error {
        if cause.kind() != ErrorKind::Conflict {
            return cause;
        }
        let state = self.state();
        let wanted = [request.v4.map(IpAddr::from), request.v6.map(IpAddr::from)];
        let holder = wanted.into_iter().flatten().find_map(|address| {
            let holder = state.endpoints_on(network.id).find(|endpoint| holds(endpoint, Some(address)))?;
            Some((address, holder.name.clone()))
        });
        match holder {
            Some((address, name)) => {
                Error::conflict(format!("address {address} on network {} is endpoint {name}'s", network.name))
            }
            None => cause,
        }
    }
}

fn holds(endpoint: &Endpoint, address: Option<IpAddr>) -> bool {
    let Some(lease) = &endpoint.lease else { return false };
    let held = [lease.v4.map(|it| it.addr().into()), lease.v6.map(|it| it.addr().into())];
    address.is_some() && held.contains(&address)
}

/// The pool that an address is in, or the first one where none is asked for.
fn pool_for<'a>(mut pools: impl Iterator<Item = &'a Pool>, wanted: Option<IpAddr>) -> Option<&'a Pool> {
    match wanted {
        Some(address) => pools.find(|pool| pool.subnet.contains(&address)),
        None => pools.next(),
    }
}

/// What an endpoint has on lease.
fn leases(network: &Network, endpoint: &Endpoint) -> Vec<Release> {
    let lease = endpoint.lease.clone().unwrap_or_default();
    let addresses = [lease.v4.map(|it| IpAddr::from(it.addr())), lease.v6.map(|it| IpAddr::from(it.addr()))];
    let of = |address| pool_for(network.pools.iter(), Some(address)).map(|pool| (pool.id.clone(), address));
    let held = addresses.into_iter().flatten().filter_map(of);
    let release = |(pool, address)| Release { ipam: network.ipam.clone(), pool, address: Some(address), unused: false };
    held.map(release).collect()
}
