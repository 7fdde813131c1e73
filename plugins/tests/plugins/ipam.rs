//! A plugin as an address manager: what it is asked, and what of its answers is believed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use trestle_core::ErrorKind;
use trestle_core::ipam::{AddressRequest, Family, Ipam, PoolRequest, Purpose};

use crate::landscape::Landscape;
use crate::scripted::{Heard, Scripted};

struct Case {
    _host: Landscape,
    plugin: Scripted,
    ipam: Arc<dyn Ipam>,
}

async fn case(script: impl Fn(&Heard) -> Option<Value> + Send + Sync + 'static) -> Case {
    let host = Landscape::new();
    let plugin = host.plugin("infoblox", move |heard| match heard.method.as_str() {
        "IpamDriver.GetDefaultAddressSpaces" => {
            Some(json!({"LocalDefaultAddressSpace": "here", "GlobalDefaultAddressSpace": "everywhere"}))
        }
        _ => script(heard),
    });
    let ipam = host.plugins.ipam("infoblox").await.unwrap();
    Case { _host: host, plugin, ipam }
}

impl Case {
    /// The bodies of the calls of this method.
    fn asked(&self, method: &str) -> Vec<Value> {
        let heard = self.plugin.heard();
        let of_method = heard.iter().filter(|heard| heard.method == format!("IpamDriver.{method}"));
        of_method.map(Heard::json).collect()
    }
}

fn pool(subnet: Option<&str>, avoid: &[&str]) -> PoolRequest {
    PoolRequest {
        family: Family::V4,
        subnet: subnet.map(|subnet| subnet.parse().unwrap()),
        range: None,
        avoid: avoid.iter().map(|net| net.parse().unwrap()).collect(),
        options: BTreeMap::new(),
    }
}

/// Every pool request gets the next of these, and from then on the last one.
fn offers(offers: &'static [(&'static str, &'static str)]) -> impl Fn(&Heard) -> Option<Value> + Send + Sync {
    let next = AtomicUsize::new(0);
    move |heard| {
        (heard.method == "IpamDriver.RequestPool").then(|| {
            let place = next.fetch_add(1, Ordering::SeqCst).min(offers.len() - 1);
            json!({"PoolID": offers[place].0, "Pool": offers[place].1})
        })
    }
}

#[tokio::test]
async fn pools_and_addresses_are_asked_for_as_docker_does() {
    let it = case(|heard| match heard.method.as_str() {
        "IpamDriver.GetCapabilities" => Some(json!({"RequiresMACAddress": true})),
        "IpamDriver.RequestPool" => {
            Some(json!({"PoolID": "p", "Pool": "10.0.0.0/24", "Data": {"com.docker.network.gateway": "10.0.0.254/24"}}))
        }
        "IpamDriver.RequestAddress" => {
            let wanted = heard.json()["Address"].as_str().unwrap().to_owned();
            Some(json!({"Address": format!("{}/24", if wanted.is_empty() { "10.0.0.7" } else { &wanted })}))
        }
        _ => None,
    })
    .await;
    let request = PoolRequest {
        range: Some("10.0.0.128/25".parse().unwrap()),
        options: BTreeMap::from([("colour".to_owned(), "red".to_owned())]),
        ..pool(Some("10.0.0.0/24"), &[])
    };
    let lease = it.ipam.request_pool(&request).await.unwrap();
    assert_eq!((lease.id.as_str(), lease.gateway), ("p", Some("10.0.0.254".parse().unwrap())));
    let purpose = Purpose::Endpoint { mac: "02:00:00:00:00:01".parse().unwrap(), name: "web".into() };
    for (wanted, purpose) in
        [(None, Purpose::Gateway), (Some("10.0.0.5".parse().unwrap()), Purpose::Auxiliary), (None, purpose)]
    {
        it.ipam.request_address("p", &AddressRequest { subnet: None, wanted, purpose }).await.unwrap();
    }
    it.ipam.release_address("p", "10.0.0.7".parse().unwrap()).await.unwrap();
    it.ipam.release_pool("p").await.unwrap();
    assert_eq!(
        it.asked("RequestPool"),
        [json!({"AddressSpace": "here", "Pool": "10.0.0.0/24", "SubPool": "10.0.0.128/25",
            "Options": {"colour": "red"}, "V6": false})]
    );
    assert_eq!(
        it.asked("RequestAddress"),
        [
            json!({"PoolID": "p", "Address": "", "Options": {"RequestAddressType": "com.docker.network.gateway"}}),
            json!({"PoolID": "p", "Address": "10.0.0.5", "Options": null}),
            json!({"PoolID": "p", "Address": "", "Options": {"com.docker.network.endpoint.name": "web",
                "com.docker.network.endpoint.macaddress": "02:00:00:00:00:01"}}),
        ]
    );
    assert_eq!(it.asked("ReleaseAddress"), [json!({"PoolID": "p", "Address": "10.0.0.7"})]);
    assert_eq!(it.asked("ReleasePool"), [json!({"PoolID": "p"})]);
}

#[tokio::test]
async fn pools_that_are_in_the_way_are_held_until_another_is_found_and_given_back() {
    let it = case(offers(&[("a", "10.0.0.0/24"), ("b", "10.0.1.0/24"), ("c", "10.0.2.0/24")])).await;
    let lease = it.ipam.request_pool(&pool(None, &["10.0.0.0/23"])).await.unwrap();
    assert_eq!(lease.id, "c");
    assert_eq!(it.asked("ReleasePool"), [json!({"PoolID": "a"}), json!({"PoolID": "b"})]);
    let methods = it.plugin.methods();
    let (last, first) = (
        methods.iter().rposition(|it| it.ends_with("RequestPool")),
        methods.iter().position(|it| it.ends_with("ReleasePool")),
    );
    assert!(last < first, "{methods:?}");
}

#[tokio::test]
async fn a_plugin_that_repeats_itself_is_asked_a_bounded_number_of_times() {
    for (offers, told, asked) in [
        (offers(&[("a", "10.0.0.0/24")]), "offers 10.0.0.0/24 again, which overlaps 10.0.0.0/8", 2),
        (offers(&[("a", "10.0.0.0/24"), ("b", "10.0.0.0/24")]), "again", 2),
    ] {
        let it = case(offers).await;
        let error = it.ipam.request_pool(&pool(None, &["10.0.0.0/8"])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted);
        assert!(error.to_string().contains(told), "{error}");
        assert_eq!(it.asked("RequestPool").len(), asked);
        let given: Vec<_> = it.asked("ReleasePool");
        assert!(given.contains(&json!({"PoolID": "a"})), "{given:?}");
    }
    let next = AtomicUsize::new(0);
    let it = case(move |heard| {
        (heard.method == "IpamDriver.RequestPool").then(|| {
            let next = next.fetch_add(1, Ordering::SeqCst);
            json!({"PoolID": format!("p{next}"), "Pool": format!("10.0.{next}.0/24")})
        })
    })
    .await;
    let error = it.ipam.request_pool(&pool(None, &["10.0.0.0/8"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert_eq!((it.asked("RequestPool").len(), it.asked("ReleasePool").len()), (16, 16));
}

#[tokio::test]
async fn a_pool_of_everything_is_in_nobody_s_way() {
    let it = case(offers(&[("none", "0.0.0.0/0")])).await;
    let lease = it.ipam.request_pool(&pool(None, &["10.0.0.0/8"])).await.unwrap();
    assert_eq!(lease.subnet.prefix_len(), 0);
}

#[tokio::test]
async fn pools_that_were_not_asked_for_are_refused_and_given_back() {
    for (wanted, answer, told) in [
        (Some("10.0.0.0/24"), json!({"PoolID": "p", "Pool": "10.0.1.0/24"}), "10.0.0.0/24 was asked for"),
        (None, json!({"PoolID": "p", "Pool": "fd00::/64"}), "the other family"),
        (None, json!({"PoolID": "p", "Pool": "10.0.0.0"}), "Pool is \"10.0.0.0\""),
        (None, json!({"PoolID": "p", "Pool": "127.0.0.0/8"}), "no network can have it"),
        (
            None,
            json!({"PoolID": "p", "Pool": "10.0.0.0/24", "Data": {"com.docker.network.gateway": "10.0.1.1/24"}}),
            "not in 10.0.0.0/24",
        ),
        (
            None,
            json!({"PoolID": "p", "Pool": "10.0.0.0/24", "Data": {"com.docker.network.gateway": "x"}}),
            "com.docker.network.gateway is \"x\"",
        ),
    ] {
        let it = case(move |heard| heard.method.ends_with("RequestPool").then(|| answer.clone())).await;
        let error = it.ipam.request_pool(&pool(wanted, &[])).await.unwrap_err().to_string();
        assert!(error.starts_with("plugin infoblox: IpamDriver.RequestPool: "), "{error}");
        assert!(error.contains(told) && error.ends_with("; rolled back"), "{error} should tell of {told}");
        assert_eq!(it.asked("ReleasePool"), [json!({"PoolID": "p"})]);
    }
    let it = case(|heard| heard.method.ends_with("RequestPool").then(|| json!({"Pool": "10.0.0.0/24"}))).await;
    let error = it.ipam.request_pool(&pool(None, &[])).await.unwrap_err().to_string();
    assert!(error.contains("PoolID is 0 bytes long"), "{error}");
    assert_eq!(it.asked("ReleasePool"), [json!(null); 0]);
}

#[tokio::test]
async fn addresses_that_can_t_be_are_refused_and_given_back() {
    for (wanted, answer, told) in [
        (None, "10.0.1.7/24", "not in the pool 10.0.0.0/24"),
        (None, "10.0.0.7/8", "more is on the link"),
        (Some("10.0.0.5"), "10.0.0.7/24", "10.0.0.5 was asked for"),
        (None, "10.0.0.0/24", "the network's own"),
        (None, "224.0.0.1/24", "no host can have it"),
    ] {
        let it = case(move |heard| match heard.method.as_str() {
            "IpamDriver.RequestPool" => Some(json!({"PoolID": "p", "Pool": "10.0.0.0/24"})),
            "IpamDriver.RequestAddress" => Some(json!({"Address": answer})),
            _ => None,
        })
        .await;
        it.ipam.request_pool(&pool(None, &[])).await.unwrap();
        let wanted = wanted.map(|wanted| wanted.parse().unwrap());
        let subnet = Some("10.0.0.0/24".parse().unwrap());
        let request = AddressRequest { subnet, wanted, purpose: Purpose::Gateway };
        let error = it.ipam.request_address("p", &request).await.unwrap_err().to_string();
        assert!(error.contains(told) && error.ends_with("; rolled back"), "{error} should tell of {told}");
        let (address, _) = answer.split_once('/').unwrap();
        assert_eq!(it.asked("ReleaseAddress"), [json!({"PoolID": "p", "Address": address})]);
    }
    let it = case(|_| None).await;
    let request = AddressRequest { subnet: None, wanted: None, purpose: Purpose::Gateway };
    let error = it.ipam.request_address("p", &request).await.unwrap_err().to_string();
    assert_eq!(error, "plugin infoblox: IpamDriver.RequestAddress: no address returned");
}
