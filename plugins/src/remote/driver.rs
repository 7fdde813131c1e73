//! A plugin as a network driver.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::IpNet;
use trestle_core::driver::{Addresses, ByFamily, Capability, Chosen, Driver, Joined, OptionDoc, Ports, Slot};
use trestle_core::endpoint::{Endpoint, Lease};
use trestle_core::facts::Facts;
use trestle_core::mac::MacAddress;
use trestle_core::network::{Network, Pool, Scope};
use trestle_core::port::PortBinding;
use trestle_core::{Doing, Error, Plan, Result};

use super::address::host_address;
use super::placement::Placement;
use crate::client::{Failure, shown};
use crate::registry::{Lack, Plugin};
use crate::wire::network::*;
use crate::wire::{Call, Done, options};

/// A plugin as a network driver.
///
/// It need not be up: what it said at its last handshake holds, and before the first one, what most plugins say. Each
/// question finds out whether it answers.
#[derive(Clone, Debug)]
pub struct RemoteDriver {
    plugin: Arc<Plugin>,
}

/// Docker's names of the address spaces; a network does not keep in which one its pools are.
const ADDRESS_SPACES: (&str, &str) = ("LocalDefault", "GlobalDefault");

/// As many pools as a network likes.
const ANY_NUMBER: usize = 64;

impl RemoteDriver {
    pub(crate) fn new(plugin: Arc<Plugin>) -> Self {
        Self { plugin }
    }

    /// The endpoint is its sandbox's way out now. `other_way_v6`: for IPv4 alone, another one is for IPv6.
    pub async fn gateway_gained(&self, network: &Network, endpoint: &Endpoint, other_way_v6: bool) -> Result<()> {
        let mut options = options::of_sandbox(endpoint);
        if other_way_v6 {
            options.insert(options::NO_PROXY_6TO4.to_owned(), true.into());
        }
        self.program(network, endpoint, options).await
    }

    /// The endpoint is its sandbox's way out no more.
    pub async fn gateway_lost(&self, network: &Network, endpoint: &Endpoint) -> Result<()> {
        let request = RevokeExternalConnectivity(place(network, endpoint));
        self.tolerating_unknown(&request).await
    }

    /// What the plugin tells of an endpoint.
    pub async fn what_is_known(&self, network: &Network, endpoint: &Endpoint) -> Result<Options> {
        Ok(self.ask(&EndpointOperInfo(place(network, endpoint))).await?.value)
    }

    /// A node of a cluster came.
    pub async fn node_came(&self, node: Node) -> Result<()> {
        self.ask(&DiscoverNew { kind: NODE, node }).await.map(|Done {}| ())
    }

    /// A node of a cluster went.
    pub async fn node_went(&self, node: Node) -> Result<()> {
        self.ask(&DiscoverDelete { kind: NODE, node }).await.map(|Done {}| ())
    }

    async fn ask<C: Call>(&self, request: &C) -> Result<C::Reply> {
        self.plugin.ask(request).await.map_err(|failure| self.plugin.failed::<C>(failure))
    }

    /// Asks for what a plugin need not be able to do.
    async fn tolerating_unknown<C: Call>(&self, request: &C) -> Result<()> {
        match self.plugin.ask(request).await {
            Err(failure) if !failure.is_unknown_method() => Err(self.plugin.failed::<C>(failure)),
            _ => Ok(()),
        }
    }

    async fn program(&self, network: &Network, endpoint: &Endpoint, options: Options) -> Result<()> {
        let Place { network, endpoint } = place(network, endpoint);
        self.tolerating_unknown(&ProgramExternalConnectivity { network, endpoint, options }).await
    }

    async fn let_go<C: Call>(&self, request: &C, of: &str) -> Result<()> {
        let outcome = self.plugin.ask_to_let_go(request, of).await;
        outcome.map(drop).map_err(|failure| self.plugin.failed::<C>(failure))
    }

    /// An error over an answer that can't be used, once what it did is taken back.
    fn refused<C: Call>(&self, cause: Error, rolled_back: Result<(), Failure>) -> Error {
        let rolled_back = match rolled_back {
            Ok(()) => "; rolled back".to_owned(),
            Err(failure) => format!("; failed to roll back: {failure}"),
        };
        let told = Error::new(cause.kind(), format!("{cause}{rolled_back}"));
        told.doing(C::METHOD).doing(format!("plugin {}", self.plugin.name()))
    }
}

#[async_trait]
impl Driver for RemoteDriver {
    fn capability(&self) -> Capability {
        let known = self.plugin.known();
        let said = known.as_ref().and_then(|contact| contact.network().ok());
        Capability {
            scope: said.map_or(Scope::Local, |said| said.scope),
            ports: if said.is_some_and(|said| said.maps_ports) { Ports::Maps } else { Ports::ViaBridge },
            addresses: Addresses::Pools(ANY_NUMBER),
            external: true,
            single: false,
            host_namespace: false,
        }
    }

    fn options(&self) -> Vec<OptionDoc> {
        Vec::new()
    }

    /// Plugins that don't say are not asked.
    async fn gateways_not_needed(&self, network: &Network, families: ByFamily) -> Result<ByFamily> {
        let contact = self.plugin.contact().await.map_err(|failure| self.plugin.told(failure))?;
        if !contact.network()?.checks_gateways {
            return Ok(ByFamily::default());
        }
        let options = options::network_options(families.v4, families.v6, network.internal, &network.options);
        let answer = self.ask(&GwAllocCheck { options }).await?;
        Ok(ByFamily { v4: answer.skip_v4, v6: answer.skip_v6 })
    }

    async fn create_network(&self, network: &Network, _facts: &Facts) -> Result<Plan> {
        let data = |v6: bool| {
            let pools = network.pools.iter().filter(move |pool| matches!(pool.subnet, IpNet::V6(_)) == v6);
            pools.map(|pool| ipam_data(network, pool)).collect()
        };
        let (v4, v6) = (data(false), data(true));
        let request = CreateNetwork { network: network.id.to_string(), options: options::of_network(network), v4, v6 };
        if let Err(failure) = self.plugin.ask(&request).await {
            // One that said no has nothing to take back.
            self.plugin.remember(Lack::Network(network.id), !failure.leaves_open_what_was_done());
            return Err(self.plugin.failed::<CreateNetwork>(failure));
        }
        Ok(Plan::new())
    }

    async fn delete_network(&self, network: &Network) -> Result<()> {
        if !self.plugin.is_without(Lack::Network(network.id)) {
            let id = network.id.to_string();
            self.let_go(&DeleteNetwork { network: id.clone() }, &id).await?;
        }
        self.plugin.remember(Lack::Network(network.id), false);
        Ok(())
    }

    async fn create_endpoint(&self, network: &Network, endpoint: &Endpoint) -> Result<Chosen> {
        let lack = Lack::Endpoint(endpoint.id);
        // One that was never asked has nothing to take back.
        if let Err(failure) = self.plugin.contact().await {
            self.plugin.remember(lack, true);
            return Err(self.plugin.told(failure));
        }
        let known = known_interface(endpoint);
        let Place { network: network_id, endpoint: id } = place(network, endpoint);
        let request = CreateEndpoint {
            network: network_id,
            endpoint: id.clone(),
            interface: known.clone(),
            options: options::of_endpoint(network, endpoint),
        };
        let (cause, answers) = match self.plugin.ask(&request).await {
            Ok(reply) => match choices(&reply, &known, network) {
                Ok(chosen) => return Ok(chosen),
                Err(cause) => (cause, true),
            },
            Err(failure) if !failure.leaves_open_what_was_done() => {
                self.plugin.remember(lack, true);
                return Err(self.plugin.failed::<CreateEndpoint>(failure));
            }
            Err(failure) => {
                let answers = !matches!(failure, Failure::Unreachable(_) | Failure::Late { .. });
                (Error::unavailable(failure.to_string()), answers)
            }
        };
        // Where this fails, the controller asks for it again.
        let rolled_back = match answers {
            true => self.plugin.ask_to_let_go(&DeleteEndpoint(place(network, endpoint)), &id).await.map(drop),
            false => Err(Failure::Unreachable("it does not answer; it will be asked later".to_owned())),
        };
        self.plugin.remember(lack, rolled_back.is_ok());
        Err(self.refused::<CreateEndpoint>(cause, rolled_back))
    }

    async fn delete_endpoint(&self, network: &Network, endpoint: &Endpoint) -> Result<()> {
        if !self.plugin.is_without(Lack::Endpoint(endpoint.id)) {
            self.let_go(&DeleteEndpoint(place(network, endpoint)), &endpoint.id.to_string()).await?;
        }
        self.plugin.remember(Lack::Endpoint(endpoint.id), false);
        self.plugin.remember(Lack::Inside(endpoint.id), false);
        Ok(())
    }

    async fn join(&self, network: &Network, endpoint: &Endpoint, slot: &Slot) -> Result<Joined> {
        let sandbox = slot.namespace.path();
        let sandbox = sandbox.ok_or_else(|| Error::forbidden("a plugin links no sandbox that is the host itself"))?;
        let Place { network: network_id, endpoint: id } = place(network, endpoint);
        let request = Join {
            network: network_id,
            endpoint: id.clone(),
            sandbox_key: sandbox.display().to_string(),
            options: options::of_sandbox(endpoint),
        };
        self.plugin.remember(Lack::Inside(endpoint.id), false);
        let reply = match self.plugin.ask(&request).await {
            Ok(reply) => reply,
            Err(failure) => {
                self.plugin.remember(Lack::Inside(endpoint.id), !failure.leaves_open_what_was_done());
                return Err(self.plugin.failed::<Join>(failure));
            }
        };
        match Placement::read(&reply, endpoint) {
            Ok(placement) => Ok(placement.joined(slot)),
            Err(cause) => {
                // Where this fails, the controller asks for it again.
                let left = self.plugin.ask_to_let_go(&Leave(place(network, endpoint)), &id).await;
                self.plugin.remember(Lack::Inside(endpoint.id), left.is_ok());
                Err(self.refused::<Join>(cause, left.map(drop)))
            }
        }
    }

    async fn publish(&self, network: &Network, endpoint: &Endpoint, ports: &[PortBinding]) -> Result<Plan> {
        match ports.is_empty() {
            true => self.gateway_lost(network, endpoint).await?,
            false => self.program(network, endpoint, options::of_bindings(endpoint, ports)).await?,
        }
        Ok(Plan::new())
    }

    async fn leave(&self, network: &Network, endpoint: &Endpoint) -> Result<()> {
        if self.plugin.is_without(Lack::Inside(endpoint.id)) {
            return Ok(());
        }
        // As Docker's daemon: what the plugin has to say to this keeps nobody from leaving.
        if let Err(error) = self.gateway_lost(network, endpoint).await {
            tracing::warn!(%error, endpoint = %endpoint.name, "the plugin may keep an endpoint's way out");
        }
        self.let_go(&Leave(place(network, endpoint)), &endpoint.id.to_string()).await?;
        self.plugin.remember(Lack::Inside(endpoint.id), true);
        Ok(())
    }
}

fn place(network: &Network, endpoint: &Endpoint) -> Place {
    Place { network: network.id.to_string(), endpoint: endpoint.id.to_string() }
}

fn ipam_data(network: &Network, pool: &Pool) -> IpamData {
    let length = pool.subnet.prefix_len();
    let with_length = |address: IpAddr| format!("{address}/{length}");
    let space = match network.scope {
        Scope::Local => ADDRESS_SPACES.0,
        Scope::Global => ADDRESS_SPACES.1,
    };
    IpamData {
        address_space: space.to_owned(),
        pool: pool.subnet.to_string(),
        gateway: pool.gateway.map(with_length).unwrap_or_default(),
        aux_addresses: pool.auxiliary.iter().map(|(name, address)| (name.clone(), with_length(*address))).collect(),
    }
}

/// What is settled of an endpoint's addresses.
fn known_interface(endpoint: &Endpoint) -> Interface {
    let lease = endpoint.lease.clone().unwrap_or_default();
    Interface {
        address: lease.v4.map(|address| address.to_string()).unwrap_or_default(),
        address_v6: lease.v6.map(|address| address.to_string()).unwrap_or_default(),
        mac_address: options::asked_mac(endpoint).map(|mac| mac.to_string()).unwrap_or_default(),
    }
}

/// What the plugin chose, if it chose only what was open.
fn choices(reply: &EndpointCreated, known: &Interface, network: &Network) -> Result<Chosen> {
    let Some(chosen) = &reply.interface else { return Ok(Chosen::default()) };
    if !known.mac_address.is_empty() && !chosen.mac_address.is_empty() {
        return Err(Error::internal("driver modified interface MAC address"));
    }
    let modified = |before: &str, after: &str| !before.is_empty() && !after.is_empty();
    if modified(&known.address, &chosen.address) || modified(&known.address_v6, &chosen.address_v6) {
        return Err(Error::internal("driver modified interface address"));
    }
    let mac = match chosen.mac_address.as_str() {
        "" => None,
        text => {
            let told = || format!("MacAddress is {:?}", shown(text));
            Some(text.parse::<MacAddress>().map_err(|error| Error::internal(error.cause())).doing(told)?)
        }
    };
    let v4 = inside(host_address(&chosen.address, "Address", false)?, network, "Address")?;
    let v6 = inside(host_address(&chosen.address_v6, "AddressIPv6", true)?, network, "AddressIPv6")?;
    let lease = Lease {
        v4: v4.and_then(|net| if let IpNet::V4(net) = net { Some(net) } else { None }),
        v6: v6.and_then(|net| if let IpNet::V6(net) = net { Some(net) } else { None }),
    };
    Ok(Chosen { mac, lease: (lease != Lease::default()).then_some(lease) })
}

/// An address in one of the network's pools; in any subnet, where the network has none of its family.
fn inside(address: Option<IpNet>, network: &Network, field: &str) -> Result<Option<IpNet>> {
    let Some(address) = address else { return Ok(None) };
    let is_v6 = matches!(address, IpNet::V6(_));
    let mut pools =
        network.pools.iter().map(|pool| pool.subnet).filter(|it| matches!(it, IpNet::V6(_)) == is_v6).peekable();
    match pools.peek().is_none() || pools.any(|pool| pool.contains(&address)) {
        true => Ok(Some(address)),
        false => {
            Err(Error::internal(format!("{field} is {address}, which is in no subnet of network {}", network.name)))
        }
    }
}
