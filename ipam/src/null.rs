//! The manager of networks without addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use ipnet::IpNet;
use trestle_core::error::{Error, Result};
use trestle_core::ipam::{AddressRequest, Family, Ipam, PoolLease, PoolRequest};

/// Has no addresses. A pool of its is empty, and its subnet unspecified (`0.0.0.0/0`, `::/0`); whoever asks it for a
/// certain subnet, or for an address, is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullIpam;

#[async_trait]
impl Ipam for NullIpam {
    fn needs_replay(&self) -> bool {
        false
    }

    async fn request_pool(&self, request: &PoolRequest) -> Result<PoolLease> {
        if let Some(wanted) = request.subnet.or(request.range) {
            return Err(Error::invalid(format!(
                "the null address manager has no addresses, so it can't lease {wanted}"
            )));
        }
        let everything: IpAddr = match request.family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let subnet = IpNet::new(everything, 0).expect("every family has a length of 0");
        Ok(PoolLease { id: format!("null/{subnet}"), subnet, gateway: None })
    }

    async fn release_pool(&self, _pool: &str) -> Result<()> {
        Ok(())
    }

    async fn request_address(&self, _pool: &str, request: &AddressRequest) -> Result<IpNet> {
        Err(match request.wanted {
            Some(wanted) => {
                Error::invalid(format!("the null address manager has no addresses, so it can't lease {wanted}"))
            }
            None => Error::unsupported("the null address manager has no addresses"),
        })
    }

    async fn release_address(&self, _pool: &str, _address: IpAddr) -> Result<()> {
        Ok(())
    }
}
