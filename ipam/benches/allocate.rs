//! What it costs to lease an address and give it back, however full the pool is: `cargo bench -p trestle-ipam`.
//!
//! Times of a shared machine say little, so the run ends with each time as a ratio to that of an empty /16.
#![allow(missing_docs, reason = "criterion's macros")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use criterion::Criterion;
use ipnet::IpNet;
use tokio::runtime::{Builder, Runtime};
use trestle_core::ipam::{AddressRequest, Family, Ipam, PoolRequest, Purpose};
use trestle_ipam::{DefaultIpam, DefaultPools};

/// Addresses of a /16 that a host can bear.
const HOSTS: u32 = 65_534;

fn main() {
    let runtime = Builder::new_current_thread().build().expect("a runtime without drivers");
    let mut criterion = Criterion::default().configure_from_args();
    let means = RefCell::new(Vec::new());
    let mut measure = |name: &'static str, subnet: &str, leased: &mut dyn Iterator<Item = IpAddr>| {
        let (ipam, pool) = filled(&runtime, subnet, leased);
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let spent = runtime.block_on(lease_and_release(&ipam, &pool, rounds));
                means.borrow_mut().push((name, rounds, spent));
                spent
            });
        });
    };
    let v4 = |number: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a01_0000 + number));
    let v6 = |number: u128| IpAddr::from(Ipv6Addr::from_bits((0xfd00_0001u128 << 96) + number));
    measure("empty /16", "10.1.0.0/16", &mut std::iter::empty());
    // Every other address: as many gaps as there can be.
    measure("half-full /16", "10.1.0.0/16", &mut (1..=HOSTS).step_by(2).map(v4));
    measure("full-but-one /16", "10.1.0.0/16", &mut (1..=HOSTS).filter(|number| *number != 40_000).map(v4));
    measure("empty /64", "fd00:1::/64", &mut std::iter::empty());
    measure("/64 with 65,534 leased", "fd00:1::/64", &mut (1..=u128::from(HOSTS)).map(|number| v6(number * 2)));
    criterion.final_summary();
    tell_ratios(&means.into_inner());
}

/// A pool of which these addresses are leased.
fn filled(runtime: &Runtime, subnet: &str, leased: &mut dyn Iterator<Item = IpAddr>) -> (DefaultIpam, String) {
    let ipam = DefaultIpam::new(DefaultPools::new(Vec::new(), [0; 5]).expect("the defaults are right"));
    let subnet: IpNet = subnet.parse().expect("a subnet");
    let family = if subnet.addr().is_ipv4() { Family::V4 } else { Family::V6 };
    let request =
        PoolRequest { family, subnet: Some(subnet), range: None, avoid: Vec::new(), options: BTreeMap::new() };
    let pool = runtime.block_on(ipam.request_pool(&request)).expect("a free subnet").id;
    for address in leased {
        runtime.block_on(ipam.request_address(&pool, &endpoint(Some(address)))).expect("a free address");
    }
    (ipam, pool)
}

fn endpoint(wanted: Option<IpAddr>) -> AddressRequest {
    let purpose = Purpose::Endpoint { mac: "02:42:0a:01:00:02".parse().expect("a MAC address"), name: "web".into() };
    AddressRequest { subnet: None, wanted, purpose }
}

async fn lease_and_release(ipam: &DefaultIpam, pool: &str, rounds: u64) -> Duration {
    let request = endpoint(None);
    let start = Instant::now();
    for _ in 0..rounds {
        let leased = ipam.request_address(pool, &request).await.expect("one is free");
        ipam.release_address(pool, leased.addr()).await.expect("a release never fails");
    }
    start.elapsed()
}

fn tell_ratios(measured: &[(&'static str, u64, Duration)]) {
    // Without samples worth the name (`--test`), there is nothing to tell.
    let mean = |name: &str| {
        let of_it = measured.iter().filter(|(of, _, _)| *of == name);
        let (rounds, spent) =
            of_it.fold((0, Duration::ZERO), |sum, (_, rounds, spent)| (sum.0 + rounds, sum.1 + *spent));
        spent.as_nanos() as f64 / rounds as f64
    };
    let mut names: Vec<&str> = measured.iter().map(|(name, _, _)| *name).collect();
    names.dedup();
    for name in names {
        println!(
            "ratio to the empty /16: {:.2} ({name}, {:.0} ns a lease and release)",
            mean(name) / mean("empty /16"),
            mean(name)
        );
    }
}
