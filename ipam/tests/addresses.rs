//! What addresses promise.

#![allow(clippy::unwrap_used, reason = "tests")]

mod asking;

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use asking::*;
use proptest::prelude::*;
use trestle_core::ErrorKind;
use trestle_core::ipam::{AddressRequest, Ipam, PoolRequest, Purpose};
use trestle_ipam::DefaultIpam;

fn with_pool(text: &str, range: Option<&str>) -> (DefaultIpam, String) {
    let ipam = manager();
    let lease = pool(&ipam, &PoolRequest { range: range.map(net), ..subnet(text) }).unwrap();
    (ipam, lease.id)
}

#[test]
fn an_address_has_the_length_of_its_subnet() {
    let (ipam, pool) = with_pool("10.1.0.0/20", None);
    assert_eq!(now(ipam.request_address(&pool, &endpoint(None))).unwrap(), net("10.1.0.1/20"));
}

#[test]
fn a_gateway_is_the_lowest_of_the_subnet_and_an_endpoint_is_in_the_range() {
    let (ipam, pool) = with_pool("10.1.0.0/24", Some("10.1.0.128/25"));
    assert_eq!(gateway(&ipam, &pool).unwrap(), ip("10.1.0.1"));
    assert_eq!(next(&ipam, &pool).unwrap(), ip("10.1.0.128"));
    assert_eq!(next(&ipam, &pool).unwrap(), ip("10.1.0.129"));
    let (ipam, pool) = with_pool("fd00:1::/64", None);
    assert_eq!(gateway(&ipam, &pool).unwrap(), ip("fd00:1::1"));
    assert_eq!(next(&ipam, &pool).unwrap(), ip("fd00:1::2"));
}

#[test]
fn a_wish_may_lie_outside_the_range() {
    let (ipam, pool) = with_pool("10.1.0.0/24", Some("10.1.0.128/25"));
    assert_eq!(wish(&ipam, &pool, ip("10.1.0.7")).unwrap(), ip("10.1.0.7"));
}

#[test]
fn the_network_and_the_broadcast_address_are_never_given() {
    let (ipam, pool) = with_pool("10.1.0.0/29", None);
    let given: Vec<IpAddr> = (0..6).map(|_| next(&ipam, &pool).unwrap()).collect();
    assert_eq!((given[0], given[5]), (ip("10.1.0.1"), ip("10.1.0.6")));
    let error = next(&ipam, &pool).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert_eq!(error.to_string(), "every address of 10.1.0.0/29 from 10.1.0.1 to 10.1.0.6 is in use");
    for (wanted, why) in [("10.1.0.0", "the network address"), ("10.1.0.7", "the broadcast address")] {
        let error = wish(&ipam, &pool, ip(wanted)).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains(why)), (ErrorKind::Invalid, true), "{error}");
    }
    let (ipam, pool) = with_pool("fd00:1::/64", None);
    assert!(wish(&ipam, &pool, ip("fd00:1::")).unwrap_err().to_string().contains("anycast"));
}

#[test]
fn point_to_point_subnets_and_single_hosts_use_every_address() {
    for (subnet, expected) in [
        ("10.1.0.0/31", &["10.1.0.0", "10.1.0.1"][..]),
        ("10.1.0.5/32", &["10.1.0.5"]),
        ("fd00:1::/127", &["fd00:1::", "fd00:1::1"]),
        ("fd00:1::5/128", &["fd00:1::5"]),
    ] {
        let (ipam, pool) = with_pool(subnet, None);
        for address in expected {
            assert_eq!(next(&ipam, &pool).unwrap(), ip(address), "{subnet}");
        }
        assert_eq!(next(&ipam, &pool).unwrap_err().kind(), ErrorKind::Exhausted, "{subnet}");
    }
}

#[test]
fn released_addresses_come_back_after_all_others() {
    let (ipam, pool) = with_pool("10.1.0.0/28", None);
    let released = [next(&ipam, &pool).unwrap(), next(&ipam, &pool).unwrap()];
    released.iter().for_each(|address| release(&ipam, &pool, *address));
    let others: HashSet<IpAddr> = (0..12).map(|_| next(&ipam, &pool).unwrap()).collect();
    assert_eq!(others.len(), 12);
    assert!(released.iter().all(|address| !others.contains(address)));
    assert_eq!([next(&ipam, &pool).unwrap(), next(&ipam, &pool).unwrap()], released);
}

#[test]
fn a_wish_that_is_released_is_not_given_next() {
    let (ipam, pool) = with_pool("10.1.0.0/29", None);
    wish(&ipam, &pool, ip("10.1.0.1")).unwrap();
    release(&ipam, &pool, ip("10.1.0.1"));
    assert_eq!(next(&ipam, &pool).unwrap(), ip("10.1.0.2"));
}

#[test]
fn the_address_released_last_is_given_when_it_is_the_only_one() {
    let (ipam, pool) = with_pool("10.1.0.0/30", None);
    let (first, _) = (next(&ipam, &pool).unwrap(), next(&ipam, &pool).unwrap());
    release(&ipam, &pool, first);
    assert_eq!(next(&ipam, &pool).unwrap(), first);
}

#[test]
fn refusals_have_their_kind() {
    let (ipam, pool) = with_pool("10.1.0.0/24", None);
    wish(&ipam, &pool, ip("10.1.0.9")).unwrap();
    let kind = |result: trestle_core::Result<IpAddr>| result.unwrap_err().kind();
    assert_eq!(kind(wish(&ipam, &pool, ip("10.1.0.9"))), ErrorKind::Conflict);
    assert_eq!(kind(wish(&ipam, &pool, ip("10.2.0.9"))), ErrorKind::Invalid);
    assert_eq!(kind(wish(&ipam, &pool, ip("fd00::9"))), ErrorKind::Invalid);
    assert_eq!(kind(next(&ipam, "10.2.0.0/24")), ErrorKind::NotFound);
    let nameless = AddressRequest { subnet: None, wanted: None, purpose: Purpose::Auxiliary };
    assert_eq!(now(ipam.request_address(&pool, &nameless)).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn giving_back_what_is_unknown_is_no_error() {
    let (ipam, pool) = with_pool("10.1.0.0/24", None);
    for (pool, address) in [(pool.as_str(), "10.1.0.9"), (&pool, "10.2.0.9"), (&pool, "fd00::9"), ("else", "10.1.0.9")]
    {
        release(&ipam, pool, ip(address));
    }
    now(ipam.release_pool("else")).unwrap();
}

#[test]
fn asking_again_for_what_was_stored_restores_it() {
    let (ipam, id) = with_pool("10.1.0.0/24", Some("10.1.0.128/25"));
    let stored = [gateway(&ipam, &id).unwrap(), next(&ipam, &id).unwrap(), wish(&ipam, &id, ip("10.1.0.50")).unwrap()];
    assert!(ipam.needs_replay());
    let (restored, again) = with_pool("10.1.0.0/24", Some("10.1.0.128/25"));
    assert_eq!(again, id);
    for address in stored {
        assert_eq!(wish(&restored, &again, address).unwrap(), address);
    }
    for address in stored {
        assert_eq!(wish(&restored, &again, address).unwrap_err().kind(), ErrorKind::Conflict);
    }
    assert!(!stored.contains(&next(&restored, &again).unwrap()));
}

#[test]
fn requests_at_the_same_time_never_get_the_same() {
    let (ipam, pool) = with_pool("10.1.0.0/22", None);
    let (ipam, pool) = (Arc::new(ipam), Arc::new(pool));
    let askers: Vec<_> = (0..4)
        .map(|_| {
            let (ipam, pool) = (ipam.clone(), pool.clone());
            std::thread::spawn(move || (0..255).map(|_| next(&*ipam, &pool).unwrap()).collect::<Vec<_>>())
        })
        .collect();
    let given: Vec<IpAddr> = askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect();
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), 1020);
}

#[derive(Clone, Debug)]
enum Step {
    Next,
    Gateway,
    Wish(u128),
    Release(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Next),
        1 => Just(Step::Gateway),
        2 => (0u128..40).prop_map(Step::Wish),
        3 => any::<prop::sample::Index>().prop_map(Step::Release),
    ]
}

/// A subnet, its range, and the addresses that each may give.
fn shapes() -> impl Strategy<Value = (&'static str, Option<&'static str>, std::ops::Range<u128>, std::ops::Range<u128>)>
{
    prop_oneof![
        Just(("10.1.0.0/28", None, 1..15, 1..15)),
        Just(("10.1.0.0/27", Some("10.1.0.8/29"), 1..31, 8..16)),
        Just(("10.1.0.0/31", None, 0..2, 0..2)),
        Just(("fd00:1::/124", None, 1..16, 1..16)),
        Just(("fd00:1::/64", Some("fd00:1::10/125"), 1..1 << 64, 16..24)),
    ]
}

proptest! {
    #[test]
    fn leases_agree_with_a_plain_set(shape in shapes(), steps in prop::collection::vec(step(), 1..120)) {
        let (subnet, range_text, usable, range) = shape;
        let (ipam, pool) = with_pool(subnet, range_text);
        let base = match net(subnet).network() {
            IpAddr::V4(it) => u128::from(it.to_bits()),
            IpAddr::V6(it) => it.to_bits(),
        };
        let offset = |address: IpAddr| match address {
            IpAddr::V4(it) => u128::from(it.to_bits()) - base,
            IpAddr::V6(it) => it.to_bits() - base,
        };
        let address = |offset: u128| -> IpAddr {
            if base > u128::from(u32::MAX) { std::net::Ipv6Addr::from_bits(base + offset).into() }
            else { std::net::Ipv4Addr::from_bits(u32::try_from(base + offset).unwrap()).into() }
        };
        let mut leased = BTreeSet::new();
        let mut last_released = None;
        for step in steps {
            match step {
                Step::Next => {
                    let free: Vec<u128> = range.clone().filter(|it| !leased.contains(it)).collect();
                    match next(&ipam, &pool) {
                        Ok(given) => {
                            prop_assert!(free.contains(&offset(given)));
                            prop_assert!(free.len() == 1 || last_released != Some(offset(given)));
                            leased.insert(offset(given));
                        }
                        Err(error) => {
                            prop_assert_eq!(error.kind(), ErrorKind::Exhausted);
                            prop_assert!(free.is_empty());
                        }
                    }
                }
                Step::Gateway => {
                    let lowest = usable.clone().find(|it| !leased.contains(it));
                    prop_assert_eq!(gateway(&ipam, &pool).ok().map(offset), lowest);
                    leased.extend(lowest);
                }
                Step::Wish(wanted) => {
                    let expected = if !net(subnet).contains(&address(wanted)) || !usable.contains(&wanted) {
                        Err(ErrorKind::Invalid)
                    } else if leased.contains(&wanted) {
                        Err(ErrorKind::Conflict)
                    } else {
                        Ok(wanted)
                    };
                    let given = wish(&ipam, &pool, address(wanted));
                    prop_assert_eq!(given.map(offset).map_err(|error| error.kind()), expected);
                    leased.extend(expected);
                }
                Step::Release(index) if !leased.is_empty() => {
                    let gone = *leased.iter().nth(index.index(leased.len())).unwrap();
                    release(&ipam, &pool, address(gone));
                    leased.remove(&gone);
                    last_released = Some(gone);
                }
                Step::Release(_) => {}
            }
        }

        for gone in std::mem::take(&mut leased) {
            release(&ipam, &pool, address(gone));
        }
        let given: BTreeSet<u128> = range.clone().map(|_| offset(next(&ipam, &pool).unwrap())).collect();
        prop_assert_eq!(given, range.collect::<BTreeSet<_>>(), "all released, the pool is as new");
    }

    #[test]
    fn what_was_only_asked_for_leaves_no_trace(
        shape in shapes(),
        steps in prop::collection::vec((step(), prop::option::of(step())), 1..80),
    ) {
        let (subnet, range, ..) = shape;
        let ((asked, pool), (untouched, _)) = (with_pool(subnet, range), with_pool(subnet, range));
        let base = net(subnet).network();
        let address = |offset: u128| match base {
            IpAddr::V4(it) => IpAddr::from((it.to_bits() + u32::try_from(offset).unwrap()).to_be_bytes()),
            IpAddr::V6(it) => IpAddr::from((it.to_bits() + offset).to_be_bytes()),
        };
        let request = |ipam: &DefaultIpam, step: &Step| match step {
            Step::Next => next(ipam, &pool).map_err(|error| error.kind()),
            Step::Gateway => gateway(ipam, &pool).map_err(|error| error.kind()),
            Step::Wish(wanted) => wish(ipam, &pool, address(*wanted)).map_err(|error| error.kind()),
            Step::Release(_) => Err(ErrorKind::NotFound),
        };
        let mut leased = Vec::new();
        for (step, dry_run) in steps {
            if let Some(Ok(given)) = dry_run.as_ref().map(|dry_run| request(&asked, dry_run)) {
                cancel(&asked, &pool, given);
            }
            match step {
                Step::Release(index) if !leased.is_empty() => {
                    let gone = leased.swap_remove(index.index(leased.len()));
                    release(&asked, &pool, gone);
                    release(&untouched, &pool, gone);
                }
                step => {
                    let given = request(&asked, &step);
                    prop_assert_eq!(&given, &request(&untouched, &step));
                    leased.extend(given);
                }
            }
        }
    }
}
