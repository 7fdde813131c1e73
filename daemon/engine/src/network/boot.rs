//! The networks that are always there: `bridge`, `host` and `none`. They are made once and kept.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use trestle_core::controller::Controller;
use trestle_core::controller::request::{NetworkRequest, PoolWish};
use trestle_core::name::IfName;
use trestle_core::network::Network;
use trestle_core::{Doing, ErrorKind, Result};

use super::DEFAULT;

/// What the network `bridge` is like: dockerd's flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeSettings {
    /// The bridge's name.
    pub link: Option<IfName>,
    /// The bridge's own IPv4 address with its network: `--bip`.
    pub address_v4: Option<Ipv4Net>,
    /// The same for IPv6: `--bip6`.
    pub address_v6: Option<Ipv6Net>,
    /// Where containers' IPv4 addresses come from: `--fixed-cidr`.
    pub range_v4: Option<Ipv4Net>,
    /// The same for IPv6: `--fixed-cidr-v6`.
    pub range_v6: Option<Ipv6Net>,
    /// Whether there is IPv6: `--ipv6`.
    pub ipv6: bool,
    /// Whether containers may talk to each other: `--icc`.
    pub inter_container: Option<bool>,
    /// Whether packets that leave bear the host's address: `--ip-masq`.
    pub masquerade: Option<bool>,
    /// Where ports are published that name no address: `--ip`.
    pub host_address: Option<IpAddr>,
    /// Bytes a packet may have: `--mtu`.
    pub mtu: Option<u32>,
}

/// The name of the bridge that `bridge` is made with.
pub const LINK: &str = "trestle0";

impl BridgeSettings {
    fn request(&self) -> Result<NetworkRequest> {
        let mut request = NetworkRequest::new(DEFAULT.try_into()?, "bridge");
        request.ipv6 = self.ipv6 || self.address_v6.is_some() || self.range_v6.is_some();
        request.pools.extend(wish(
            self.address_v4.map(|it| (IpNet::V4(it.trunc()), own_v4(it).map(IpAddr::V4))),
            self.range_v4.map(IpNet::V4),
        ));
        request.pools.extend(wish(
            self.address_v6.map(|it| (IpNet::V6(it.trunc()), own_v6(it).map(IpAddr::V6))),
            self.range_v6.map(IpNet::V6),
        ));
        request.options = self.options();
        Ok(request)
    }

    fn options(&self) -> BTreeMap<String, String> {
        let link = self.link.as_ref().map_or_else(|| LINK.to_owned(), ToString::to_string);
        let flag = |value: Option<bool>| value.unwrap_or(true).to_string();
        let mut options = BTreeMap::from([
            ("com.docker.network.bridge.default_bridge".to_owned(), "true".to_owned()),
            ("com.docker.network.bridge.name".to_owned(), link),
            ("com.docker.network.bridge.enable_icc".to_owned(), flag(self.inter_container)),
            ("com.docker.network.bridge.enable_ip_masquerade".to_owned(), flag(self.masquerade)),
        ]);
        let mut say = |key: &str, value: Option<String>| options.extend(value.map(|value| (key.to_owned(), value)));
        say("com.docker.network.bridge.host_binding_ipv4", self.host_address.map(|it| it.to_string()));
        say("com.docker.network.driver.mtu", self.mtu.map(|it| it.to_string()));
        options
    }
}

/// The pool of an address with its network, or else of a range; the range is that of containers' addresses.
fn wish(own: Option<(IpNet, Option<IpAddr>)>, range: Option<IpNet>) -> Option<PoolWish> {
    let (subnet, gateway) = own.or(range.map(|range| (range.trunc(), None)))?;
    let range = range.filter(|range| *range != subnet);
    Some(PoolWish { subnet, range, gateway, auxiliary: BTreeMap::new() })
}

/// The address of a network with an address; `None` where it is only the network.
fn own_v4(net: Ipv4Net) -> Option<Ipv4Addr> {
    Some(net.addr()).filter(|address| *address != net.network())
}

fn own_v6(net: Ipv6Net) -> Option<Ipv6Addr> {
    Some(net.addr()).filter(|address| *address != net.network())
}

/// Makes what of them is not there. `None` for the bridge's settings leaves `bridge` out, as `--bridge none` asks.
///
/// # Errors
/// Those of the controller. What was made by then stays.
pub async fn make(controller: &Controller, bridge: Option<&BridgeSettings>) -> Result<()> {
    let mut requests =
        vec![NetworkRequest::new("host".try_into()?, "host"), NetworkRequest::new("none".try_into()?, "null")];
    if let Some(settings) = bridge {
        requests.push(settings.request()?);
    }
    for request in requests {
        let name = request.name.clone();
        match controller.network(name.as_str()) {
            Ok(found) if found.name == name => tell_of_change(&found, &request),
            Ok(_) => make_one(controller, request).await?,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
                make_one(controller, request).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn make_one(controller: &Controller, request: NetworkRequest) -> Result<()> {
    let name = request.name.clone();
    controller.create_network(request).await.doing(|| format!("making the network {name}"))?;
    Ok(())
}

/// A network that is kept is kept as it is; who asks for something else has to know.
fn tell_of_change(found: &Network, asked: &NetworkRequest) {
    let differs = |wish: &PoolWish| {
        !found
            .pools
            .iter()
            .any(|pool| pool.subnet == wish.subnet && wish.gateway.is_none_or(|it| pool.gateway == Some(it)))
    };
    if asked.options != found.options || asked.pools.iter().any(differs) {
        tracing::warn!(
            network = %found.name,
            "the flags ask for something else than what the network was made with; it stays as it is"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(settings: &BridgeSettings) -> Vec<(String, Option<String>, Option<String>)> {
        let told = |it: &PoolWish| {
            (it.subnet.to_string(), it.range.map(|it| it.to_string()), it.gateway.map(|it| it.to_string()))
        };
        settings.request().unwrap().pools.iter().map(told).collect()
    }

    #[test]
    fn the_bridge_s_own_address_tells_its_network() {
        let settings = BridgeSettings {
            address_v4: Some("10.1.2.3/24".parse().unwrap()),
            range_v4: Some("10.1.2.128/25".parse().unwrap()),
            range_v6: Some("fd00:1::/64".parse().unwrap()),
            ..BridgeSettings::default()
        };
        let v4 = ("10.1.2.0/24".to_owned(), Some("10.1.2.128/25".to_owned()), Some("10.1.2.3".to_owned()));
        assert_eq!(pools(&settings), [v4, ("fd00:1::/64".to_owned(), None, None)]);
        assert!(settings.request().unwrap().ipv6);
        assert!(pools(&BridgeSettings::default()).is_empty());
    }

    #[test]
    fn what_is_not_said_is_as_docker_has_it() {
        let options = BridgeSettings::default().options();
        assert_eq!(options["com.docker.network.bridge.name"], LINK);
        assert_eq!(options["com.docker.network.bridge.enable_icc"], "true");
        assert!(!options.contains_key("com.docker.network.bridge.host_binding_ipv4"), "every address of both families");
    }
}
