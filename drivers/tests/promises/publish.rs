//! What publishes ports.

use std::net::IpAddr;

use trestle_core::ErrorKind::{Forbidden, Internal, Invalid, Unsupported};
use trestle_core::Plan;
use trestle_core::driver::Driver;
use trestle_core::port::PortBinding;
use trestle_core::resource::{Hairpin, PublishedPort, Resource};
use trestle_drivers::Bridge;

use crate::world::{assert_refused, binding, endpoint, internal, network, publish};

const V4: &str = "10.1.0.0/24";
const V6: &str = "fd00:1::/64";
const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";

fn hairpin(address: &str) -> Resource {
    Resource::Hairpin(Hairpin { address: address.parse().unwrap() })
}

fn port(binding: PortBinding, to_v4: Option<&str>, to_v6: Option<&str>) -> Resource {
    let PortBinding { protocol, address, host, container } = binding;
    let (to_v4, to_v6) = (to_v4.map(|it| it.parse().unwrap()), to_v6.map(|it| it.parse().unwrap()));
    let host = host.expect("a port of the host");
    Resource::PublishedPort(PublishedPort { protocol, address, host, container, to_v4, to_v6 })
}

#[test]
fn each_binding_is_a_published_port_and_each_address_a_hairpin() {
    let bindings = [
        binding(None, "8080", "80", "tcp"),
        binding(Some("192.0.2.10"), "53", "53", "udp"),
        binding(Some("::"), "8000-8010", "9000-9010", "tcp"),
        binding(None, "9", "9", "sctp"),
    ];
    let endpoint = endpoint(Some("10.1.0.2/24"), Some("fd00:1::2/64"));
    let plan = publish(&network(&[V4, V6], &[]), &endpoint, &bindings).unwrap();
    let ports = bindings.map(|it| port(it, Some("10.1.0.2"), Some("fd00:1::2")));
    let expected = [hairpin("10.1.0.2"), hairpin("fd00:1::2")].into_iter().chain(ports);
    assert_eq!(plan, expected.collect());
}

#[test]
fn nothing_published_asks_for_nothing() {
    let endpoint = endpoint(Some("10.1.0.2/24"), None);
    assert_eq!(publish(&network(&[V4], &[]), &endpoint, &[]).unwrap(), Plan::new());
    assert_eq!(publish(&internal(network(&[V4], &[])), &endpoint, &[]).unwrap(), Plan::new());
}

#[test]
fn the_network_s_default_address_holds_where_a_binding_names_none() {
    let network = network(&[V4], &[(HOST_BINDING, "127.0.0.1")]);
    assert_eq!(Bridge.default_address(&network), Some(IpAddr::from([127, 0, 0, 1])));
    let asked = [binding(None, "80", "80", "tcp"), binding(Some("0.0.0.0"), "81", "81", "tcp")];
    let plan = publish(&network, &endpoint(Some("10.1.0.2/24"), None), &asked).unwrap();
    let expected = vec![
        hairpin("10.1.0.2"),
        port(binding(Some("127.0.0.1"), "80", "80", "tcp"), Some("10.1.0.2"), None),
        port(binding(Some("0.0.0.0"), "81", "81", "tcp"), Some("10.1.0.2"), None),
    ];
    assert_eq!(plan, Plan::from(expected));
}

#[test]
fn an_internal_network_publishes_nothing() {
    let asked = [binding(None, "80", "80", "tcp")];
    let refused = publish(&internal(network(&[V4], &[])), &endpoint(Some("10.1.0.2/24"), None), &asked);
    assert_refused(refused, Forbidden, &["network front is internal", "another network", "--internal"]);
}

#[test]
fn sctp_is_published_only_where_a_table_can_translate_it() {
    let v4_alone = endpoint(Some("10.1.0.2/24"), None);
    let asked = |address| publish(&network(&[V4], &[]), &v4_alone, &[binding(Some(address), "9", "9", "sctp")]);
    assert!(asked("192.0.2.10").is_ok());
    assert_refused(asked("2001:db8::1"), Unsupported, &["[2001:db8::1]:9:9/sctp", "not relayed"]);
    let both = endpoint(Some("10.1.0.2/24"), Some("fd00:1::2/64"));
    let loopback = publish(&network(&[V4, V6], &[]), &both, &[binding(Some("::1"), "9", "9", "sctp")]);
    assert_refused(loopback, Unsupported, &["::1"]);
    let v6_alone = endpoint(None, Some("fd00:1::2/64"));
    let v4_address = publish(&network(&[V6], &[]), &v6_alone, &[binding(Some("192.0.2.10"), "9", "9", "sctp")]);
    assert_refused(v4_address, Unsupported, &["192.0.2.10:9:9/sctp"]);
}

#[test]
fn the_same_port_of_the_host_is_not_published_twice() {
    let network = network(&[V4], &[(HOST_BINDING, "127.0.0.1")]);
    let twice = [binding(None, "80", "80", "tcp"), binding(Some("127.0.0.1"), "80", "81", "tcp")];
    let refused = publish(&network, &endpoint(Some("10.1.0.2/24"), None), &twice);
    assert_refused(refused, Invalid, &["80:80/tcp", "127.0.0.1:80:81/tcp", "twice"]);
}

#[test]
fn an_endpoint_without_address_publishes_nothing() {
    let asked = [binding(None, "80", "80", "tcp")];
    assert_refused(publish(&network(&[V4], &[]), &endpoint(None, None), &asked), Internal, &["endpoint web"]);
}
