//! Our drivers as a plugin: what anybody sees who speaks the protocol to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::AbortHandle;
use trestle_core::entropy::Entropy;
use trestle_core::facts::Facts;
use trestle_core::fake::{Blow, FakeKernel, Fate};
use trestle_drivers::{Bridge, Null};
use trestle_ipam::{DefaultIpam, DefaultPools};
use trestle_plugins::client::{Address, Client, Failure, Limits};
use trestle_plugins::serve::{Offer, Server, serve};
use trestle_plugins::wire::network::*;
use trestle_plugins::wire::{Activate, Call, ipam};

/// Bytes that count: each time others.
pub(crate) struct Counting(AtomicU64);

pub(crate) fn counting() -> Counting {
    Counting(AtomicU64::new(1))
}

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::SeqCst).to_le_bytes();
        bytes.iter_mut().zip(count.iter().cycle()).for_each(|(byte, digit)| *byte = *digit);
    }
}

/// Our bridge driver and address manager behind a socket, on a kernel in memory.
pub(crate) struct Served {
    folder: TempDir,
    pub(crate) kernel: Arc<FakeKernel>,
    pub(crate) fate: Arc<Fate>,
    pub(crate) client: Client,
    task: AbortHandle,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn served() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trestle.sock");
    let fate = Fate::kind();
    let facts = Facts { ipv6: true, filter_bridged: true, ..Facts::default() };
    let kernel = Arc::new(FakeKernel::new(facts, Arc::clone(&fate)));
    let pools = DefaultPools::new(Vec::new(), [1, 2, 3, 4, 5]).unwrap();
    let offer = Offer {
        driver: Some(("bridge".to_owned(), Arc::new(Bridge))),
        ipam: Some(Arc::new(DefaultIpam::new(pools))),
        kernel: Arc::clone(&kernel) as _,
        entropy: Arc::new(counting()),
    };
    let listener = UnixListener::bind(&path).unwrap();
    let task = tokio::spawn(async move { serve(offer, listener).await.unwrap() });
    let limits = Limits { tries: 1, deadline: Duration::from_secs(60), ..Limits::default() };
    let client = Client::new(Address::Unix(path), limits).unwrap();
    Served { folder, kernel, fate, client, task: task.abort_handle() }
}

impl Served {
    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("trestle.sock")
    }

    /// What is in the kernel.
    pub(crate) fn snapshot(&self) -> Vec<String> {
        self.kernel.snapshot()
    }

    async fn ok<C: Call>(&self, request: C) -> C::Reply {
        self.client.call(&request).await.unwrap_or_else(|failure| panic!("{}: {failure}", C::METHOD))
    }

    async fn refused<C: Call<Reply: std::fmt::Debug>>(&self, request: C) -> String {
        match self.client.call(&request).await.unwrap_err() {
            Failure::Refused(text) => text,
            other => panic!("{other}"),
        }
    }

    fn links(&self) -> Vec<String> {
        let snapshot = self.kernel.snapshot();
        snapshot.into_iter().filter(|it| it.starts_with("Veth") || it.starts_with("cut off")).collect()
    }

    fn has(&self, kind: &str) -> bool {
        self.kernel.snapshot().iter().any(|it| it.starts_with(kind))
    }
}

fn network(digit: &str) -> CreateNetwork {
    let generic = json!({"com.docker.network.generic": {"org.example.colour": "red"}});
    let data = |pool: &str, gateway: &str| IpamData {
        address_space: "LocalDefault".into(),
        pool: pool.into(),
        gateway: gateway.into(),
        aux_addresses: BTreeMap::new(),
    };
    let third = u8::from_str_radix(digit, 16).unwrap();
    CreateNetwork {
        network: digit.repeat(64),
        options: serde_json::from_value(generic).unwrap(),
        v4: vec![data(&format!("10.0.{third}.0/24"), &format!("10.0.{third}.1/24"))],
        v6: vec![data(&format!("fd00:{third}::/64"), &format!("fd00:{third}::1/64"))],
    }
}

fn endpoint(network: &str, digit: &str) -> CreateEndpoint {
    let third = u8::from_str_radix(network, 16).unwrap();
    let fourth = u8::from_str_radix(digit, 16).unwrap();
    let interface = Interface {
        address: format!("10.0.{third}.{fourth}/24"),
        address_v6: format!("fd00:{third}::{fourth}/64"),
        mac_address: String::new(),
    };
    CreateEndpoint { network: network.repeat(64), endpoint: digit.repeat(64), interface, options: Options::new() }
}

fn place(network: &str, endpoint: &str) -> Place {
    Place { network: network.repeat(64), endpoint: endpoint.repeat(64) }
}

fn join(network: &str, endpoint: &str) -> Join {
    let Place { network, endpoint } = place(network, endpoint);
    Join { network, endpoint, sandbox_key: "/run/netns/1".into(), options: Options::new() }
}

fn program(network: &str, endpoint: &str, ports: Value) -> ProgramExternalConnectivity {
    let Place { network, endpoint } = place(network, endpoint);
    let options = serde_json::from_value(json!({"com.docker.network.portmap": ports})).unwrap();
    ProgramExternalConnectivity { network, endpoint, options }
}

#[tokio::test]
async fn a_served_driver_makes_the_link_and_tells_its_name() {
    let it = served();
    assert_eq!(it.ok(Activate {}).await.implements, ["NetworkDriver", "IpamDriver"]);
    let capabilities = it.ok(GetCapabilities {}).await;
    assert_eq!((capabilities.scope.as_str(), capabilities.port_mapping), ("local", true));
    it.ok(network("a")).await;
    assert!(it.has("Bridge"));
    let created = it.ok(endpoint("a", "b")).await.interface.unwrap();
    assert_eq!((created.address.as_str(), created.mac_address.len()), ("", 17));
    let joined = it.ok(join("a", "b")).await;
    let name = joined.interface_name.unwrap();
    assert_eq!((name.src_name.as_str(), name.dst_prefix.as_str()), ("peerbbbbbbbbbb", "eth"));
    assert_eq!((joined.gateway.as_str(), joined.gateway_v6.as_str()), ("10.0.10.1", "fd00:10::1"));
    let [link] = &it.links()[..] else { panic!("one link is made") };
    assert!(link.contains("peerbbbbbbbbbb") && link.contains(&created.mac_address), "{link}");
    let ports = json!([{"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080}]);
    it.ok(program("a", "b", ports)).await;
    assert!(it.has("PublishedPort"));
    let known = it.ok(EndpointOperInfo(place("a", "b"))).await.value;
    assert_eq!(known["com.docker.network.portmap"][0]["HostPort"], 8080);
    it.ok(RevokeExternalConnectivity(place("a", "b"))).await;
    assert!(!it.has("PublishedPort"));
    it.ok(Leave(place("a", "b"))).await;
    assert_eq!(it.links(), [""; 0]);
    it.ok(DeleteEndpoint(place("a", "b"))).await;
    it.ok(DeleteNetwork { network: "a".repeat(64) }).await;
    assert_eq!(it.kernel.snapshot(), [""; 0], "nothing is left");
}

#[tokio::test]
async fn what_is_gone_already_is_given_up_without_complaint() {
    let it = served();
    it.ok(Leave(place("a", "b"))).await;
    it.ok(RevokeExternalConnectivity(place("a", "b"))).await;
    it.ok(DeleteEndpoint(place("a", "b"))).await;
    it.ok(DeleteNetwork { network: "a".repeat(64) }).await;
    it.ok(ipam::ReleasePool { id: "192.0.2.0/24".into() }).await;
}

#[tokio::test]
async fn deleting_an_endpoint_takes_its_link_and_ports_along() {
    let it = served();
    it.ok(network("a")).await;
    let before = it.kernel.snapshot();
    it.ok(endpoint("a", "b")).await;
    it.ok(join("a", "b")).await;
    it.ok(program("a", "b", json!([{"Proto": 17, "Port": 53}]))).await;
    it.ok(DeleteEndpoint(place("a", "b"))).await;
    assert_eq!(it.kernel.snapshot(), before);
}

#[tokio::test]
async fn calls_out_of_order_are_refused_and_change_nothing() {
    let it = served();
    assert!(it.refused(endpoint("a", "b")).await.contains("network aaaaaaaaaaaa not found"));
    it.ok(network("a")).await;
    assert!(it.refused(network("a")).await.contains("is there already"));
    assert!(it.refused(join("a", "b")).await.contains("endpoint bbbbbbbbbbbb not found"));
    it.ok(endpoint("a", "b")).await;
    assert!(it.refused(endpoint("a", "b")).await.contains("is there already"));
    it.ok(join("a", "b")).await;
    let before = it.kernel.snapshot();
    assert!(it.refused(join("a", "b")).await.contains("is in a sandbox already"));
    assert!(it.refused(DeleteNetwork { network: "a".repeat(64) }).await.contains("has 1 endpoints"));
    assert_eq!(it.kernel.snapshot(), before);
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let it = served();
    it.ok(network("a")).await;
    let with = |change: fn(&mut CreateEndpoint)| {
        let mut asked = endpoint("a", "b");
        change(&mut asked);
        asked
    };
    for (asked, told) in [
        (with(|it| it.endpoint = "b".into()), "64 hexadecimal digits"),
        (with(|it| it.interface.address = "10.0.0.2".into()), "Address is \"10.0.0.2\""),
        (with(|it| it.interface.mac_address = "no".into()), "\"no\" is not a MAC address"),
        (
            with(|it| drop(it.options.insert("com.docker.network.portmap".into(), json!(7)))),
            "com.docker.network.portmap",
        ),
        (
            with(|it| drop(it.options.insert("com.docker.network.portmap".into(), json!([{"Proto": 1, "Port": 8}])))),
            "Proto is 1",
        ),
        (
            with(|it| drop(it.options.insert("com.docker.network.portmap".into(), json!([{"Proto": 6, "Port": 0}])))),
            "port 0",
        ),
        (
            with(|it| drop(it.options.insert("com.docker.network.endpoint.macaddress".into(), json!("AA==")))),
            "base64 of six octets",
        ),
        (
            with(|it| drop(it.options.insert("com.docker.network.bridge.colour".into(), json!("red")))),
            "com.docker.network.bridge.colour",
        ),
    ] {
        let error = it.refused(asked).await;
        assert!(error.contains(told), "{error} should tell of {told}");
    }
    let mut asked = network("c");
    asked.v4[0].pool = "ten".into();
    assert!(it.refused(asked).await.contains("Pool is \"ten\""));
}

#[tokio::test]
async fn a_failed_call_leaves_nothing() {
    for step in 0.. {
        let it = served();
        it.fate.strike(step, Blow::FailAfter);
        let failed = it.client.call(&network("a")).await.is_err();
        it.fate.relent();
        if !failed {
            break;
        }
        assert_eq!(it.kernel.snapshot(), [""; 0], "after step {step}");
        it.ok(network("a")).await;
    }
    for step in 0.. {
        let it = served();
        it.ok(network("a")).await;
        it.ok(endpoint("a", "b")).await;
        let before = it.kernel.snapshot();
        it.fate.strike(step, Blow::FailAfter);
        let failed = it.client.call(&join("a", "b")).await.is_err();
        it.fate.relent();
        if !failed {
            break;
        }
        assert_eq!(it.kernel.snapshot(), before, "after step {step}");
        it.ok(join("a", "b")).await;
    }
}

#[tokio::test]
async fn two_networks_share_what_both_need_and_nothing_else() {
    let it = served();
    it.ok(network("a")).await;
    it.ok(network("c")).await;
    it.ok(DeleteNetwork { network: "a".repeat(64) }).await;
    assert!(it.has("FirewallBase"));
    it.ok(DeleteNetwork { network: "c".repeat(64) }).await;
    assert_eq!(it.kernel.snapshot(), [""; 0]);
}

#[tokio::test]
async fn two_endpoints_get_no_port_twice() {
    let it = served();
    it.ok(network("a")).await;
    for digit in ["b", "c"] {
        it.ok(endpoint("a", digit)).await;
        it.ok(join("a", digit)).await;
        it.ok(program("a", digit, json!([{"Proto": 6, "Port": 80}]))).await;
    }
    let port = async |digit: &str| {
        let known = it.ok(EndpointOperInfo(place("a", digit))).await.value;
        known["com.docker.network.portmap"][0]["HostPort"].as_u64().unwrap()
    };
    assert_ne!(port("b").await, port("c").await);
    let taken = json!([{"Proto": 6, "Port": 81, "HostPort": port("b").await}]);
    assert!(it.refused(program("a", "c", taken)).await.contains("is another endpoint's"));
    assert_eq!(it.kernel.snapshot().iter().filter(|it| it.starts_with("PublishedPort")).count(), 2);
}

#[tokio::test]
async fn a_port_of_our_choice_that_another_program_has_is_not_taken() {
    let it = served();
    it.kernel.occupy("tcp".parse().unwrap(), 49_152..49_160);
    it.ok(network("a")).await;
    it.ok(endpoint("a", "b")).await;
    it.ok(join("a", "b")).await;
    it.ok(program("a", "b", json!([{"Proto": 6, "Port": 80}]))).await;
    let known = it.ok(EndpointOperInfo(place("a", "b"))).await.value;
    assert_eq!(known["com.docker.network.portmap"][0]["HostPort"], 49_160);
}

#[tokio::test]
async fn addresses_are_served() {
    let it = served();
    let spaces = it.ok(ipam::GetDefaultAddressSpaces {}).await;
    assert!(it.ok(ipam::GetCapabilities {}).await.requires_replay);
    let ask = ipam::RequestPool { address_space: spaces.local, pool: "10.9.0.0/24".into(), ..Default::default() };
    let pool = it.ok(ask.clone()).await;
    assert_eq!(pool.pool, "10.9.0.0/24");
    assert!(it.refused(ask).await.contains("overlaps"));
    let address = async |address: &str, options: Value| {
        let (id, address) = (pool.id.clone(), address.to_owned());
        let options = serde_json::from_value(options).unwrap();
        it.ok(ipam::RequestAddress { id, address, options }).await.address
    };
    assert_eq!(address("", json!({"RequestAddressType": "com.docker.network.gateway"})).await, "10.9.0.1/24");
    assert_eq!(address("10.9.0.5", json!(null)).await, "10.9.0.5/24");
    assert_eq!(address("", json!({"com.docker.network.endpoint.name": "web"})).await, "10.9.0.2/24");
    it.ok(ipam::ReleaseAddress { id: pool.id.clone(), address: "10.9.0.5".into() }).await;
    let again = ipam::RequestAddress { id: pool.id.clone(), address: "10.9.0.5".into(), options: None };
    it.ok(again.clone()).await;
    assert!(!it.refused(again).await.is_empty());
    it.ok(ipam::ReleasePool { id: pool.id.clone() }).await;
    let elsewhere = ipam::RequestPool { address_space: "elsewhere".into(), ..Default::default() };
    assert!(it.refused(elsewhere).await.contains("AddressSpace is \"elsewhere\""));
}

#[tokio::test]
async fn what_is_no_call_is_told_so() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let it = served();
    let huge = format!("POST /NetworkDriver.Join HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 1_u64 << 30);
    for (request, status, told) in [
        ("POST /NetworkDriver.Levitate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "no such method"),
        ("POST /VolumeDriver.Create HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "no such method"),
        ("GET /Plugin.Activate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, "POST"),
        ("POST /NetworkDriver.Join HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{", 400, "EOF"),
        (&huge, 413, "at most"),
    ] {
        let mut stream = tokio::net::UnixStream::connect(it.socket()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains("}\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(told), "{answer}");
    }
}

#[tokio::test]
async fn calls_at_once_are_done_one_after_the_other() {
    let it = Arc::new(served());
    it.ok(network("a")).await;
    let racing = (0..16).map(|_| {
        let it = Arc::clone(&it);
        tokio::spawn(async move { it.client.call(&endpoint("a", "b")).await.is_ok() })
    });
    let mut won = 0;
    for racer in racing.collect::<Vec<_>>() {
        won += usize::from(racer.await.unwrap());
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn what_is_not_offered_is_unknown() {
    let kernel: Arc<FakeKernel> = Arc::new(FakeKernel::new(Facts::default(), Fate::kind()));
    let offer =
        Offer { driver: Some(("null".to_owned(), Arc::new(Null))), ipam: None, kernel, entropy: Arc::new(counting()) };
    assert!(Server::new(offer).is_ok());
}
