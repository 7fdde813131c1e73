//! Making a network by Docker's rules: everything that is wrong with its addresses is told at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use trestle_core::controller::request::{NetworkRequest, PoolWish};
use trestle_core::network::Network;
use trestle_core::{Error, ErrorKind, Result};

use super::{Networks, PREDEFINED};
use crate::container::config::go::{List, Map, letter};

letter! {
    /// Docker's body of `POST /networks/create`.
    pub struct NewNetwork {
        /// Its name.
        name: String = "Name",
        /// Who lays it out; empty is `bridge`.
        driver: String = "Driver",
        /// How far it reaches: `local`.
        scope: String = "Scope",
        /// Whether it has IPv4; it has where nothing is said.
        enable_ipv4: Option<bool> = "EnableIPv4",
        /// Whether it has IPv6.
        enable_ipv6: Option<bool> = "EnableIPv6",
        /// Where its addresses come from.
        ipam: Option<Ipam> = "IPAM",
        /// Whether it has no way out.
        internal: bool = "Internal",
        /// Whether containers outside of swarm's services may join; all may.
        attachable: bool = "Attachable",
        /// Whether it is swarm's.
        ingress: bool = "Ingress",
        /// Whether it is only what others are configured from.
        config_only: bool = "ConfigOnly",
        /// The one it is configured from.
        config_from: Option<ConfigReference> = "ConfigFrom",
        /// The driver's options.
        options: Map<String, String> = "Options",
        /// The user's labels.
        labels: Map<String, String> = "Labels",
    }
}

letter! {
    /// The network that another one is configured from.
    pub struct ConfigReference {
        /// Its name.
        network: String = "Network",
    }
}

letter! {
    /// Where a network's addresses come from.
    pub struct Ipam {
        /// The address manager; empty is `default`.
        driver: String = "Driver",
        /// Its options.
        options: Map<String, String> = "Options",
        /// The subnets that are asked for.
        config: List<IpamPool> = "Config",
    }
}

letter! {
    /// A subnet that is asked for. Text still: what is wrong is told together with whatever else is wrong.
    pub struct IpamPool {
        /// The subnet.
        subnet: String = "Subnet",
        /// The part that automatic addresses come from.
        range: String = "IPRange",
        /// The network's own address.
        gateway: String = "Gateway",
        /// Addresses kept for other uses, by name.
        auxiliary: Map<String, String> = "AuxiliaryAddresses",
    }
}

/// Among a network's labels, and told by nobody: clients may call a network attachable, and expect to be told so again.
pub const ATTACHABLE: &str = "trestle.docker.attachable";

impl Networks {
    /// Makes a network.
    ///
    /// # Errors
    /// `Forbidden` for a predefined name and for what is in the way, `Conflict` for a name that is taken, `NotFound` for
    /// a driver that is not there, `Invalid` with everything that is wrong with its addresses.
    pub async fn create(&self, asked: &NewNetwork) -> Result<Arc<Network>> {
        let mut request = asked.read()?;
        for default in self.defaults.iter().filter(|it| it.driver == request.driver) {
            request.options.entry(default.key.clone()).or_insert_with(|| default.value.clone());
        }
        if self.list().iter().any(|network| network.name == request.name) {
            return Err(Error::conflict(format!("network with name {} already exists", request.name)));
        }
        let pools = request.pools.clone();
        let made = self.controller.create_network(request).await;
        let network = Arc::new(made.map_err(|error| self.worded(error, asked, &pools))?);
        self.tell("create", &network, None);
        Ok(network)
    }

    /// The controller's refusal in Docker's words.
    fn worded(&self, error: Error, asked: &NewNetwork, pools: &[PoolWish]) -> Error {
        let driver = asked.driver_name();
        match error.kind() {
            ErrorKind::NotFound if !self.controller.drivers().iter().any(|(name, _)| name == driver) => {
                Error::not_found(format!("plugin {driver:?} not found"))
            }
            ErrorKind::Exhausted if pools.is_empty() => {
                Error::invalid(format!("all predefined address pools have been fully subnetted ({error})"))
            }
            ErrorKind::Conflict if self.overlaps(pools) => Error::forbidden(format!(
                "invalid pool request: Pool overlaps with other one on this address space ({error})"
            )),
            ErrorKind::Conflict if self.list().iter().any(|it| it.name.as_str() == asked.name) => error,
            ErrorKind::Conflict => Error::forbidden(error.to_string()),
            _ => error,
        }
    }

    fn overlaps(&self, wishes: &[PoolWish]) -> bool {
        let overlap = |one: &IpNet, other: &IpNet| one.contains(other) || other.contains(one);
        let networks = self.list();
        let mut pools = networks.iter().flat_map(|network| &network.pools);
        pools.any(|pool| wishes.iter().any(|wish| overlap(&pool.subnet, &wish.subnet)))
    }
}

impl NewNetwork {
    fn driver_name(&self) -> &str {
        if self.driver.is_empty() { "bridge" } else { &self.driver }
    }

    /// What is asked of the controller.
    fn read(&self) -> Result<NetworkRequest> {
        if self.name.trim().is_empty() {
            return Err(Error::invalid("invalid name: name is empty"));
        }
        if PREDEFINED.contains(&self.name.as_str()) {
            // With Docker, too, a space ends the sentence.
            return Err(Error::forbidden(format!("operation is not permitted on predefined {} network ", self.name)));
        }
        self.check_reach()?;
        let mut request = NetworkRequest::new(self.name.as_str().try_into()?, self.driver_name());
        request.ipv4 = self.enable_ipv4.unwrap_or(true);
        request.ipv6 = self.enable_ipv6.unwrap_or(false);
        request.internal = self.internal;
        request.options = owned(&self.options);
        request.labels = owned(&self.labels);
        if self.attachable {
            request.labels.insert(ATTACHABLE.to_owned(), "true".to_owned());
        }
        if let Some(ipam) = &self.ipam {
            if !ipam.driver.is_empty() {
                request.ipam = ipam.driver.clone();
            }
            request.ipam_options = owned(&ipam.options);
            request.pools = ipam.pools(request.ipv6)?;
        }
        Ok(request)
    }

    /// Refuses what reaches further than this host, and what is not offered yet.
    fn check_reach(&self) -> Result<()> {
        if self.driver == "overlay" || self.scope == "swarm" || self.ingress {
            return Err(Error::forbidden(
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this \
                 node to swarm and try again.",
            ));
        }
        if !matches!(self.scope.as_str(), "" | "local") {
            return Err(Error::invalid(format!("scope {:?} is not known; \"local\" is", self.scope)));
        }
        let configured = self.config_from.as_ref().is_some_and(|it| !it.network.is_empty());
        if self.config_only || configured {
            let what = "networks that are configured from others (--config-only, --config-from) are not offered yet";
            return Err(Error::unsupported(format!("{what}; give the options to the network itself")));
        }
        Ok(())
    }
}

impl Ipam {
    /// The pools, checked; IPv6 ones are left out where there is no IPv6.
    fn pools(&self, ipv6: bool) -> Result<Vec<PoolWish>> {
        let mut wrong = Vec::new();
        let pools = self.config.iter().filter_map(|pool| pool.read(ipv6, &mut wrong)).collect();
        match wrong.is_empty() {
            true => Ok(pools),
            false => Err(Error::invalid(format!("invalid network config:\n{}", wrong.join("\n")))),
        }
    }
}

impl IpamPool {
    fn read(&self, ipv6: bool, wrong: &mut Vec<String>) -> Option<PoolWish> {
        let Ok(subnet) = self.subnet.parse::<IpNet>() else {
            wrong.push(format!("invalid subnet {}: invalid CIDR block notation", self.subnet));
            return None;
        };
        if matches!(subnet, IpNet::V6(_)) && !ipv6 {
            return None;
        }
        if subnet != subnet.trunc() {
            wrong.push(format!("invalid subnet {subnet}: it should be {}", subnet.trunc()));
        }
        let range = self.read_range(&subnet, wrong);
        let mut address = |noun: &str, text: &str| match inside(text, &subnet) {
            Ok(address) => address,
            Err(why) => {
                wrong.push(format!("invalid {noun}: {why}"));
                None
            }
        };
        let gateway = address(&format!("gateway {}", self.gateway), &self.gateway);
        let mut auxiliary = BTreeMap::new();
        for (name, text) in self.auxiliary.iter() {
            let read = address(&format!("auxiliary address {name}"), text);
            auxiliary.extend(read.map(|address| (name.clone(), address)));
        }
        Some(PoolWish { subnet, range, gateway, auxiliary })
    }

    fn read_range(&self, subnet: &IpNet, wrong: &mut Vec<String>) -> Option<IpNet> {
        if self.range.is_empty() {
            return None;
        }
        let mut say = |why: String| wrong.push(format!("invalid ip-range {}: {why}", self.range));
        let Ok(range) = self.range.parse::<IpNet>() else {
            say("invalid CIDR block notation".into());
            return None;
        };
        if is_v4(&range.addr()) != is_v4(&subnet.addr()) {
            say(format!("parent subnet is an {} block", family(subnet)));
            return None;
        }
        if range.prefix_len() < subnet.prefix_len() {
            say(format!("CIDR block is bigger than its parent subnet {subnet}"));
        }
        if range != range.trunc() {
            say(format!("it should be {}", range.trunc()));
        }
        if !subnet.contains(&range.addr()) && !range.contains(&subnet.addr()) {
            say(format!("parent subnet {subnet} doesn't contain ip-range"));
        }
        Some(range)
    }
}

/// An address inside of a subnet, or none.
fn inside(text: &str, subnet: &IpNet) -> Result<Option<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address: IpAddr = text.parse().map_err(|_| "invalid address".to_owned())?;
    if is_v4(&address) != is_v4(&subnet.addr()) {
        return Err(format!("parent subnet is an {} block", family(subnet)));
    }
    match subnet.contains(&address) {
        true => Ok(Some(address)),
        false => Err(format!("parent subnet {subnet} doesn't contain this address")),
    }
}

fn is_v4(address: &IpAddr) -> bool {
    address.is_ipv4()
}

fn family(subnet: &IpNet) -> &'static str {
    if is_v4(&subnet.addr()) { "IPv4" } else { "IPv6" }
}

fn owned(map: &Map<String, String>) -> BTreeMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<NetworkRequest> {
        serde_json::from_str::<NewNetwork>(body).unwrap().read()
    }

    #[test]
    fn everything_that_is_wrong_with_the_addresses_is_told_at_once() {
        let refusal = read(
            r#"{"Name": "x", "EnableIPv6": true, "IPAM": {"Config": [
                {"Subnet": "10.0.0.1/24", "IPRange": "10.0.0.129/25", "Gateway": "10.0.1.1"},
                {"Subnet": "fd00::/64", "IPRange": "10.0.0.0/25", "Gateway": "10.0.0.1", "AuxiliaryAddresses": {"a": "b"}},
                {"Subnet": "10.2.0.0/24", "IPRange": "10.2.0.0/16"},
                {"Subnet": "10.3.0.0/24", "IPRange": "10.4.0.0/25"},
                {"Subnet": "10.5.0.0"}
            ]}}"#,
        );
        let told = refusal.unwrap_err().to_string();
        assert_eq!(
            told.lines().collect::<Vec<_>>(),
            [
                "invalid network config:",
                "invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24",
                "invalid ip-range 10.0.0.129/25: it should be 10.0.0.128/25",
                "invalid gateway 10.0.1.1: parent subnet 10.0.0.1/24 doesn't contain this address",
                "invalid ip-range 10.0.0.0/25: parent subnet is an IPv6 block",
                "invalid gateway 10.0.0.1: parent subnet is an IPv6 block",
                "invalid auxiliary address a: invalid address",
                "invalid ip-range 10.2.0.0/16: CIDR block is bigger than its parent subnet 10.2.0.0/24",
                "invalid ip-range 10.4.0.0/25: parent subnet 10.3.0.0/24 doesn't contain ip-range",
                "invalid subnet 10.5.0.0: invalid CIDR block notation",
            ]
        );
    }

    #[test]
    fn an_ipv6_subnet_without_ipv6_is_passed_over_as_docker_does() {
        let ipam = r#""IPAM": {"Driver": "", "Config": [{"Subnet": "fd00::/64"}, {"Subnet": "10.0.0.0/24"}]}"#;
        let request = read(&format!(r#"{{"Name": "x", {ipam}}}"#)).unwrap();
        assert_eq!((request.pools.len(), request.ipv6, request.ipam.as_str()), (1, false, "default"));
        assert_eq!(read(&format!(r#"{{"Name": "x", "EnableIPv6": true, {ipam}}}"#)).unwrap().pools.len(), 2);
    }

    #[test]
    fn names_and_reach_are_docker_s() {
        for (body, told) in [
            (r#"{"Name": ""}"#, "invalid name: name is empty"),
            (r#"{"Name": "bridge"}"#, "operation is not permitted on predefined bridge network "),
            (r#"{"Name": "a/b"}"#, "can't name a network"),
            (r#"{"Name": "x", "Driver": "overlay"}"#, "This node is not a swarm manager."),
            (r#"{"Name": "x", "Scope": "galaxy"}"#, "\"galaxy\" is not known"),
            (r#"{"Name": "x", "ConfigOnly": true}"#, "not offered yet"),
            (r#"{"Name": "x", "ConfigFrom": {"Network": "y"}}"#, "not offered yet"),
        ] {
            let refusal = read(body).unwrap_err().to_string();
            assert!(refusal.contains(told), "{body}: {refusal}");
        }
        assert!(read(r#"{"Name": "x", "ConfigFrom": {"Network": ""}, "Scope": "local", "Options": null}"#).is_ok());
    }
}
