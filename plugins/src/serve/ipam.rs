//! An address manager that is served.

use std::net::IpAddr;

use trestle_core::entropy::Entropy;
use trestle_core::ipam::{AddressRequest, Family, Ipam, PoolRequest, Purpose};
use trestle_core::kernel::Kernel;
use trestle_core::mac::MacAddress;
use trestle_core::{Error, Result};

use super::read::net;
use crate::client::shown;
use crate::wire::Done;
use crate::wire::ipam::{
    AddressLeased, AddressSpaces, Capabilities, GATEWAY, PoolLeased, REQUEST_ADDRESS_TYPE, ReleaseAddress,
    RequestAddress, RequestPool,
};
use crate::wire::options::{ENDPOINT_NAME, MAC_ADDRESS};

const LOCAL: &str = "LocalDefault";
const GLOBAL: &str = "GlobalDefault";

pub(super) fn capabilities(ipam: &dyn Ipam) -> Capabilities {
    Capabilities { requires_mac: false, requires_replay: ipam.needs_replay() }
}

pub(super) fn spaces() -> AddressSpaces {
    AddressSpaces { local: LOCAL.to_owned(), global: GLOBAL.to_owned() }
}

pub(super) async fn request_pool(ipam: &dyn Ipam, kernel: &dyn Kernel, asked: &RequestPool) -> Result<PoolLeased> {
    if !["", LOCAL, GLOBAL].contains(&asked.address_space.as_str()) {
        let space = shown(&asked.address_space);
        return Err(Error::invalid(format!("AddressSpace is {space:?}: {LOCAL} and {GLOBAL} are known")));
    }
    let read = |text: &str, field: &str| if text.is_empty() { Ok(None) } else { net(text, field).map(Some) };
    let subnet = read(&asked.pool, "Pool")?;
    let is_v6 = subnet.map_or(asked.v6, |subnet| subnet.addr().is_ipv6());
    let avoid = match subnet {
        Some(_) => Vec::new(),
        None => kernel.facts().await?.taken(),
    };
    let request = PoolRequest {
        family: if is_v6 { Family::V6 } else { Family::V4 },
        subnet: subnet.map(|subnet| subnet.trunc()),
        range: read(&asked.sub_pool, "SubPool")?,
        avoid,
        options: asked.options.clone().unwrap_or_default(),
    };
    let lease = ipam.request_pool(&request).await?;
    let gateway = lease.gateway.map(|address| (GATEWAY.to_owned(), format!("{address}/{}", lease.subnet.prefix_len())));
    Ok(PoolLeased { id: lease.id, pool: lease.subnet.to_string(), data: gateway.into_iter().collect() })
}

pub(super) async fn request_address(
    ipam: &dyn Ipam,
    entropy: &dyn Entropy,
    asked: &RequestAddress,
) -> Result<AddressLeased> {
    let wanted = match asked.address.as_str() {
        "" => None,
        text => Some(address(text)?),
    };
    let options = asked.options.clone().unwrap_or_default();
    let is_gateway = options.get(REQUEST_ADDRESS_TYPE).is_some_and(|kind| kind == GATEWAY);
    let purpose = match (is_gateway, wanted) {
        (true, _) => Purpose::Gateway,
        (false, Some(_)) if options.is_empty() => Purpose::Auxiliary,
        _ => Purpose::Endpoint {
            mac: match options.get(MAC_ADDRESS) {
                Some(text) => text.parse()?,
                None => MacAddress::random(entropy),
            },
            name: options.get(ENDPOINT_NAME).cloned().unwrap_or_default(),
        },
    };
    let leased = ipam.request_address(&asked.id, &AddressRequest { subnet: None, wanted, purpose }).await?;
    Ok(AddressLeased { address: leased.to_string(), ..AddressLeased::default() })
}

pub(super) async fn release_address(ipam: &dyn Ipam, asked: &ReleaseAddress) -> Result<Done> {
    ipam.release_address(&asked.id, address(&asked.address)?).await.map(|()| Done {})
}

/// A plain address; with a prefix length, as some say it, that is left out.
fn address(text: &str) -> Result<IpAddr> {
    let plain = text.split('/').next().unwrap_or_default();
    plain.parse().map_err(|_| Error::invalid(format!("Address is {:?}: an address is expected", shown(text))))
}
