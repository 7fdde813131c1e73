//! What stands here as JSON was recorded from Docker's daemon, or is what plugins answer it.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::network::*;
use super::options::{decode_mac, encode_mac, network_options, of_bindings, of_endpoint, of_sandbox};
use super::*;
use crate::testing;

/// Reads the request, and writes it again as it was.
fn same<T: Call + DeserializeOwned>(recorded: Value) -> T {
    let read: T = serde_json::from_value(recorded.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), recorded, "{}", T::METHOD);
    read
}

fn id(digit: &str) -> String {
    digit.repeat(64)
}

#[test]
fn requests_are_written_as_docker_writes_them() {
    let pool = json!({"AddressSpace": "LocalDefault", "Pool": "10.0.0.0/24", "Gateway": "10.0.0.1/24",
        "AuxAddresses": {"printer": "10.0.0.5/24"}});
    let create: CreateNetwork = same(json!({"NetworkID": id("a"), "Options": {
        "com.docker.network.enable_ipv4": true, "com.docker.network.enable_ipv6": false,
        "com.docker.network.generic": {"colour": "red"}}, "IPv4Data": [pool], "IPv6Data": []}));
    assert_eq!(create.v4[0].gateway, "10.0.0.1/24");
    same::<AllocateNetwork>(json!({"NetworkID": id("a"), "Options": {"x": "y"}, "IPv4Data": [], "IPv6Data": []}));
    same::<FreeNetwork>(json!({"NetworkID": id("a")}));
    same::<GwAllocCheck>(json!({"Options": {"com.docker.network.enable_ipv6": true}}));
    same::<DeleteNetwork>(json!({"NetworkID": id("a")}));
    let place = json!({"NetworkID": id("a"), "EndpointID": id("b")});
    same::<DeleteEndpoint>(place.clone());
    same::<EndpointOperInfo>(place.clone());
    same::<Leave>(place.clone());
    same::<RevokeExternalConnectivity>(place);
    same::<CreateEndpoint>(json!({"NetworkID": id("a"), "EndpointID": id("b"),
        "Interface": {"Address": "10.0.0.2/24", "AddressIPv6": "", "MacAddress": "02:42:ac:11:00:02"},
        "Options": {"com.docker.network.endpoint.macaddress": "AkKsEQAC"}}));
    same::<Join>(json!({"NetworkID": id("a"), "EndpointID": id("b"), "SandboxKey": "/var/run/docker/netns/4f",
        "Options": {"com.docker.network.portmap": []}}));
    same::<ProgramExternalConnectivity>(json!({"NetworkID": id("a"), "EndpointID": id("b"), "Options": {}}));
    let node = json!({"DiscoveryType": 1, "DiscoveryData": {"Address": "10.1.1.1", "BindAddress": "", "Self": true}});
    same::<DiscoverNew>(node.clone());
    same::<DiscoverDelete>(node);
    same::<ipam::RequestPool>(json!({"AddressSpace": "LocalDefault", "Pool": "", "SubPool": "", "Options": null,
        "V6": false}));
    same::<ipam::ReleasePool>(json!({"PoolID": "p"}));
    same::<ipam::RequestAddress>(json!({"PoolID": "p", "Address": "", "Options": {
        "RequestAddressType": "com.docker.network.gateway"}}));
    same::<ipam::RequestAddress>(json!({"PoolID": "p", "Address": "10.0.0.5", "Options": null}));
    same::<ipam::ReleaseAddress>(json!({"PoolID": "p", "Address": "10.0.0.5"}));
}

#[test]
fn what_is_not_set_in_a_pool_is_left_out() {
    let nothing = serde_json::to_value(IpamData::default()).unwrap();
    assert_eq!(nothing, json!({"AddressSpace": ""}));
}

#[test]
fn every_method_has_the_name_that_docker_calls() {
    let names = [
        Activate::METHOD,
        network::GetCapabilities::METHOD,
        AllocateNetwork::METHOD,
        FreeNetwork::METHOD,
        GwAllocCheck::METHOD,
        CreateNetwork::METHOD,
        DeleteNetwork::METHOD,
        CreateEndpoint::METHOD,
        DeleteEndpoint::METHOD,
        EndpointOperInfo::METHOD,
        Join::METHOD,
        Leave::METHOD,
        ProgramExternalConnectivity::METHOD,
        RevokeExternalConnectivity::METHOD,
        DiscoverNew::METHOD,
        DiscoverDelete::METHOD,
        ipam::GetCapabilities::METHOD,
        ipam::GetDefaultAddressSpaces::METHOD,
        ipam::RequestPool::METHOD,
        ipam::ReleasePool::METHOD,
        ipam::RequestAddress::METHOD,
        ipam::ReleaseAddress::METHOD,
    ];
    let told = "Plugin.Activate NetworkDriver.GetCapabilities NetworkDriver.AllocateNetwork NetworkDriver.FreeNetwork \
        NetworkDriver.GwAllocCheck NetworkDriver.CreateNetwork NetworkDriver.DeleteNetwork \
        NetworkDriver.CreateEndpoint NetworkDriver.DeleteEndpoint NetworkDriver.EndpointOperInfo NetworkDriver.Join \
        NetworkDriver.Leave NetworkDriver.ProgramExternalConnectivity NetworkDriver.RevokeExternalConnectivity \
        NetworkDriver.DiscoverNew NetworkDriver.DiscoverDelete IpamDriver.GetCapabilities \
        IpamDriver.GetDefaultAddressSpaces IpamDriver.RequestPool IpamDriver.ReleasePool IpamDriver.RequestAddress \
        IpamDriver.ReleaseAddress";
    assert_eq!(names.join(" "), told);
    let bodies = [Activate::HAS_BODY, network::GetCapabilities::HAS_BODY, ipam::GetDefaultAddressSpaces::HAS_BODY];
    assert_eq!(bodies, [false; 3]);
    assert_eq!([Join::HAS_BODY, ipam::ReleasePool::HAS_BODY], [true; 2]);
}

#[test]
fn refusals_stand_in_the_field_of_their_kind() {
    assert_eq!(refusal_field(Join::METHOD), "Err");
    assert_eq!(refusal_field(Activate::METHOD), "Err");
    assert_eq!(refusal_field(ipam::RequestPool::METHOD), "Error");
}

#[test]
fn replies_are_read_with_nulls_and_strangers_in_them() {
    let joined: Joined = serde_json::from_value(json!({
        "InterfaceName": {"SrcName": "vethab", "DstName": null, "DstPrefix": "eth"}, "Gateway": "10.0.0.1",
        "GatewayIPv6": null, "StaticRoutes": [{"Destination": "10.1.0.0/16", "RouteType": 1, "NextHop": ""}],
        "Err": "", "HostsPath": "/from/2015"}))
    .unwrap();
    assert_eq!(joined.interface_name.unwrap().src_name, "vethab");
    assert_eq!(joined.static_routes[0].route_type, CONNECTED);
    let nothing: Joined = serde_json::from_value(json!({"InterfaceName": null, "StaticRoutes": null})).unwrap();
    assert_eq!(nothing, Joined::default());
    let endpoint: EndpointCreated = serde_json::from_value(json!({"Interface": null})).unwrap();
    assert_eq!(endpoint.interface, None);
    let capabilities: Capabilities = serde_json::from_value(json!({"Scope": "local"})).unwrap();
    assert_eq!((capabilities.scope.as_str(), capabilities.port_mapping), ("local", false));
    let pool: ipam::PoolLeased =
        serde_json::from_value(json!({"PoolID": "p", "Pool": "10.0.0.0/24", "Data": null})).unwrap();
    assert_eq!(pool.pool, "10.0.0.0/24");
    let node: Node = serde_json::from_value(json!({"Address": "10.1.1.1", "self": true})).unwrap();
    assert!(node.is_self);
    let spaces: ipam::AddressSpaces =
        serde_json::from_value(json!({"LocalDefaultAddressSpace": "L", "GlobalDefaultAddressSpace": "G"})).unwrap();
    assert_eq!((spaces.local.as_str(), spaces.global.as_str()), ("L", "G"));
    let needs: ipam::Capabilities =
        serde_json::from_value(json!({"RequiresMACAddress": true, "RequiresRequestReplay": null})).unwrap();
    assert!(needs.requires_mac && !needs.requires_replay);
}

#[test]
fn a_mac_address_is_base64_of_six_octets() {
    let mac = "02:42:ac:11:00:02".parse().unwrap();
    assert_eq!(encode_mac(mac), "AkKsEQAC");
    assert_eq!(decode_mac("AkKsEQAC"), Some(mac));
    for wrong in ["", "AkKsEQACAA==", "02:42:ac:11:00:02", "////////"] {
        assert_eq!(decode_mac(wrong), None, "{wrong}");
    }
}

#[test]
fn options_are_flat_and_protocols_are_numbers() {
    let network = testing::network();
    let mut endpoint = testing::endpoint(&network);
    endpoint.options.insert("org.example.colour".into(), "red".into());
    endpoint.wanted = vec!["127.0.0.1:8000-8001:80-81/tcp".parse().unwrap(), "53/udp".parse().unwrap()];
    endpoint.exposed = vec![trestle_core::port::ExposedPort {
        ports: "9".parse().unwrap(),
        protocol: trestle_core::port::Protocol::Sctp,
    }];
    let map = json!([
        {"Proto": 6, "IP": "", "Port": 80, "HostIP": "127.0.0.1", "HostPort": 8000, "HostPortEnd": 8000},
        {"Proto": 6, "IP": "", "Port": 81, "HostIP": "127.0.0.1", "HostPort": 8001, "HostPortEnd": 8001},
        {"Proto": 17, "IP": "", "Port": 53, "HostIP": "", "HostPort": 0, "HostPortEnd": 0},
    ]);
    let exposed = json!([{"Proto": 132, "Port": 9}]);
    assert_eq!(
        json!(of_endpoint(&network, &endpoint)),
        json!({"com.docker.network.portmap": map, "com.docker.network.endpoint.exposedports": exposed,
            "org.example.colour": "red"})
    );
    assert_eq!(
        json!(of_sandbox(&endpoint)),
        json!({"com.docker.network.portmap": map, "com.docker.network.endpoint.exposedports": exposed})
    );
    let bound = ["8000:80/tcp".parse::<trestle_core::port::PortRequest>().unwrap()];
    let bound = trestle_core::port::PortBinding {
        protocol: bound[0].protocol,
        address: None,
        host: Some("8000-8001".parse().unwrap()),
        container: "80-81".parse().unwrap(),
    };
    assert_eq!(of_bindings(&endpoint, &[bound])["com.docker.network.portmap"][1]["HostPort"], 8001);
}

#[test]
fn an_internal_network_s_endpoints_bring_no_ports() {
    let mut network = testing::network();
    network.internal = true;
    let mut endpoint = testing::endpoint(&network);
    endpoint.wanted = vec!["80".parse().unwrap()];
    assert_eq!(json!(of_endpoint(&network, &endpoint)), json!({}));
    let options = json!(network_options(true, false, true, &network.options));
    assert_eq!(options["com.docker.network.internal"], true);
    assert_eq!(options["com.docker.network.generic"], json!({}));
}

#[test]
fn a_mac_address_that_was_asked_for_is_told_in_both_ways() {
    let network = testing::network();
    let mut endpoint = testing::endpoint(&network);
    endpoint.options.insert(options::MAC_ADDRESS.into(), endpoint.mac.to_string());
    assert_eq!(of_endpoint(&network, &endpoint)[options::MAC_ADDRESS], encode_mac(endpoint.mac));
}
