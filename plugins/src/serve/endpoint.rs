//! Endpoints that are served: reserved, linked, published.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::json;
use tokio::sync::MutexGuard;
use trestle_core::driver::{InterfaceName as Wish, Joined, Ports, Slot};
use trestle_core::endpoint::Endpoint;
use trestle_core::id::{EndpointId, NetworkId};
use trestle_core::kernel::{PORT_TAKEN, is_port_taken};
use trestle_core::name::IfName;
use trestle_core::network::Network;
use trestle_core::port::{HostPorts, PortBinding, PortRange, PortRequest};
use trestle_core::resource::{Namespace, Resource, Route};
use trestle_core::{Error, Plan, Result};

use super::network::Served;
use super::{Server, read};
use crate::wire::network as wire;
use crate::wire::network::{CONNECTED, NEXT_HOP, StaticRoute};
use crate::wire::{Done, options};

/// An endpoint with what was made for it.
pub(super) struct Place {
    pub(super) endpoint: Endpoint,
    /// Its link, while it is joined.
    link: Option<Plan>,
    /// What is published, and by what.
    bindings: Vec<PortBinding>,
    ports: Plan,
}

/// Where ports are chosen from when a request leaves the choice (RFC 6335, dynamic ports); how many are tried.
const EPHEMERAL: (u16, u16) = (49_152, 65_535);
const MOST_TRIES: u32 = 64;

type Networks = std::collections::BTreeMap<NetworkId, Served>;

impl Server {
    pub(super) async fn create_endpoint(&self, asked: &wire::CreateEndpoint) -> Result<wire::EndpointCreated> {
        let driver = &self.driver()?.1;
        let mut networks = self.networks.lock().await;
        let served = find_network(&mut networks, &asked.network)?;
        let (mut endpoint, tells_mac) = read::endpoint(asked, &served.network, self.offer.entropy.as_ref())?;
        if served.places.contains_key(&endpoint.id) {
            return Err(Error::conflict(format!("endpoint {} is there already", endpoint.id.short())));
        }
        let chosen = driver.create_endpoint(&served.network, &endpoint).await?;
        let tells_lease = endpoint.lease.is_none().then_some(chosen.lease).flatten();
        endpoint.mac = chosen.mac.filter(|_| tells_mac).unwrap_or(endpoint.mac);
        endpoint.lease = endpoint.lease.or_else(|| tells_lease.clone());
        let told = tells_lease.unwrap_or_default();
        let interface = wire::Interface {
            address: told.v4.map(|net| net.to_string()).unwrap_or_default(),
            address_v6: told.v6.map(|net| net.to_string()).unwrap_or_default(),
            mac_address: if tells_mac { endpoint.mac.to_string() } else { String::new() },
        };
        let place = Place { endpoint, link: None, bindings: Vec::new(), ports: Plan::new() };
        served.places.insert(place.endpoint.id, place);
        let says_something = interface != wire::Interface::default();
        Ok(wire::EndpointCreated { interface: says_something.then_some(interface) })
    }

    /// One that is not there is gone already.
    pub(super) async fn delete_endpoint(&self, asked: &wire::Place) -> Result<Done> {
        let mut networks = self.networks.lock().await;
        let id: EndpointId = asked.endpoint.parse()?;
        let Ok(served) = find_network(&mut networks, &asked.network) else { return Ok(Done {}) };
        let Some(place) = served.places.get_mut(&id) else { return Ok(Done {}) };
        self.cut(place).await?;
        self.driver()?.1.delete_endpoint(&served.network, &place.endpoint).await?;
        served.places.remove(&id);
        Ok(Done {})
    }

    /// Makes the link in the host's namespace; whoever asks moves it.
    pub(super) async fn join(&self, asked: &wire::Join) -> Result<wire::Joined> {
        let driver = &self.driver()?.1;
        let mut networks = self.networks.lock().await;
        let (network, place) = find_place(&mut networks, &asked.network, &asked.endpoint)?;
        if place.link.is_some() {
            return Err(Error::conflict(format!("endpoint {} is in a sandbox already", place.endpoint.id.short())));
        }
        let slot = Slot { namespace: Namespace::Host, interface: moved_name(&place.endpoint.id)? };
        let joined = driver.join(network, &place.endpoint, &slot).await?;
        let (made, told): (Vec<Resource>, Vec<Resource>) =
            joined.plan.resources().iter().cloned().partition(|resource| !is_of_link(resource, &slot.interface));
        let made = Plan::from(made);
        if let Err(cause) = self.offer.kernel.apply(&made).await {
            self.undo(&made).await;
            return Err(cause);
        }
        place.link = Some(made);
        Ok(reply(driver.interface_name(network, &place.endpoint), &joined, &told))
    }

    /// One that is in no sandbox has left already.
    pub(super) async fn leave(&self, asked: &wire::Place) -> Result<Done> {
        let mut networks = self.networks.lock().await;
        let Ok((network, place)) = find_place(&mut networks, &asked.network, &asked.endpoint) else {
            return Ok(Done {});
        };
        self.cut(place).await?;
        self.driver()?.1.leave(network, &place.endpoint).await?;
        Ok(Done {})
    }

    pub(super) async fn publish(&self, asked: &wire::ProgramExternalConnectivity) -> Result<Done> {
        let driver = &self.driver()?.1;
        let mut networks = self.networks.lock().await;
        let used = bindings_of_others(&networks, &asked.endpoint);
        let (network, place) = find_place(&mut networks, &asked.network, &asked.endpoint)?;
        let wanted = read::ports(&asked.options)?;
        if driver.capability().ports != Ports::Maps || (wanted.is_empty() && place.bindings.is_empty()) {
            return Ok(Done {});
        }
        let default = driver.default_address(network);
        let may_choose = wanted.iter().any(|request| !is_settled(request));
        let mut turn = 0;
        loop {
            let bindings = bindings(&wanted, default, turn)?;
            let ports = driver.publish(network, &place.endpoint, &bindings).await?;
            let cause = match check_free(&bindings, &used) {
                Err(cause) => cause,
                Ok(()) => match self.change(&place.ports, &ports).await {
                    Ok(()) => {
                        (place.bindings, place.ports) = (bindings, ports);
                        return Ok(Done {});
                    }
                    Err(cause) => cause,
                },
            };
            if !(may_choose && is_port_taken(&cause) && turn < MOST_TRIES) {
                return Err(cause);
            }
            turn += 1;
        }
    }

    /// Gets from one plan to the other, or stays.
    async fn change(&self, from: &Plan, to: &Plan) -> Result<()> {
        let outcome = self.offer.kernel.replace(from, to).await;
        if outcome.is_err()
            && let Err(error) = self.offer.kernel.replace(to, from).await
        {
            tracing::error!(%error, "some of what failed is still there");
        }
        outcome
    }

    pub(super) async fn unpublish(&self, asked: &wire::Place) -> Result<Done> {
        let mut networks = self.networks.lock().await;
        let Ok((_, place)) = find_place(&mut networks, &asked.network, &asked.endpoint) else { return Ok(Done {}) };
        self.close(place).await.map(|()| Done {})
    }

    pub(super) async fn what_is_known(&self, asked: &wire::Place) -> Result<wire::OperInfo> {
        let mut networks: MutexGuard<'_, Networks> = self.networks.lock().await;
        let (_, place) = find_place(&mut networks, &asked.network, &asked.endpoint)?;
        let mut value = options::of_bindings(&place.endpoint, &place.bindings);
        value.insert(options::MAC_ADDRESS.to_owned(), json!(place.endpoint.mac));
        Ok(wire::OperInfo { value })
    }

    async fn close(&self, place: &mut Place) -> Result<()> {
        self.offer.kernel.remove(&place.ports).await?;
        (place.bindings, place.ports) = (Vec::new(), Plan::new());
        Ok(())
    }

    /// Doors first, then the link. What fails is there to be tried again.
    async fn cut(&self, place: &mut Place) -> Result<()> {
        self.close(place).await?;
        if let Some(link) = &place.link {
            self.remove(link).await?;
            place.link = None;
        }
        Ok(())
    }
}

fn find_network<'a>(networks: &'a mut Networks, id: &str) -> Result<&'a mut Served> {
    let id: NetworkId = id.parse()?;
    networks.get_mut(&id).ok_or_else(|| Error::not_found(format!("network {} not found", id.short())))
}

fn find_place<'a>(networks: &'a mut Networks, network: &str, id: &str) -> Result<(&'a Network, &'a mut Place)> {
    let Served { network, places } = find_network(networks, network)?;
    let id: EndpointId = id.parse()?;
    let place = places.get_mut(&id).ok_or_else(|| Error::not_found(format!("endpoint {} not found", id.short())))?;
    Ok((network, place))
}

/// The name of the end that is to be moved, as long as it is the host's.
fn moved_name(id: &EndpointId) -> Result<IfName> {
    IfName::try_from(format!("peer{}", &id.to_string()[..10]))
}

/// Whether it is the asker's to make, once the link is where it shall be.
fn is_of_link(resource: &Resource, interface: &IfName) -> bool {
    match resource {
        Resource::Address(it) => it.link == *interface,
        Resource::Route(it) => it.link == *interface,
        _ => false,
    }
}

fn reply(wish: Wish, joined: &Joined, told: &[Resource]) -> wire::Joined {
    let (dst_name, dst_prefix) = match wish {
        Wish::Numbered(prefix) => (String::new(), prefix),
        Wish::Exactly(name) => {
            (name.to_string(), name.as_str().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned())
        }
    };
    let named = |source: &IfName| wire::InterfaceName { src_name: source.to_string(), dst_name, dst_prefix };
    wire::Joined {
        interface_name: joined.interface.as_ref().map(named),
        gateway: joined.gateway_v4.map(|address| address.to_string()).unwrap_or_default(),
        gateway_v6: joined.gateway_v6.map(|address| address.to_string()).unwrap_or_default(),
        static_routes: told.iter().filter_map(route).collect(),
        disable_gateway_service: false,
    }
}

fn route(resource: &Resource) -> Option<StaticRoute> {
    let Resource::Route(Route { destination, gateway, .. }) = resource else { return None };
    Some(StaticRoute {
        destination: IpNet::to_string(destination),
        route_type: if gateway.is_some() { NEXT_HOP } else { CONNECTED },
        next_hop: gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
    })
}

/// What other endpoints publish.
fn bindings_of_others(networks: &Networks, endpoint: &str) -> Vec<PortBinding> {
    let places = networks.values().flat_map(|served| served.places.values());
    let others = places.filter(|place| place.endpoint.id.to_string() != endpoint);
    others.flat_map(|place| place.bindings.iter().cloned()).collect()
}

fn check_free(bindings: &[PortBinding], used: &[PortBinding]) -> Result<()> {
    let same_address = |one: &PortBinding, other: &PortBinding| {
        one.address.is_none() || other.address.is_none() || one.address == other.address
    };
    let clash = |one: &PortBinding, other: &PortBinding| {
        let meet = one.host.zip(other.host).is_some_and(|(one, other)| one.overlaps(&other));
        one.protocol == other.protocol && meet && same_address(one, other)
    };
    match bindings.iter().find(|binding| used.iter().any(|other| clash(binding, other))) {
        Some(taken) => Err(Error::conflict(format!("{PORT_TAKEN}{taken} is another endpoint's"))),
        None => Ok(()),
    }
}

/// Whether a request leaves nothing to choose.
fn is_settled(request: &PortRequest) -> bool {
    matches!(request.host, HostPorts::Within(range) if range.count() == 1)
}

/// What is published, each time others of the ports that may be chosen.
fn bindings(wanted: &[PortRequest], default: Option<IpAddr>, turn: u32) -> Result<Vec<PortBinding>> {
    let (mut bindings, mut chosen) = (Vec::new(), turn * wanted.len() as u32);
    for request in wanted {
        let range = match request.host {
            HostPorts::Within(range) => range,
            HostPorts::Ephemeral => PortRange::new(EPHEMERAL.0, EPHEMERAL.1)?,
        };
        let host = match is_settled(request) {
            true => range,
            false => {
                chosen += 1;
                let step = u16::try_from((chosen - 1) % range.count()).expect("less than a range has ports");
                PortRange::single(range.first() + step)?
            }
        };
        let address = request.address.or(default);
        bindings.push(PortBinding {
            protocol: request.protocol,
            address,
            host: Some(host),
            container: request.container,
        });
    }
    Ok(bindings)
}
