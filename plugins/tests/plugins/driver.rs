//! A plugin as a network driver: what it is told, and what of its answers is believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use trestle_core::ErrorKind;
use trestle_core::driver::{Driver, Joined, Slot};
use trestle_core::endpoint::Endpoint;
use trestle_core::facts::Facts;
use trestle_core::network::Network;
use trestle_core::port::PortBinding;
use trestle_core::resource::Namespace;

use crate::landscape::Landscape;
use crate::scripted::{Heard, Reaction, Scripted, status};
use crate::subjects;

struct Case {
    host: Landscape,
    plugin: Scripted,
    driver: Arc<dyn Driver>,
    network: Network,
    endpoint: Endpoint,
}

async fn case(script: impl Fn(&Heard) -> Option<Value> + Send + Sync + 'static) -> Case {
    let host = Landscape::new();
    let plugin = host.plugin("weave", script);
    started(host, plugin).await
}

async fn started(host: Landscape, plugin: Scripted) -> Case {
    let driver = host.plugins.driver("weave").await.unwrap();
    let network = subjects::network();
    Case { endpoint: subjects::endpoint(&network), host, plugin, driver, network }
}

fn slot() -> Slot {
    Slot { namespace: Namespace::At("/run/netns/1".into()), interface: "eth0".try_into().unwrap() }
}

impl Case {
    /// What the plugin was asked since the handshake.
    fn asked(&self) -> Vec<(String, Value)> {
        let after = |heard: &Heard| !heard.method.ends_with("GetCapabilities") && heard.method != "Plugin.Activate";
        self.plugin.heard().iter().filter(|it| after(it)).map(|it| (it.method.clone(), it.json())).collect()
    }

    fn methods(&self) -> Vec<String> {
        self.asked().into_iter().map(|(method, _)| method.replace("NetworkDriver.", "")).collect()
    }
}

#[tokio::test]
async fn the_life_of_an_endpoint_is_told_call_by_call() {
    let mut it = case(|_| None).await;
    it.network.options.insert("colour".into(), "red".into());
    it.network.pools[0].auxiliary.insert("printer".into(), "10.0.0.5".parse().unwrap());
    it.endpoint.wanted = vec!["8080:80/tcp".parse().unwrap()];
    let Case { driver, network, endpoint, .. } = &it;
    assert!(driver.create_network(network, &Facts::default()).await.unwrap().is_empty());
    driver.create_endpoint(network, endpoint).await.unwrap();
    assert_eq!(driver.join(network, endpoint, &slot()).await.unwrap(), Joined::default());
    let bound = PortBinding {
        protocol: "tcp".parse().unwrap(),
        address: None,
        host: Some("8080".parse().unwrap()),
        container: "80".parse().unwrap(),
    };
    driver.publish(network, endpoint, &[bound]).await.unwrap();
    driver.leave(network, endpoint).await.unwrap();
    driver.delete_endpoint(network, endpoint).await.unwrap();
    driver.delete_network(network).await.unwrap();

    let place = json!({"NetworkID": "a".repeat(64), "EndpointID": "b".repeat(64)});
    let with = |more: Value| {
        let mut whole = place.clone();
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole
    };
    let pool = |subnet: &str, gateway: &str, aux: Value| {
        let mut pool = json!({"AddressSpace": "LocalDefault", "Pool": subnet, "Gateway": gateway});
        pool.as_object_mut().unwrap().extend(aux.as_object().unwrap().clone());
        pool
    };
    let mapping =
        |last: u16| json!([{"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": last}]);
    let sandbox = json!({"com.docker.network.portmap": mapping(8080), "com.docker.network.endpoint.exposedports": []});
    let expected = [
        (
            "CreateNetwork",
            json!({"NetworkID": "a".repeat(64),
            "Options": {"com.docker.network.enable_ipv4": true, "com.docker.network.enable_ipv6": true,
                "com.docker.network.generic": {"colour": "red"}},
            "IPv4Data": [pool("10.0.0.0/24", "10.0.0.1/24", json!({"AuxAddresses": {"printer": "10.0.0.5/24"}}))],
            "IPv6Data": [pool("fd00::/64", "fd00::1/64", json!({}))]}),
        ),
        (
            "CreateEndpoint",
            with(json!({"Options": sandbox,
            "Interface": {"Address": "10.0.0.2/24", "AddressIPv6": "fd00::2/64", "MacAddress": ""}})),
        ),
        ("Join", with(json!({"Options": sandbox, "SandboxKey": "/run/netns/1"}))),
        ("ProgramExternalConnectivity", with(json!({"Options": sandbox}))),
        ("RevokeExternalConnectivity", place.clone()),
        ("Leave", place.clone()),
        ("DeleteEndpoint", place.clone()),
        ("DeleteNetwork", json!({"NetworkID": "a".repeat(64)})),
    ];
    let expected = expected.map(|(method, body)| (format!("NetworkDriver.{method}"), body));
    assert_eq!(it.asked(), expected);
}

#[tokio::test]
async fn an_internal_network_says_so() {
    let mut it = case(|_| None).await;
    it.network.internal = true;
    it.driver.create_network(&it.network, &Facts::default()).await.unwrap();
    assert_eq!(it.asked()[0].1["Options"]["com.docker.network.internal"], true);
}

#[tokio::test]
async fn a_plugin_may_choose_what_is_open() {
    let mut it = case(|heard| {
        (heard.method == "NetworkDriver.CreateEndpoint").then(
            || json!({"Interface": {"Address": "10.0.0.9/24", "AddressIPv6": null, "MacAddress": "02:00:00:00:00:09"}}),
        )
    })
    .await;
    it.endpoint.lease = None;
    let chosen = it.driver.create_endpoint(&it.network, &it.endpoint).await.unwrap();
    assert_eq!(chosen.mac, Some("02:00:00:00:00:09".parse().unwrap()));
    assert_eq!(chosen.lease.unwrap().v4, Some("10.0.0.9/24".parse().unwrap()));
}

#[tokio::test]
async fn what_a_plugin_may_not_choose_is_refused_and_rolled_back() {
    let answer = |field: &str, value: &str| json!({"Interface": {field: value}});
    for (given, answer, told) in [
        (true, answer("Address", "10.0.0.9/24"), "driver modified interface address"),
        (true, answer("AddressIPv6", "fd00::9/64"), "driver modified interface address"),
        (true, answer("MacAddress", "02:00:00:00:00:09"), "driver modified interface MAC address"),
        (false, answer("Address", "192.0.2.9/24"), "in no subnet of network front"),
        (false, answer("Address", "10.0.0.9/8"), "in no subnet of network front"),
        (false, answer("Address", "10.0.0.9"), "Address is \"10.0.0.9\""),
        (false, answer("Address", "fd00::9/64"), "Address is"),
        (false, answer("AddressIPv6", "::1/128"), "AddressIPv6 is"),
        (false, answer("MacAddress", "ff:ff:ff:ff:ff:ff"), "multicast"),
        (false, answer("MacAddress", "hardly"), "MacAddress is \"hardly\""),
        (false, json!({"Interface": 7}), "invalid type"),
    ] {
        let mut it = case(move |heard| heard.method.ends_with("CreateEndpoint").then(|| answer.clone())).await;
        match given {
            true => {
                it.endpoint
                    .options
                    .insert("com.docker.network.endpoint.macaddress".into(), it.endpoint.mac.to_string());
            }
            false => it.endpoint.lease = None,
        }
        let error = it.driver.create_endpoint(&it.network, &it.endpoint).await.unwrap_err().to_string();
        assert!(error.starts_with("plugin weave: NetworkDriver.CreateEndpoint: "), "{error}");
        assert!(error.contains(told) && error.ends_with("; rolled back"), "{error} should tell of {told}");
        assert_eq!(it.methods(), ["CreateEndpoint", "DeleteEndpoint"]);
    }
}

#[tokio::test]
async fn a_roll_back_that_fails_is_told_and_kept() {
    let it = case(|heard| match heard.method.as_str() {
        "NetworkDriver.CreateEndpoint" => Some(json!({"Interface": {"Address": "10.0.0.9/24"}})),
        "NetworkDriver.DeleteEndpoint" => Some(json!({"Err": "busy"})),
        _ => None,
    })
    .await;
    let error = it.driver.create_endpoint(&it.network, &it.endpoint).await.unwrap_err().to_string();
    assert!(error.ends_with("; failed to roll back: remote: busy"), "{error}");
    let [debt] = &it.host.plugins.inspect("weave").await.unwrap().owes[..] else { panic!("one thing is owed") };
    assert_eq!((debt.method.as_str(), debt.tries), ("NetworkDriver.DeleteEndpoint", 1));
    assert_eq!(debt.of, "b".repeat(64));
}

#[tokio::test]
async fn a_refused_endpoint_needs_no_roll_back() {
    let it = case(|heard| heard.method.ends_with("CreateEndpoint").then(|| json!({"Err": "full"}))).await;
    let error = it.driver.create_endpoint(&it.network, &it.endpoint).await.unwrap_err().to_string();
    assert_eq!(error, "plugin weave: NetworkDriver.CreateEndpoint: remote: full");
    assert_eq!(it.methods(), ["CreateEndpoint"]);
}

#[tokio::test]
async fn a_join_that_can_t_be_used_is_left_again_and_only_once() {
    let it = case(|heard| {
        heard.method.ends_with(".Join").then(|| json!({"InterfaceName": {"SrcName": "a/b", "DstPrefix": "eth"}}))
    })
    .await;
    let error = it.driver.join(&it.network, &it.endpoint, &slot()).await.unwrap_err().to_string();
    assert!(error.starts_with("plugin weave: NetworkDriver.Join: SrcName is \"a/b\""), "{error}");
    assert!(error.ends_with("; rolled back"), "{error}");
    it.driver.leave(&it.network, &it.endpoint).await.unwrap();
    assert_eq!(it.methods(), ["Join", "Leave"]);
}

#[tokio::test]
async fn who_was_refused_to_join_is_not_asked_to_leave() {
    let it = case(|heard| heard.method.ends_with(".Join").then(|| json!({"Err": "no"}))).await;
    it.driver.join(&it.network, &it.endpoint, &slot()).await.unwrap_err();
    it.driver.leave(&it.network, &it.endpoint).await.unwrap();
    assert_eq!(it.methods(), ["Join"]);
}

#[tokio::test]
async fn who_left_need_not_leave_again_until_it_joined() {
    let it = case(|_| None).await;
    for _ in 0..2 {
        it.driver.join(&it.network, &it.endpoint, &slot()).await.unwrap();
        it.driver.leave(&it.network, &it.endpoint).await.unwrap();
        it.driver.leave(&it.network, &it.endpoint).await.unwrap();
    }
    let once = ["Join", "RevokeExternalConnectivity", "Leave"];
    assert_eq!(it.methods(), [once, once].concat());
}

#[tokio::test]
async fn a_plugin_that_was_killed_in_a_join_is_asked_to_leave() {
    let host = Landscape::new();
    let joins = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&joins);
    let plugin = host.reacting("weave", move |_, heard| match heard.method.as_str() {
        "NetworkDriver.Join" => {
            count.fetch_add(1, Ordering::SeqCst);
            Reaction::Raw(Vec::new())
        }
        _ => Reaction::Say("{}".into()),
    });
    let it = started(host, plugin).await;
    let error = it.driver.join(&it.network, &it.endpoint, &slot()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(joins.load(Ordering::SeqCst), 2, "tries are bounded");
    it.driver.leave(&it.network, &it.endpoint).await.unwrap();
    assert_eq!(it.methods(), ["Join", "Join", "RevokeExternalConnectivity", "Leave"]);
}

#[tokio::test]
async fn a_plugin_need_not_know_of_ways_out() {
    let host = Landscape::new();
    let plugin = host.reacting("weave", |_, heard| match heard.method.contains("ExternalConnectivity") {
        true => Reaction::Raw(status("404 Not Found", "404 page not found")),
        false => Reaction::Say("{}".into()),
    });
    let it = started(host, plugin).await;
    it.driver.publish(&it.network, &it.endpoint, &[]).await.unwrap();
    it.driver.leave(&it.network, &it.endpoint).await.unwrap();
}

#[tokio::test]
async fn failed_deletes_are_seen_until_they_succeed() {
    let tries = AtomicUsize::new(0);
    let it = case(move |heard| {
        let fails = heard.method.ends_with("DeleteNetwork") && tries.fetch_add(1, Ordering::SeqCst) < 2;
        fails.then(|| json!({"Err": "in use"}))
    })
    .await;
    for tries in 1..=2 {
        let error = it.driver.delete_network(&it.network).await.unwrap_err().to_string();
        assert_eq!(error, "plugin weave: NetworkDriver.DeleteNetwork: remote: in use");
        let [debt] = &it.host.plugins.inspect("weave").await.unwrap().owes[..] else { panic!("one thing is owed") };
        assert_eq!((debt.tries, debt.why.as_str()), (tries, "remote: in use"));
    }
    it.driver.delete_network(&it.network).await.unwrap();
    assert_eq!(it.host.plugins.inspect("weave").await.unwrap().owes, []);
}

#[tokio::test]
async fn a_sandbox_that_is_the_host_is_not_given_to_a_plugin() {
    let it = case(|_| None).await;
    let slot = Slot { namespace: Namespace::Host, ..slot() };
    let error = it.driver.join(&it.network, &it.endpoint, &slot).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(it.methods(), [""; 0]);
}

#[tokio::test]
async fn a_slow_create_is_rolled_back_without_waiting_for_it() {
    let host = Landscape::with(Duration::from_millis(500), Duration::from_secs(60));
    let plugin = host.reacting("weave", |_, heard| match heard.method.ends_with("CreateEndpoint") {
        true => Reaction::Hang,
        false => Reaction::Say("{}".into()),
    });
    let it = started(host, plugin).await;
    let error = it.driver.create_endpoint(&it.network, &it.endpoint).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("it will be asked later"), "{error}");
    assert_eq!(it.methods(), ["CreateEndpoint"]);
}
