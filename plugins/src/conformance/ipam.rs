//! An address manager's methods, in order and out of it.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::Verdict;
use super::examiner::{Examiner, failed};
use crate::wire::ipam::*;

impl Examiner {
    /// Pools of its choice and of ours, and addresses in them.
    pub(super) async fn try_ipam(&mut self) {
        self.may_be_unknown("tells what it needs", &GetCapabilities {}).await;
        let Some(spaces) = self.succeeds("tells its address spaces", &GetDefaultAddressSpaces {}).await else { return };
        let fault = match spaces.local.is_empty() {
            true => failed("LocalDefaultAddressSpace is empty"),
            false => None,
        };
        self.note::<GetDefaultAddressSpaces>("has a local address space", fault);
        let ask = RequestPool { address_space: spaces.local, options: Some(BTreeMap::new()), ..RequestPool::default() };
        let first = self.take_pool("leases a pool of its choice", &ask).await;
        let second = self.take_pool("leases another pool of its choice", &ask).await;
        if let (Some((first, one)), Some((second, other))) = (&first, &second) {
            let fault = match one.contains(other) || other.contains(one) || first.id == second.id {
                true => failed(format!(
                    "{one} ({:?}) and then {other} ({:?}): when a pool does not suit a host it is held and another one \
                     is asked for, so each call has to lease another one",
                    first.id, second.id
                )),
                false => None,
            };
            self.note::<RequestPool>("leases no pool twice", fault);
        }
        for (pool, subnet) in first.iter().chain(&second) {
            self.try_addresses(&pool.id, *subnet).await;
            self.succeeds("takes a pool back", &ReleasePool { id: pool.id.clone() }).await;
            self.gives_up_what_is_gone("takes back a pool that is not leased", &ReleasePool { id: pool.id.clone() })
                .await;
        }
    }

    async fn take_pool(&mut self, promise: &str, ask: &RequestPool) -> Option<(PoolLeased, IpNet)> {
        let leased = self.succeeds(promise, ask).await?;
        let fault = match (leased.id.as_str(), leased.pool.parse::<IpNet>()) {
            ("", _) => failed("PoolID is empty"),
            (_, Err(_)) => failed(format!("Pool is {:?}; a subnet such as 10.0.0.0/24 is expected", leased.pool)),
            (_, Ok(subnet)) if subnet != subnet.trunc() => {
                Some((Verdict::Doubtful, format!("Pool is {subnet}, which has bits beyond its prefix")))
            }
            (_, Ok(_)) => None,
        };
        let is_usable = !matches!(&fault, Some((Verdict::Failed, _)));
        self.note::<RequestPool>("answers with a pool", fault);
        let subnet: IpNet = leased.pool.parse().ok()?;
        is_usable.then_some((leased, subnet))
    }

    async fn try_addresses(&mut self, pool: &str, subnet: IpNet) {
        let gateway = BTreeMap::from([(REQUEST_ADDRESS_TYPE.to_owned(), GATEWAY.to_owned())]);
        let ask = |address: &str, options| RequestAddress { id: pool.to_owned(), address: address.to_owned(), options };
        let first = self.take_address("leases a gateway's address", &ask("", Some(gateway)), subnet).await;
        let second = self.take_address("leases an endpoint's address", &ask("", Some(BTreeMap::new())), subnet).await;
        if let (Some(first), Some(second)) = (first, second) {
            let fault = (first.addr() == second.addr())
                .then(|| (Verdict::Failed, format!("{first} twice, without a release between")));
            self.note::<RequestAddress>("leases no address twice", fault);
        }
        for address in first.into_iter().chain(second) {
            let plain = address.addr().to_string();
            self.refuses("refuses an address that is leased", &ask(&plain, None), Verdict::Failed).await;
            let release = ReleaseAddress { id: pool.to_owned(), address: plain.clone() };
            self.succeeds("takes an address back", &release).await;
            self.gives_up_what_is_gone("takes back an address that is not leased", &release).await;
            let again = self.take_address("leases the address that is asked for", &ask(&plain, None), subnet).await;
            if let Some(other) = again.filter(|again| again.addr() != address.addr()) {
                self.note::<RequestAddress>(
                    "leases no other address",
                    failed(format!("{plain} was asked for, and {other} leased")),
                );
            }
            self.succeeds("takes it back again", &release).await;
        }
    }

    async fn take_address(&mut self, promise: &str, ask: &RequestAddress, pool: IpNet) -> Option<IpNet> {
        let leased = self.succeeds(promise, ask).await?;
        let fault = match leased.address.parse::<IpNet>() {
            Err(_) => failed(format!("Address is {:?}; one with its prefix length is expected", leased.address)),
            Ok(address) if !pool.contains(&address.addr()) => {
                failed(format!("Address is {address}, which is not in {pool}"))
            }
            Ok(_) => None,
        };
        let is_right = fault.is_none();
        self.note::<RequestAddress>("answers with an address of the pool", fault);
        leased.address.parse().ok().filter(|_| is_right)
    }

    /// What can't be leased, and what was not.
    pub(super) async fn try_ipam_out_of_order(&mut self) {
        let nowhere = RequestAddress { id: "no-such-pool".to_owned(), ..RequestAddress::default() };
        self.refuses("refuses an address of no pool", &nowhere, Verdict::Failed).await;
        let release = ReleaseAddress { id: "no-such-pool".to_owned(), address: "198.18.0.1".to_owned() };
        self.gives_up_what_is_gone("takes back an address of no pool", &release).await;
        let spaces = self.client.call(&GetDefaultAddressSpaces {}).await.unwrap_or_default();
        let ask = |pool: &str| RequestPool {
            address_space: spaces.local.clone(),
            pool: pool.to_owned(),
            ..RequestPool::default()
        };
        self.refuses("refuses a pool that is none", &ask("198.18.0.0/99"), Verdict::Failed).await;
        self.answers(
            "answers to an address space that it does not have",
            &RequestPool { address_space: "no-such-space".to_owned(), ..RequestPool::default() },
        )
        .await;
        if let Some((leased, _)) = self.take_pool("leases the pool that is asked for", &ask("198.18.7.0/24")).await {
            let fault = (leased.pool != "198.18.7.0/24")
                .then(|| (Verdict::Failed, format!("198.18.7.0/24 was asked for, and {} leased", leased.pool)));
            self.note::<RequestPool>("leases no other pool", fault);
            let outside = RequestAddress { id: leased.id.clone(), address: "203.0.113.9".to_owned(), options: None };
            self.refuses("refuses an address outside the pool", &outside, Verdict::Failed).await;
            self.succeeds("takes that pool back", &ReleasePool { id: leased.id }).await;
        }
    }
}
