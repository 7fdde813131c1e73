//! Creating and removing networks.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::Inner;
use super::claims::Claim;
use super::request::{NetworkRequest, PoolWish};
use super::state::Release;
use crate::driver::{Addresses, ByFamily, Driver};
use crate::error::{Doing, Error, ErrorKind, Result};
use crate::event::{Action, Subject};
use crate::facts::Facts;
use crate::failpoint;
use crate::id::NetworkId;
use crate::ipam::{AddressRequest, Family, Ipam, PoolRequest, Purpose};
use crate::network::{Network, NetworkState, Pool};
use crate::plan::Plan;
use crate::resource::{Identity, Resource};
use crate::store::{Change, Key, Record};

impl Inner {
    /// Makes a network, or nothing at all.
    pub(super) async fn create_network(self: &Arc<Self>, request: NetworkRequest) -> Result<Network> {
        let id = NetworkId::random(self.surroundings.entropy.as_ref());
        let _name = self.take(Claim::NetworkName(request.name.clone())).await;
        // Until it is ready, nobody else goes on with it or removes it.
        let _network = self.take(Claim::Network(id)).await;
        let driver = self.surroundings.registry.find_driver(&request.driver).await?;
        self.check_new_network(&request, driver.as_ref())?;
        let facts = self.surroundings.kernel.facts().await?;
        let mut network = self.lease_network(id, &request, driver.as_ref(), &facts).await?;
        if let Err(cause) = self.build(&mut network, driver.as_ref(), &facts).await {
            self.dismantle(network)
                .await
                .unwrap_or_else(|error| tracing::error!(%error, "a half-made network remains"));
            return Err(cause);
        }
        self.tell(Subject::Network, Action::Create, network.id, &network.name, [("driver", network.driver.clone())]);
        Ok(network)
    }

    /// What `create_network` would make; nothing is kept.
    pub(super) async fn plan_network(self: &Arc<Self>, request: NetworkRequest) -> Result<(Network, Plan)> {
        let _name = self.take(Claim::NetworkName(request.name.clone())).await;
        let driver = self.surroundings.registry.find_driver(&request.driver).await?;
        self.check_new_network(&request, driver.as_ref())?;
        let facts = self.surroundings.kernel.facts().await?;
        if driver.capability().external {
            return Err(Error::unsupported(format!(
                "driver {} acts when it is asked, so it can't tell a plan beforehand",
                request.driver
            )));
        }
        let id = NetworkId::random(self.surroundings.entropy.as_ref());
        let network = self.lease_network(id, &request, driver.as_ref(), &facts).await?;
        let plan = match self.check_only_default(&network, driver.as_ref()) {
            Ok(()) => driver.create_network(&network, &facts).await,
            Err(cause) => Err(cause),
        };
        self.cancel(leases(&network)).await;
        Ok((network, plan?))
    }

    /// Removes a network that no endpoint is on.
    pub(super) async fn delete_network(self: &Arc<Self>, id: NetworkId) -> Result<()> {
        let _network = self.take(Claim::Network(id)).await;
        self.hurry(self.leaving(id, |_| true)).await;
        let network = {
            let state = self.state();
            let network =
                state.networks.get(&id).ok_or_else(|| Error::not_found(format!("network {} not found", id.short())))?;
            let mut users: Vec<String> = state.endpoints_on(id).map(|endpoint| endpoint.name.to_string()).collect();
            users.extend(state.claims.keys().filter_map(|claim| match claim {
                Claim::EndpointName(on, name) if *on == id => Some(name.to_string()),
                _ => None,
            }));
            if !users.is_empty() {
                users.dedup();
                return Err(Error::forbidden(format!(
                    "network {} has active endpoints: {}; disconnect or delete them first",
                    network.name,
                    users.join(", ")
                )));
            }
            Network::clone(network)
        };
        if self.surroundings.registry.driver(&network.driver).is_ok_and(|driver| driver.is_default(&network)) {
            return Err(Error::forbidden(format!(
                "network {} is the default network, which containers join that name none; it can't be deleted",
                network.name
            )));
        }
        self.remove_spares(Some(id)).await?;
        let (id, name) = (network.id, network.name.clone());
        self.dismantle(network).await.doing(|| format!("removing network {name}"))?;
        self.tell(Subject::Network, Action::Destroy, id, name, []);
        Ok(())
    }

    fn check_new_network(&self, request: &NetworkRequest, driver: &dyn Driver) -> Result<()> {
        let state = self.state();
        if let Some(twin) = state.networks.values().find(|network| network.name == request.name) {
            if matches!(twin.state, NetworkState::Deleting { .. }) {
                return Err(Error::conflict(format!(
                    "network {} ({}) is being removed, and its driver {} is not done with it; try again when it is",
                    twin.name,
                    twin.id.short(),
                    twin.driver
                )));
            }
            return Err(Error::conflict(format!(
                "network with name {} already exists ({})",
                twin.name,
                twin.id.short()
            )));
        }
        let capability = driver.capability();
        let of_kind = |network: &&Arc<Network>| network.driver == request.driver;
        if capability.single
            && let Some(first) = state.networks.values().find(of_kind)
        {
            return Err(Error::forbidden(format!(
                "only one network of driver {} can exist, and {} is it",
                request.driver, first.name
            )));
        }
        let most = match capability.addresses {
            Addresses::Pools(most) => most,
            Addresses::None if request.pools.is_empty() => return Ok(()),
            Addresses::None => {
                return Err(Error::invalid(format!("networks of driver {} have no subnets", request.driver)));
            }
        };
        for (family, noun) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
            let asked = request.pools.iter().filter(|wish| family_of(&wish.subnet) == family).count();
            if asked > most {
                return Err(Error::invalid(format!(
                    "driver {} takes at most {most} {noun} subnet{} a network, and {asked} are asked for",
                    request.driver,
                    if most == 1 { "" } else { "s" }
                )));
            }
        }
        let families = families(request);
        if families.is_empty() {
            return Err(Error::invalid("a network needs IPv4 or IPv6"));
        }
        match request.pools.iter().find(|wish| !families.contains(&family_of(&wish.subnet))) {
            Some(wish) => {
                Err(Error::invalid(format!("the subnet {} is of a family that is switched off", wish.subnet)))
            }
            None => Ok(()),
        }
    }

    /// The network with its pools on lease, and nothing else done. On an error nothing stays on lease.
    async fn lease_network(
        &self,
        id: NetworkId,
        request: &NetworkRequest,
        driver: &dyn Driver,
        facts: &Facts,
    ) -> Result<Network> {
        let ipam = self.surroundings.registry.find_ipam(&request.ipam).await?;
        let capability = driver.capability();
        let mut network = Network {
            id,
            name: request.name.clone(),
            driver: request.driver.clone(),
            ipam: request.ipam.clone(),
            scope: capability.scope,
            pools: Vec::new(),
            internal: request.internal,
            options: request.options.clone(),
            labels: request.labels.clone(),
            created: self.surroundings.clock.now(),
            state: NetworkState::Creating { plan: Plan::new() },
        };
        if capability.addresses == Addresses::None {
            return Ok(network);
        }
        let not_needed = match capability.external {
            true => {
                let families = families(request);
                let has = |family| families.contains(&family);
                let asked = ByFamily { v4: has(Family::V4), v6: has(Family::V6) };
                driver.gateways_not_needed(&network, asked).await?
            }
            false => ByFamily::default(),
        };
        let wishes = request.pools.iter().map(|wish| (family_of(&wish.subnet), Some(wish)));
        let defaults = families(request)
            .into_iter()
            .filter(|family| !request.pools.iter().any(|wish| family_of(&wish.subnet) == *family))
            .map(|family| (family, None));
        for (family, wish) in wishes.chain(defaults) {
            let ask = PoolRequest {
                family,
                subnet: wish.map(|wish| wish.subnet),
                range: wish.and_then(|wish| wish.range),
                avoid: if wish.is_none() { facts.taken() } else { Vec::new() },
                options: request.ipam_options.clone(),
            };
            let needs_gateway = match family {
                Family::V4 => !not_needed.v4,
                Family::V6 => !not_needed.v6,
            };
            if let Err(cause) = lease_pool(ipam.as_ref(), &ask, wish, needs_gateway, &mut network.pools).await {
                self.cancel(leases(&network)).await;
                return Err(self.name_the_neighbour(cause, wish));
            }
        }
        Ok(network)
    }

    /// Tells which network has the pool that a wish runs into.
    fn name_the_neighbour(&self, cause: Error, wish: Option<&PoolWish>) -> Error {
        let Some(wish) = wish.filter(|_| cause.kind() == ErrorKind::Conflict) else { return cause };
        let overlaps = |pool: &Pool| pool.subnet.contains(&wish.subnet) || wish.subnet.contains(&pool.subnet);
        let state = self.state();
        match state.networks.values().find(|network| network.pools.iter().any(overlaps)) {
            Some(network) => cause.doing(format!("network {} is in the way", network.name)),
            None => cause,
        }
    }

    async fn build(self: &Arc<Self>, network: &mut Network, driver: &dyn Driver, facts: &Facts) -> Result<()> {
        failpoint!("controller.pools-leased");
        if driver.capability().external {
            self.put_network(network, NetworkState::Creating { plan: Plan::new() }).await?;
        }
        let plan = driver.create_network(network, facts).await?;
        failpoint!("controller.driver-created-network");
        let _shared = self.take(Claim::Shared).await;
        let _changing = self.changing.read().await;
        self.check_nobody_else_has(&plan)?;
        self.check_only_default(network, driver)?;
        self.put_network(network, NetworkState::Creating { plan: plan.clone() }).await?;
        self.surroundings.kernel.apply(&plan).await?;
        self.put_network(network, NetworkState::Ready { plan }).await
    }

    /// Two networks can't lay hands on one link: each would undo what the other does.
    fn check_nobody_else_has(&self, plan: &Plan) -> Result<()> {
        let own: BTreeSet<Identity<'_>> =
            plan.resources().iter().filter(|it| !it.is_shared()).map(Resource::identity).collect();
        let state = self.state();
        let has_one = |network: &&Arc<Network>| {
            network.state.plan().resources().iter().any(|resource| own.contains(&resource.identity()))
        };
        match state.networks.values().find(has_one) {
            Some(other) => Err(Error::conflict(format!("network {} has that bridge already", other.name))),
            None => Ok(()),
        }
    }

    /// Containers that name no network can't join two.
    fn check_only_default(&self, network: &Network, driver: &dyn Driver) -> Result<()> {
        if !driver.is_default(network) {
            return Ok(());
        }
        let registry = &self.surroundings.registry;
        let is_default = |other: &&Arc<Network>| {
            other.id != network.id && registry.driver(&other.driver).is_ok_and(|driver| driver.is_default(other))
        };
        match self.state().networks.values().find(is_default) {
            Some(other) => Err(Error::conflict(format!("network {} is the default network already", other.name))),
            None => Ok(()),
        }
    }

    pub(super) async fn put_network(&self, network: &mut Network, state: NetworkState) -> Result<()> {
        network.state = state;
        self.commit(vec![Change::Put(Record::Network(network.clone()))]).await
    }

    /// Goes on removing networks whose removal was begun and that nobody has in hand. Goes on over errors.
    pub(super) async fn finish_networks(self: &Arc<Self>) -> Result<()> {
        let is_going = |it: &&Arc<Network>| matches!(it.state, NetworkState::Deleting { .. });
        let going: Vec<NetworkId> = self.state().networks.values().filter(is_going).map(|it| it.id).collect();
        let mut errors = Vec::new();
        for id in going {
            let Some(claim) = self.try_take(Claim::Network(id)) else { continue };
            let Some(network) = self.state().networks.get(&id).cloned() else { continue };
            if self.is_outside(&network.driver) {
                let inner = Arc::clone(self);
                let going = async move { inner.dismantle(Network::clone(&network)).await };
                self.pay_aside(Key::Network(id), claim, going);
                continue;
            }
            errors.extend(self.dismantle(Network::clone(&network)).await.err());
        }
        Error::several(errors).map_or(Ok(()), Err)
    }

    /// Waits until those who remove networks have done what they can, and tries it too.
    pub(super) async fn hurry_networks(self: &Arc<Self>) {
        let is_going = |it: &&Arc<Network>| matches!(it.state, NetworkState::Deleting { .. });
        let going: Vec<NetworkId> = self.state().networks.values().filter(is_going).map(|it| it.id).collect();
        for id in going {
            let _network = self.take(Claim::Network(id)).await;
            let Some(network) = self.state().networks.get(&id).cloned() else { continue };
            if let Err(error) = self.dismantle(Network::clone(&network)).await {
                tracing::warn!(%error, network = %network.name, "a network is not removed yet");
            }
        }
    }

    /// Removes whatever there is of a network; goes on over errors. What fails is stored as `Deleting`.
    pub(super) async fn dismantle(self: &Arc<Self>, mut network: Network) -> Result<()> {
        let mut errors = Vec::new();
        let plan = network.state.plan().clone();
        let driver = self.surroundings.registry.driver(&network.driver)?;
        if self.state().networks.contains_key(&network.id) {
            errors.extend(self.put_network(&mut network, NetworkState::Deleting { plan: plan.clone() }).await.err());
        }
        {
            let _shared = self.take(Claim::Shared).await;
            let _changing = self.changing.read().await;
            let others: Vec<Arc<Network>> =
                self.state().networks.values().filter(|it| it.id != network.id).cloned().collect();
            let own = plan.without(others.iter().map(|other| other.state.plan()));
            errors.extend(self.surroundings.kernel.remove(&own).await.err());
            errors.extend(self.surroundings.kernel.reap(&[own]).await.err());
        }
        errors.extend(driver.delete_network(&network).await.err());
        failpoint!("controller.driver-deleted-network");
        // The record before the pools: no record may claim a pool that somebody else can get.
        if errors.is_empty() && self.state().networks.contains_key(&network.id) {
            errors.extend(self.commit(vec![Change::Remove(Key::Network(network.id))]).await.err());
        }
        match errors.is_empty() {
            true => self.release(leases(&network)).await,
            false => self.owing.notify_one(),
        }
        Error::several(errors).map_or(Ok(()), Err)
    }
}

fn family_of(subnet: &IpNet) -> Family {
    match subnet {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}

/// IPv6 comes with its subnet or by being asked for; IPv4 unless switched off.
fn families(request: &NetworkRequest) -> Vec<Family> {
    let ipv6 = request.ipv6 || request.pools.iter().any(|wish| family_of(&wish.subnet) == Family::V6);
    [(request.ipv4, Family::V4), (ipv6, Family::V6)]
        .into_iter()
        .filter_map(|(on, family)| on.then_some(family))
        .collect()
}

/// Leases a pool with its gateway and auxiliary addresses; what is on lease stands in `pools` at every moment.
async fn lease_pool(
    ipam: &dyn Ipam,
    ask: &PoolRequest,
    wish: Option<&PoolWish>,
    needs_gateway: bool,
    pools: &mut Vec<Pool>,
) -> Result<()> {
    let lease = ipam.request_pool(ask).await?;
    let (id, subnet) = (lease.id, lease.subnet);
    if subnet.prefix_len() == 0 {
        // So an address manager says that its networks have no addresses.
        return ipam.release_pool(&id).await;
    }
    let wanted = wish.and_then(|wish| wish.gateway);
    pools.push(Pool {
        id: id.clone(),
        subnet,
        range: ask.range,
        gateway: lease.gateway,
        auxiliary: Default::default(),
    });
    let pool = pools.last_mut().expect("it was just added");
    if (pool.gateway.is_none() && needs_gateway) || wanted.is_some() {
        let gateway = AddressRequest { subnet: Some(subnet), wanted, purpose: Purpose::Gateway };
        let address =
            ipam.request_address(&id, &gateway).await.doing(|| format!("choosing the gateway of {subnet}"))?;
        pool.gateway = Some(address.addr());
    }
    for (name, address) in wish.iter().flat_map(|wish| &wish.auxiliary) {
        let auxiliary = AddressRequest { subnet: Some(subnet), wanted: Some(*address), purpose: Purpose::Auxiliary };
        ipam.request_address(&id, &auxiliary).await.doing(|| format!("keeping the auxiliary address {name}"))?;
        pool.auxiliary.insert(name.clone(), *address);
    }
    Ok(())
}

/// What a network has on lease for itself, each pool after its addresses.
fn leases(network: &Network) -> Vec<Release> {
    let of_pool = |pool: &Pool| {
        let own = pool.gateway.into_iter().chain(pool.auxiliary.values().copied()).map(Some);
        let release = |address| Release { ipam: network.ipam.clone(), pool: pool.id.clone(), address, unused: false };
        own.chain([None]).map(release).collect::<Vec<_>>()
    };
    network.pools.iter().flat_map(of_pool).collect()
}
