//! Every field of every request, with wrong values: each is refused by its name.

use super::endpoint::{NewEndpoint, PortList, exposed_port};
use super::event::EventFilter;
use super::network::NewNetwork;
use super::sandbox::NewSandbox;
use crate::api::extract::parse;

use trestle_core::ErrorKind;
use trestle_core::controller::request::NetnsRequest;

fn refusal<T, U: serde::de::DeserializeOwned>(body: &str, read: impl Fn(U) -> trestle_core::Result<T>) -> String {
    let Err(error) = parse(body.as_bytes()).and_then(read) else { panic!("{body} was taken") };
    assert_eq!(error.kind(), ErrorKind::Invalid, "{body}");
    error.to_string()
}

#[test]
fn a_wrong_field_of_a_network_is_named() {
    for (body, named) in [
        ("", "body: "),
        ("nonsense", "body: "),
        (r#"["a"]"#, "body: it is a list"),
        ("{}", "missing field `name`"),
        (r#"{"name": "a"} {"#, "body: "),
        (r#"{"name": 5}"#, "name: invalid type: integer `5`"),
        (r#"{"name": null}"#, "name: invalid type: null"),
        (r#"{"name": "a", "name": "b"}"#, "duplicate field `name`"),
        (r#"{"name": ""}"#, "name: "),
        (r#"{"name": "-a"}"#, "name: "),
        (r#"{"name": "a/b"}"#, "name: "),
        (r#"{"name": "a", "color": "red"}"#, "color: unknown field `color`"),
        (r#"{"name": "a", "driver": ""}"#, "driver: it is empty"),
        (r#"{"name": "a", "driver": 1}"#, "driver: invalid type"),
        (r#"{"name": "a", "ipam": ""}"#, "ipam: it is empty"),
        (r#"{"name": "a", "ipam_options": {"x": 1}}"#, "ipam_options.x: invalid type"),
        (r#"{"name": "a", "internal": "yes"}"#, "internal: invalid type"),
        (r#"{"name": "a", "ipv4": 4}"#, "ipv4: invalid type"),
        (r#"{"name": "a", "ipv4": false, "pools": [{"subnet": "10.0.0.0/24"}]}"#, "ipv4: it is off"),
        (r#"{"name": "a", "ipv6": false, "pools": [{"subnet": "fd00::/64"}]}"#, "ipv6: it is off"),
        (r#"{"name": "a", "options": {"x": true}}"#, "options.x: invalid type"),
        (r#"{"name": "a", "labels": []}"#, "labels: invalid type"),
        (r#"{"name": "a", "pools": {}}"#, "pools: invalid type"),
        (r#"{"name": "a", "pools": [{}]}"#, "pools[0]: missing field `subnet`"),
        (r#"{"name": "a", "pools": [{"subnet": "10.0.0.0"}]}"#, "pools[0].subnet: \"10.0.0.0\""),
        (r#"{"name": "a", "pools": [{"subnet": "10.0.0.0/33"}]}"#, "pools[0].subnet: "),
        (r#"{"name": "a", "pools": [{"subnet": "10.0.0.1/24"}]}"#, "give 10.0.0.0/24"),
        (r#"{"name": "a", "pools": [{"subnet": "10.0.0.0/24", "mask": 1}]}"#, "pools[0].mask: unknown field"),
        (
            r#"{"name": "a", "pools": [{"subnet": "10.0.0.0/24", "range": "10.0.1.0/25"}]}"#,
            "pools[0].range: 10.0.1.0/25",
        ),
        (r#"{"name": "a", "pools": [{"subnet": "10.0.0.0/24", "range": "10.0.0.0/16"}]}"#, "pools[0].range: "),
        (r#"{"name": "a", "pools": [{"subnet": "10.0.0.0/24", "range": "x"}]}"#, "pools[0].range: \"x\""),
        (r#"{"name": "a", "pools": [{"subnet": "10.0.0.0/24", "gateway": "10.0.1.1"}]}"#, "pools[0].gateway: 10.0.1.1"),
        (r#"{"name": "a", "pools": [{"subnet": "10.0.0.0/24", "gateway": "fd00::1"}]}"#, "pools[0].gateway: "),
        (r#"{"name": "a", "pools": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1/24"}]}"#, "pools[0].gateway: "),
        (
            r#"{"name": "a", "pools": [{"subnet": "10.0.0.0/24", "auxiliary": {"nas": "10.1.0.1"}}]}"#,
            "pools[0].auxiliary.nas: 10.1.0.1",
        ),
    ] {
        let told = refusal(body, NewNetwork::read);
        assert!(told.contains(named), "{body}: {told}");
    }
}

#[test]
fn a_wrong_field_of_an_endpoint_is_named() {
    for (fields, named) in [
        (r#""network": """#, "network: it is empty"),
        (r#""network": "n", "name": "a b""#, "name: "),
        (r#""network": "n", "ipv4": "fd00::1""#, "ipv4: \"fd00::1\""),
        (r#""network": "n", "ipv4": "10.0.0.1/24""#, "ipv4: "),
        (r#""network": "n", "ipv6": "10.0.0.1""#, "ipv6: \"10.0.0.1\""),
        (r#""network": "n", "mac": "01:00:5e:00:00:01""#, "mac: 01:00:5e:00:00:01 is a multicast"),
        (r#""network": "n", "mac": "x""#, "mac: "),
        (r#""network": "n", "exposed": ["80", "0"]"#, "exposed[1]: \"0\""),
        (r#""network": "n", "exposed": ["80/icmp"]"#, "exposed[0]: "),
        (r#""network": "n", "exposed": "80""#, "exposed: invalid type"),
        (r#""network": "n", "ports": ["8080:80", "8080:99999"]"#, "ports[1]: "),
        (r#""network": "n", "ports": ["8000-8001:80-82"]"#, "ports[0]: "),
        (r#""network": "n", "ports": [80]"#, "ports[0]: invalid type"),
        (r#""network": "n", "options": {"x": 1}"#, "options.x: invalid type"),
        (r#""network": "n", "priority": 1.5"#, "priority: invalid type"),
        (r#""network": "n", "priority": 99999999999999999999"#, "priority: "),
        (r#""network": "n", "interface": "longer-than-fifteen""#, "interface: "),
        (r#""network": "n", "interface": "lo""#, "interface: "),
        (r#""network": "n", "sandbox": "s""#, "sandbox: unknown field"),
    ] {
        let told = refusal(&format!("{{{fields}}}"), NewEndpoint::read);
        assert!(told.contains(named), "{fields}: {told}");
    }
}

#[test]
fn a_wrong_field_of_a_sandbox_is_named() {
    for (body, named) in [
        (r#"{"name": ""}"#, "name: "),
        (r#"{"path": "run/netns/x"}"#, "path: \"run/netns/x\" is not an absolute path"),
        (r#"{"path": "/a\u0000b"}"#, "path: "),
        (r#"{"path": "/x", "pid": 1}"#, "path: it excludes"),
        (r#"{"path": "/x", "host": true}"#, "path: it excludes"),
        (r#"{"pid": 1, "host": true}"#, "pid: it excludes host"),
        (r#"{"pid": 0}"#, "pid: 0"),
        (r#"{"pid": -1}"#, "pid: "),
        (r#"{"host": 1}"#, "host: invalid type"),
        (r#"{"netns": "/x"}"#, "netns: unknown field"),
    ] {
        let told = refusal(body, NewSandbox::read);
        assert!(told.contains(named), "{body}: {told}");
    }
}

#[test]
fn a_wrong_port_or_filter_is_named() {
    assert!(refusal(r#"{"ports": []}"#, |it: PortList| it.read_requests()).contains("ports: at least one"));
    assert!(refusal(r#"{"ports": ["80", "x"]}"#, |it: PortList| it.read_exposed()).contains("ports[1]: \"x\""));
    assert!(refusal(r#"{"subject": "image"}"#, EventFilter::read).contains("subject: \"image\" is not one of network"));
    assert!(refusal(r#"{"action": "start"}"#, EventFilter::read).contains("action: \"start\""));
    assert!(refusal(r#"{"since": "1"}"#, EventFilter::read).contains("since: unknown field"));
}

#[test]
fn a_network_asked_for_by_name_alone_is_a_bridge_with_ipv4() {
    let request = parse::<NewNetwork>(br#"{"name": "front"}"#).unwrap().read().unwrap();
    assert_eq!((request.driver.as_str(), request.ipam.as_str()), ("bridge", "default"));
    assert!(request.ipv4 && !request.ipv6 && !request.internal);
}

#[test]
fn an_ipv6_subnet_turns_ipv6_on() {
    let body = br#"{"name": "front", "pools": [{"subnet": "fd00:1::/64", "range": "fd00:1::8000:0/112"}]}"#;
    let request = parse::<NewNetwork>(body).unwrap().read().unwrap();
    assert!(request.ipv6);
    assert_eq!(request.pools[0].range, Some("fd00:1::8000:0/112".parse().unwrap()));
}

#[test]
fn an_empty_body_asks_for_a_sandbox_with_a_namespace_of_its_own() {
    let request = parse::<NewSandbox>(b"{}").unwrap().read().unwrap();
    assert_eq!((request.name, request.netns), (None, NetnsRequest::Make));
}

#[test]
fn an_exposed_port_is_tcp_unless_it_says_otherwise() {
    assert_eq!(exposed_port("80").unwrap().to_string(), "80/tcp");
    assert_eq!(exposed_port("8000-8010/udp").unwrap().to_string(), "8000-8010/udp");
}
