//! Options are read right or refused clearly.

use trestle_core::ErrorKind::Invalid;
use trestle_core::resource::{Announcements, GatewayMode};
use trestle_drivers::bridge::{BridgeOptions, EndpointOptions};

use crate::world::{assert_refused, if_name, texts};

const MODE_V4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
const MODE_V6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
const SETTINGS: &str = "com.docker.network.endpoint.sysctls";

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
        gateway_v4: GatewayMode::Nat,
        gateway_v6: GatewayMode::Nat,
        inhibit_v4: false,
        trusted: Vec::new(),
        default: false,
        source_v4: None,
        source_v6: None,
        announcements: Announcements { count: 3, milliseconds_apart: 1000 },
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
        (MODE_V4, "nat-unprotected", BridgeOptions { gateway_v4: GatewayMode::NatUnprotected, ..none.clone() }),
        (MODE_V4, "isolated", BridgeOptions { gateway_v4: GatewayMode::Isolated, ..none.clone() }),
        (MODE_V6, "routed", BridgeOptions { gateway_v6: GatewayMode::Routed, ..none.clone() }),
        (MODE_V6, "nat", none.clone()),
        ("com.docker.network.bridge.inhibit_ipv4", "true", BridgeOptions { inhibit_v4: true, ..none.clone() }),
        (
            "com.docker.network.bridge.trusted_host_interfaces",
            "vxlan.1:eth3",
            BridgeOptions { trusted: vec![if_name("vxlan.1"), if_name("eth3")], ..none.clone() },
        ),
        ("com.docker.network.bridge.default_bridge", "true", BridgeOptions { default: true, ..none.clone() }),
        (
            "com.docker.network.host_ipv4",
            "192.0.2.7",
            BridgeOptions { source_v4: Some([192, 0, 2, 7].into()), ..none.clone() },
        ),
        (
            "com.docker.network.host_ipv6",
            "2001:db8::7",
            BridgeOptions { source_v6: Some("2001:db8::7".parse().unwrap()), ..none.clone() },
        ),
        (
            "com.docker.network.advertise_addr_nmsgs",
            "0",
            BridgeOptions { announcements: Announcements { count: 0, milliseconds_apart: 1000 }, ..none.clone() },
        ),
        (
            "com.docker.network.advertise_addr_ms",
            "100",
            BridgeOptions { announcements: Announcements { count: 3, milliseconds_apart: 100 }, ..none.clone() },
        ),
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
        (MODE_V4, "NAT", &["\"NAT\"", "nat, nat-unprotected, routed or isolated"]),
        (MODE_V4, "", &["\"\"", "nat, nat-unprotected, routed or isolated"]),
        (MODE_V6, "bridge", &["\"bridge\"", "nat, nat-unprotected, routed or isolated"]),
        ("com.docker.network.bridge.inhibit_ipv4", "no", &["\"no\"", "true or false"]),
        ("com.docker.network.bridge.default_bridge", "yes", &["\"yes\"", "true or false"]),
        ("com.docker.network.bridge.trusted_host_interfaces", "", &["it is empty", "with ':' between them"]),
        ("com.docker.network.bridge.trusted_host_interfaces", "eth1:", &["it is empty", "with ':' between them"]),
        ("com.docker.network.bridge.trusted_host_interfaces", "eth1 eth2", &["' ' is not a letter"]),
        ("com.docker.network.bridge.trusted_host_interfaces", "eth1:eth1", &["link eth1 is named twice"]),
        ("com.docker.network.host_ipv4", "2001:db8::1", &["\"2001:db8::1\"", "an IPv4 address of one host"]),
        ("com.docker.network.host_ipv4", "0.0.0.0", &["\"0.0.0.0\""]),
        ("com.docker.network.host_ipv4", "127.0.0.1", &["\"127.0.0.1\"", "not of its loopback"]),
        ("com.docker.network.host_ipv4", "224.0.0.1", &["\"224.0.0.1\""]),
        ("com.docker.network.host_ipv4", "192.0.2.1/24", &["\"192.0.2.1/24\""]),
        ("com.docker.network.host_ipv6", "192.0.2.1", &["\"192.0.2.1\"", "an IPv6 address of one host"]),
        ("com.docker.network.host_ipv6", "::", &["\"::\""]),
        ("com.docker.network.host_ipv6", "::1", &["\"::1\"", "loopback"]),
        ("com.docker.network.host_ipv6", "fe80::1", &["\"fe80::1\"", "one link alone"]),
        ("com.docker.network.host_ipv6", "ff02::1", &["\"ff02::1\""]),
        ("com.docker.network.host_ipv6", "::ffff:192.0.2.1", &["\"::ffff:192.0.2.1\""]),
        ("com.docker.network.advertise_addr_nmsgs", "4", &["\"4\"", "from 0 to 3"]),
        ("com.docker.network.advertise_addr_nmsgs", "-1", &["\"-1\""]),
        ("com.docker.network.advertise_addr_nmsgs", "", &["\"\""]),
        ("com.docker.network.advertise_addr_ms", "99", &["\"99\"", "from 100 to 2000"]),
        ("com.docker.network.advertise_addr_ms", "2001", &["\"2001\"", "from 100 to 2000"]),
        ("com.docker.network.advertise_addr_ms", "1s", &["\"1s\""]),
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
fn no_option_is_left_for_a_later_version() {
    let all = BridgeOptions::documentation().into_iter().chain(EndpointOptions::documentation());
    let later: Vec<String> = all.filter(|option| !option.supported).map(|option| option.key).collect();
    assert_eq!(later, Vec::<String>::new());
}

#[test]
fn a_wrong_setting_of_a_link_is_refused_with_what_is_wrong() {
    for (value, parts) in [
        ("", &["\"\"", "has no '='"][..]),
        ("net.ipv4.conf.IFNAME.log_martians", &["has no '='"]),
        (
            "net.ipv4.conf.eth0.log_martians=1",
            &["\"net.ipv4.conf.eth0.log_martians=1\"", "no setting of the endpoint's link"],
        ),
        ("net.ipv4.ip_forward=1", &["no setting of the endpoint's link"]),
        ("net.core.conf.IFNAME.x=1", &["no setting of the endpoint's link"]),
        ("net.ipv4.route.IFNAME.x=1", &["no setting of the endpoint's link"]),
        ("kernel.ipv4.conf.IFNAME.x=1", &["no setting of the endpoint's link"]),
        ("net.ipv4.conf.IFNAME.a.b=1", &["no setting of the endpoint's link"]),
        ("net.ipv4.conf.IFNAME.=1", &["has no name of a setting"]),
        ("net.ipv4.conf.IFNAME.../x=1", &["no setting of the endpoint's link"]),
        ("net.ipv4.conf.IFNAME.a/b=1", &["has no name of a setting"]),
        ("net.ipv4.conf.IFNAME.log_martians=", &["has no value"]),
        ("net.ipv4.conf.IFNAME.log_martians=1\n2", &["has no value"]),
        ("net.ipv6.conf.IFNAME.addr_gen_mode=0", &["is set by Trestle"]),
        ("net.ipv4.conf.IFNAME.log_martians=1,", &["\"\"", "has no '='"]),
        ("net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.log_martians=0", &["is said twice"]),
    ] {
        let answer = || EndpointOptions::read(&texts(&[(SETTINGS, value)]));
        assert_refused(answer(), Invalid, &[&format!("reading option {SETTINGS}: "), "allowed: settings such as"]);
        assert_refused(answer(), Invalid, parts);
    }
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
    assert_eq!(read("front0").unwrap(), EndpointOptions { interface: Some(if_name("front0")), settings: Vec::new() });
    assert_refused(read("lo"), Invalid, &["com.docker.network.endpoint.ifname", "\"lo\""]);
}
