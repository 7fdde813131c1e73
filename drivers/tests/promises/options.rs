//! Options are read right or refused clearly.

use trestle_core::ErrorKind::{Invalid, Unsupported};
use trestle_drivers::bridge::{BridgeOptions, EndpointOptions};

use crate::world::{assert_refused, if_name, texts};

fn read(key: &str, value: &str) -> trestle_core::Result<BridgeOptions> {
    BridgeOptions::read(&texts(&[(key, value)]))
}

#[test]
fn no_options_are_docker_s_defaults() {
    let expected = BridgeOptions {
        name: None,
        inter_container: true,
        masquerade: true,
        host_address: None,
        mtu: None,
        interface_prefix: "eth".into(),
        ipv4: None,
        ipv6: None,
    };
    assert_eq!(BridgeOptions::read(&texts(&[])).unwrap(), expected);
}

#[test]
fn each_option_sets_its_own_field_and_no_other() {
    let none = BridgeOptions::default();
    for (key, value, expected) in [
        ("com.docker.network.bridge.name", "br9", BridgeOptions { name: Some(if_name("br9")), ..none.clone() }),
        ("com.docker.network.bridge.enable_icc", "false", BridgeOptions { inter_container: false, ..none.clone() }),
        (
            "com.docker.network.bridge.enable_ip_masquerade",
            "false",
            BridgeOptions { masquerade: false, ..none.clone() },
        ),
        (
            "com.docker.network.bridge.host_binding_ipv4",
            "127.0.0.1",
            BridgeOptions { host_address: Some([127, 0, 0, 1].into()), ..none.clone() },
        ),
        ("com.docker.network.driver.mtu", "9000", BridgeOptions { mtu: Some(9000), ..none.clone() }),
        (
            "com.docker.network.container_iface_prefix",
            "front",
            BridgeOptions { interface_prefix: "front".into(), ..none.clone() },
        ),
        ("com.docker.network.enable_ipv4", "true", BridgeOptions { ipv4: Some(true), ..none.clone() }),
        ("com.docker.network.enable_ipv6", "false", BridgeOptions { ipv6: Some(false), ..none.clone() }),
    ] {
        assert_eq!(read(key, value).unwrap(), expected, "{key}");
    }
}

#[test]
fn wrong_values_are_refused_with_the_option_the_value_and_what_is_allowed() {
    for (key, value, parts) in [
        (
            "com.docker.network.bridge.name",
            "a bridge",
            &["\"a bridge\"", "' ' is not a letter", "allowed: the name of a link"][..],
        ),
        ("com.docker.network.bridge.name", "", &["it is empty"]),
        ("com.docker.network.bridge.enable_icc", "maybe", &["\"maybe\"", "allowed: true or false"]),
        ("com.docker.network.bridge.enable_icc", "", &["\"\"", "allowed: true or false"]),
        ("com.docker.network.bridge.enable_ip_masquerade", "tRUE", &["\"tRUE\"", "allowed: true or false"]),
        ("com.docker.network.bridge.host_binding_ipv4", "localhost", &["\"localhost\"", "an IPv4 or IPv6 address"]),
        ("com.docker.network.bridge.host_binding_ipv4", "224.0.0.1", &["\"224.0.0.1\""]),
        ("com.docker.network.bridge.host_binding_ipv4", "255.255.255.255", &["\"255.255.255.255\""]),
        ("com.docker.network.driver.mtu", "67", &["\"67\"", "from 68 to 65535"]),
        ("com.docker.network.driver.mtu", "65536", &["\"65536\"", "from 68 to 65535"]),
        ("com.docker.network.driver.mtu", "+1500", &["\"+1500\""]),
        ("com.docker.network.driver.mtu", "", &["\"\""]),
        ("com.docker.network.container_iface_prefix", "", &["\"\"", "up to 12 letters"]),
        ("com.docker.network.container_iface_prefix", "thirteen-long", &["up to 12 letters"]),
        ("com.docker.network.container_iface_prefix", "a/b", &["\"a/b\""]),
        ("com.docker.network.enable_ipv4", "yes", &["\"yes\"", "true or false"]),
        ("com.docker.network.enable_ipv6", "2", &["\"2\"", "true or false"]),
    ] {
        assert_refused(read(key, value), Invalid, &[&format!("reading option {key}: ")]);
        assert_refused(read(key, value), Invalid, parts);
    }
}

#[test]
fn yes_and_no_are_read_as_go_reads_them() {
    for (texts, expected) in
        [(["1", "t", "T", "true", "TRUE", "True"], true), (["0", "f", "F", "false", "FALSE", "False"], false)]
    {
        for text in texts {
            assert_eq!(read("com.docker.network.bridge.enable_icc", text).unwrap().inter_container, expected, "{text}");
        }
    }
}

#[test]
fn the_wildcard_as_default_address_is_both_families_as_in_docker() {
    let address = |text| read("com.docker.network.bridge.host_binding_ipv4", text).unwrap().host_address;
    assert_eq!(address("0.0.0.0"), None);
    assert_eq!(address("::1"), Some("::1".parse().unwrap()));
    assert_eq!(address("::"), Some("::".parse().unwrap()));
}

#[test]
fn options_of_a_later_version_are_refused_with_not_yet() {
    let later: Vec<_> = BridgeOptions::documentation().into_iter().filter(|option| !option.supported).collect();
    assert!(later.iter().any(|option| option.key == "com.docker.network.bridge.gateway_mode_ipv4"));
    for option in later {
        let parts = [&option.key, "not yet"];
        assert_refused(read(&option.key, "true"), Unsupported, &parts);
    }
    let sysctls = texts(&[("com.docker.network.endpoint.sysctls", "net.ipv4.conf.IFNAME.log_martians=1")]);
    assert_refused(EndpointOptions::read(&sysctls), Unsupported, &["com.docker.network.endpoint.sysctls", "not yet"]);
}

#[test]
fn an_unknown_option_is_refused_with_the_nearest_known_one() {
    for (wrong, nearest) in [
        ("com.docker.network.bridge.enable_icp", "com.docker.network.bridge.enable_icc"),
        ("com.docker.network.bridge.mtu", "com.docker.network.driver.mtu"),
        ("com.docker.network.driver.name", "com.docker.network.bridge.name"),
        ("com.docker.network.bridge.enable_masquerade", "com.docker.network.bridge.enable_ip_masquerade"),
        ("com.docker.networks.driver.mtu", "com.docker.network.driver.mtu"),
        ("mtu", "com.docker.network.driver.mtu"),
        ("", "com.docker.network.driver.mtu"),
    ] {
        assert_refused(read(wrong, "1"), Invalid, &[&format!("{wrong:?}"), &format!("nearest known one is {nearest}")]);
    }
}

#[test]
fn a_huge_option_is_refused_in_few_words() {
    let huge = "com.docker.".to_owned() + &"é".repeat(100_000);
    let error = read(&huge, "1").unwrap_err().to_string();
    assert!(error.len() < 400, "{} bytes", error.len());
    let error = read("com.docker.network.driver.mtu", &huge).unwrap_err().to_string();
    assert!(error.len() < 400, "{} bytes", error.len());
}

#[test]
fn options_of_another_domain_are_left_alone() {
    assert_eq!(read("org.example.colour", "green").unwrap(), BridgeOptions::default());
}

#[test]
fn an_endpoint_s_link_is_named_by_option() {
    let read = |value| EndpointOptions::read(&texts(&[("com.docker.network.endpoint.ifname", value)]));
    assert_eq!(read("front0").unwrap(), EndpointOptions { interface: Some(if_name("front0")) });
    assert_refused(read("lo"), Invalid, &["com.docker.network.endpoint.ifname", "\"lo\""]);
}
