//! One address family of a bridge network, and what the options say of it.

use std::net::IpAddr;

use ipnet::IpNet;
use trestle_core::endpoint::{Endpoint, Lease};
use trestle_core::network::{Network, Pool};
use trestle_core::resource::GatewayMode;
use trestle_core::{Error, Result};

use super::options::{BridgeOptions, MODE_V4, MODE_V6, SOURCE_V4, SOURCE_V6, TRUSTED};

/// IPv4 or IPv6 on one network.
pub(super) struct Family<'a> {
    pub(super) is_v4: bool,
    /// What people call it.
    pub(super) noun: &'static str,
    /// Where its addresses come from; none where the network lacks the family.
    pub(super) pool: Option<&'a Pool>,
    /// How its packets get in.
    pub(super) mode: GatewayMode,
    mode_label: &'static str,
    source: Option<IpAddr>,
    source_label: &'static str,
    /// Whether packets that leave bear the host's address.
    pub(super) masquerade: bool,
}

/// Both families, IPv4 first.
pub(super) fn families<'a>(network: &'a Network, options: &BridgeOptions) -> [Family<'a>; 2] {
    let v4 = Family {
        is_v4: true,
        noun: "IPv4",
        pool: network.pool_v4(),
        mode: options.gateway_v4,
        mode_label: MODE_V4,
        source: options.source_v4.map(IpAddr::V4),
        source_label: SOURCE_V4,
        masquerade: false,
    };
    let v6 = Family {
        is_v4: false,
        noun: "IPv6",
        pool: network.pool_v6(),
        mode: options.gateway_v6,
        mode_label: MODE_V6,
        source: options.source_v6.map(IpAddr::V6),
        source_label: SOURCE_V6,
        masquerade: false,
    };
    [v4, v6].map(|family| {
        let leaves = family.pool.is_some() && !network.internal && !family.is_routed();
        Family { masquerade: options.masquerade && leaves, ..family }
    })
}

impl Family<'_> {
    /// Whether ports of it are opened at the containers' own addresses, and none of the host are taken.
    pub(super) fn is_routed(&self) -> bool {
        self.mode == GatewayMode::Routed
    }

    /// Whether the host has no address of it on the bridge.
    pub(super) fn is_isolated(&self) -> bool {
        self.mode == GatewayMode::Isolated
    }

    /// Whether an address is of it.
    pub(super) fn has(&self, address: &IpAddr) -> bool {
        address.is_ipv4() == self.is_v4
    }

    /// Whether the network has it, and a port on this address of the host is of it; `None` is every address.
    pub(super) fn concerns(&self, address: Option<IpAddr>) -> bool {
        self.pool.is_some() && address.is_none_or(|address| self.has(&address))
    }

    /// Refuses what could never come true: a person would look for the fault elsewhere.
    pub(super) fn check(&self, network: &Network) -> Result<()> {
        if self.is_isolated() && !network.internal {
            return Err(Error::invalid(format!(
                "option {} is isolated, and network {} is not internal: create it with --internal, or choose another \
                 mode",
                self.mode_label, network.name
            )));
        }
        match self.source.filter(|_| !self.masquerade) {
            None => Ok(()),
            Some(source) => Err(Error::invalid(format!(
                "option {} is {source}, and no {} packet leaves network {} with an address of the host's: leave the \
                 option out",
                self.source_label, self.noun, network.name
            ))),
        }
    }

    /// A bridge of somebody else may give the host a way to the containers that we can't take away.
    pub(super) fn check_users_bridge(&self, bridge: &str, addresses: &[IpNet]) -> Result<()> {
        let of_one_link = |it: &IpNet| matches!(it.addr(), IpAddr::V6(address) if address.is_unicast_link_local());
        let in_the_way = |it: &&IpNet| self.has(&it.addr()) && !of_one_link(it);
        match addresses.iter().find(in_the_way).filter(|_| self.is_isolated()) {
            None => Ok(()),
            Some(address) => Err(Error::conflict(format!(
                "option {} is isolated, and bridge {bridge}, which is not Trestle's, has the host's address {address}: \
                 remove it there, or choose another mode",
                self.mode_label
            ))),
        }
    }
}

/// An internal network lets nobody in, by whatever link.
pub(super) fn check_trusted(network: &Network, options: &BridgeOptions) -> Result<()> {
    match network.internal && !options.trusted.is_empty() {
        false => Ok(()),
        true => Err(Error::invalid(format!(
            "option {TRUSTED} names links by which containers are reached, and network {} is internal: leave the \
             option out, or create the network without --internal",
            network.name
        ))),
    }
}

/// The addresses of the endpoint; on a bridge network there is at least one.
pub(super) fn lease(endpoint: &Endpoint) -> Result<&Lease> {
    let with_address = endpoint.lease.as_ref().filter(|lease| lease.v4.is_some() || lease.v6.is_some());
    with_address.ok_or_else(|| Error::internal(format!("endpoint {} has no address", endpoint.name)))
}
