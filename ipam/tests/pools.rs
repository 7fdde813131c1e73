//! What pools promise.

#![allow(clippy::unwrap_used, reason = "tests")]

mod asking;

use asking::*;
use proptest::prelude::*;
use trestle_core::ErrorKind;
use trestle_core::ipam::{Family, Ipam, PoolRequest};
use trestle_ipam::{AddressPool, DefaultPools, NullIpam, SERIAL_OPTION};

fn chosen(ipam: &dyn Ipam, family: Family) -> String {
    pool(ipam, &unnamed(family)).unwrap().subnet.to_string()
}

#[test]
fn default_pools_are_dockers_and_a_unique_local_prefix() {
    let ipam = manager();
    let v4: Vec<String> = (0..31).map(|_| chosen(&ipam, Family::V4)).collect();
    assert_eq!(v4[..4], ["172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/16"]);
    assert_eq!(v4[14..17], ["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]);
    assert_eq!(v4[30], "192.168.240.0/20");
    let error = pool(&ipam, &unnamed(Family::V4)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert_eq!(chosen(&ipam, Family::V6), "fd12:3456:789a::/64");
    assert_eq!(chosen(&ipam, Family::V6), "fd12:3456:789a:1::/64");
}

#[test]
fn a_family_that_the_list_does_not_mention_keeps_its_pools() {
    let ipam = manager_with(&[("10.0.0.0/8", 24)]);
    assert_eq!(chosen(&ipam, Family::V4), "10.0.0.0/24");
    assert_eq!(chosen(&ipam, Family::V6), "fd12:3456:789a::/64");
    let ipam = manager_with(&[("2001:db8::/32", 64)]);
    assert_eq!(chosen(&ipam, Family::V4), "172.17.0.0/16");
    assert_eq!(chosen(&ipam, Family::V6), "2001:db8::/64");
}

#[test]
fn default_pools_that_make_no_sense_are_refused_by_name() {
    let refused = |pools: &[(&str, u8)]| {
        let given = pools.iter().map(|(base, size)| AddressPool { base: net(base), size: *size }).collect();
        let error = DefaultPools::new(given, GLOBAL_ID).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    };
    assert_eq!(refused(&[("10.1.0.0/8", 24)]), "10.1.0.0/8 has bits set behind its prefix; did you mean 10.0.0.0/8?");
    assert_eq!(refused(&[("10.0.0.0/24", 16)]), "the address pool 10.0.0.0/24 is too small to hold a subnet of /16");
    assert_eq!(refused(&[("10.0.0.0/8", 64)]), "the address pool 10.0.0.0/8: there is no /64, the longest is /32");
    assert_eq!(
        refused(&[("10.0.0.0/8", 24), ("10.9.0.0/16", 24)]),
        "the address pools 10.0.0.0/8 and 10.9.0.0/16 overlap"
    );
    assert_eq!(refused(&[("127.0.0.0/8", 24)]), "127.0.0.0/8 reaches into 127.0.0.0/8, the loopback addresses");
}

#[test]
fn a_chosen_pool_keeps_clear_of_the_host_and_of_pools() {
    let ipam = manager();
    pool(&ipam, &subnet("172.18.5.0/24")).unwrap();
    let avoid = vec![net("172.17.0.1/32"), net("172.16.0.0/12"), net("192.168.0.0/19"), net("fd00::/8")];
    let request = PoolRequest { avoid, ..unnamed(Family::V4) };
    assert_eq!(pool(&ipam, &request).unwrap().subnet, net("192.168.32.0/20"));
    assert_eq!(chosen(&ipam, Family::V4), "192.168.48.0/20", "the round goes on");
    let request = PoolRequest { family: Family::V6, ..request };
    assert_eq!(pool(&ipam, &request).unwrap_err().kind(), ErrorKind::Exhausted);
}

#[test]
fn a_pool_that_was_only_asked_for_is_the_next_one_still() {
    let ipam = manager();
    assert_eq!(chosen(&ipam, Family::V4), "172.17.0.0/16");
    for _ in 0..3 {
        for (family, expected) in [(Family::V4, "172.18.0.0/16"), (Family::V6, "fd12:3456:789a::/64")] {
            assert_eq!(chosen(&ipam, family), expected);
            now(ipam.cancel_pool(expected)).unwrap();
        }
    }
    pool(&ipam, &subnet("10.0.0.0/24")).unwrap();
    now(ipam.cancel_pool("10.0.0.0/24")).unwrap();
    now(ipam.release_pool("172.17.0.0/16")).unwrap();
    assert_eq!(chosen(&ipam, Family::V4), "172.18.0.0/16", "and what was released comes last still");
}

#[test]
fn a_released_pool_comes_back_last() {
    let ipam = manager_with(&[("10.0.0.0/22", 24)]);
    let first = chosen(&ipam, Family::V4);
    now(ipam.release_pool(&first)).unwrap();
    let others: Vec<String> = (0..3).map(|_| chosen(&ipam, Family::V4)).collect();
    assert_eq!(others, ["10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"]);
    assert_eq!(chosen(&ipam, Family::V4), first);
    assert_eq!(pool(&ipam, &unnamed(Family::V4)).unwrap_err().kind(), ErrorKind::Exhausted);
}

#[test]
fn a_named_pool_that_is_released_is_not_chosen_next() {
    let ipam = manager_with(&[("10.0.0.0/23", 24)]);
    let named = pool(&ipam, &subnet("10.0.0.0/24")).unwrap();
    now(ipam.release_pool(&named.id)).unwrap();
    assert_eq!(chosen(&ipam, Family::V4), "10.0.1.0/24");
    assert_eq!(chosen(&ipam, Family::V4), "10.0.0.0/24", "for want of another");
}

#[test]
fn overlapping_subnets_are_a_conflict_that_names_the_other() {
    let ipam = manager();
    pool(&ipam, &subnet("10.1.0.0/16")).unwrap();
    for wanted in ["10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/8"] {
        let error = pool(&ipam, &subnet(wanted)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.to_string(), format!("{wanted} overlaps the pool 10.1.0.0/16, which is in use"));
    }
    now(ipam.release_pool("10.1.0.0/16")).unwrap();
    pool(&ipam, &subnet("10.1.2.0/24")).unwrap();
}

#[test]
fn what_can_not_be_a_subnet_is_invalid_and_says_why() {
    let ipam = manager();
    for (wanted, why) in [
        ("0.0.0.0/0", "is every address there is"),
        ("::/0", "is every address there is"),
        ("10.0.0.1/24", "did you mean 10.0.0.0/24?"),
        ("224.0.0.0/24", "multicast"),
        ("ff02::/64", "multicast"),
        ("127.5.0.0/16", "loopback"),
        ("::1/128", "loopback"),
        ("169.254.1.0/24", "link-local"),
        ("fe80::/64", "link-local"),
        ("192.0.0.0/2", "multicast"),
        ("::ffff:10.0.0.0/120", "IPv4 addresses"),
    ] {
        let error = pool(&ipam, &subnet(wanted)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wanted}");
        assert!(error.to_string().contains(why), "{wanted}: {error}");
    }
}

#[test]
fn a_subnet_of_the_other_family_is_invalid() {
    let request = PoolRequest { family: Family::V6, ..subnet("10.0.0.0/24") };
    assert_eq!(pool(&manager(), &request).unwrap_err().to_string(), "10.0.0.0/24 is not an IPv6 subnet");
}

#[test]
fn a_range_lies_in_its_subnet() {
    let ipam = manager();
    for (range, why) in [
        (net("10.2.0.0/24"), "is not in the subnet 10.1.0.0/24"),
        (net("10.0.0.0/8"), "is not in the subnet 10.1.0.0/24"),
        (net("fd00::/64"), "is not in the subnet 10.1.0.0/24"),
        (net("10.1.0.9/25"), "did you mean 10.1.0.0/25?"),
        (net("10.1.0.255/32"), "is the broadcast address"),
    ] {
        let request = PoolRequest { range: Some(range), ..subnet("10.1.0.0/24") };
        let error = pool(&ipam, &request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(why), "{error}");
    }
    let request = PoolRequest { range: Some(net("10.1.0.0/25")), ..unnamed(Family::V4) };
    assert_eq!(pool(&ipam, &request).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn an_unspecified_subnet_asks_for_a_length() {
    let ipam = manager();
    assert_eq!(pool(&ipam, &subnet("0.0.0.0/24")).unwrap().subnet, net("172.17.0.0/24"));
    assert_eq!(pool(&ipam, &subnet("0.0.0.0/15")).unwrap().subnet, net("172.20.0.0/15"));
    assert_eq!(pool(&ipam, &subnet("::/56")).unwrap().subnet, net("fd12:3456:789a::/56"));
    let error = pool(&ipam, &subnet("0.0.0.0/8")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
}

#[test]
fn unknown_options_are_refused_by_name() {
    let ipam = manager();
    let mut request = unnamed(Family::V4);
    request.options.insert(SERIAL_OPTION.into(), "true".into());
    pool(&ipam, &request).unwrap();
    request.options.insert("colour".into(), "green".into());
    let error = pool(&ipam, &request).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("\"colour\"")), (ErrorKind::Invalid, true));
}

#[test]
fn the_null_manager_has_no_addresses_and_refuses_wishes() {
    let empty = pool(&NullIpam, &unnamed(Family::V4)).unwrap();
    assert_eq!(empty.subnet, net("0.0.0.0/0"));
    assert_eq!(pool(&NullIpam, &subnet("10.0.0.0/24")).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(next(&NullIpam, &empty.id).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(wish(&NullIpam, &empty.id, ip("10.0.0.2")).unwrap_err().kind(), ErrorKind::Invalid);
}

fn pool_request() -> impl Strategy<Value = PoolRequest> {
    let within = || (0u32..16, 22u8..=26).prop_map(|(step, length)| net(&format!("10.0.{step}.0/{length}")).trunc());
    (prop::option::weighted(0.4, within()), prop::collection::vec(within(), 0..3))
        .prop_map(|(subnet, avoid)| PoolRequest { subnet, avoid, ..unnamed(Family::V4) })
}

proptest! {
    #[test]
    fn pools_never_overlap_and_none_is_refused_that_is_free(
        steps in prop::collection::vec((pool_request(), any::<prop::sample::Index>(), any::<bool>()), 1..60),
    ) {
        let ipam = manager_with(&[("10.0.0.0/21", 24), ("10.0.8.0/21", 23)]);
        let overlap = |one: &ipnet::IpNet, other: &ipnet::IpNet| one.contains(other) || other.contains(one);
        let candidates: Vec<ipnet::IpNet> = net("10.0.0.0/21").subnets(24).unwrap()
            .chain(net("10.0.8.0/21").subnets(23).unwrap()).collect();
        let mut leased: Vec<ipnet::IpNet> = Vec::new();
        for (request, index, release) in steps {
            if release && !leased.is_empty() {
                let subnet = leased.remove(index.index(leased.len()));
                now(ipam.release_pool(&subnet.to_string())).unwrap();
                continue;
            }
            let free = |candidate: &ipnet::IpNet| !leased.iter().any(|it| overlap(it, candidate));
            match pool(&ipam, &request) {
                Ok(lease) => {
                    prop_assert!(free(&lease.subnet));
                    match request.subnet {
                        Some(wanted) => prop_assert_eq!(lease.subnet, wanted),
                        None => prop_assert!(!request.avoid.iter().any(|it| overlap(it, &lease.subnet))),
                    }
                    leased.push(lease.subnet);
                }
                Err(error) => match request.subnet {
                    Some(wanted) => prop_assert!(!free(&wanted), "{error}"),
                    None => prop_assert!(
                        !candidates.iter().any(|it| free(it) && !request.avoid.iter().any(|other| overlap(it, other))),
                        "{error}"
                    ),
                },
            }
        }
    }
}
