//! How packets get in and out of networks of each gateway mode, over IPv4 and IPv6.

use std::net::{IpAddr, SocketAddr, TcpListener};

use trestle_core::controller::request::NetworkRequest;
use trestle_tests::host::Host;
use trestle_tests::landscape::{Container, Landscape, OUTSIDE, PROTOCOLS, ROUTER};
use trestle_tests::traffic::{Caller, Protocol, Server, ask, echo};
use trestle_tests::wire::{self, End};

const MODE_V4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
const MODE_V6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
const NAME: &str = "com.docker.network.bridge.name";
const TRUSTED: &str = "com.docker.network.bridge.trusted_host_interfaces";
const INTER_CONTAINER: &str = "com.docker.network.bridge.enable_icc";
const SOURCE_V4: &str = "com.docker.network.host_ipv4";
const SOURCE_V6: &str = "com.docker.network.host_ipv6";

on_every_front!(
    a_routed_network_opens_published_ports_at_the_containers_own_addresses,
    routed_ports_come_and_go_while_the_container_runs,
    neighbours_on_a_routed_network_without_inter_container_traffic_reach_opened_ports,
    a_network_can_be_routed_in_one_family,
    unprotected_networks_are_open_by_route_but_not_to_other_networks,
    isolated_networks_reach_neither_the_host_nor_the_outside,
    trusted_links_reach_published_ports_at_the_container_s_own_address,
    the_outside_sees_the_chosen_source_address,
    every_mode_holds_without_ipv4,
    every_mode_holds_on_a_user_s_bridge_which_stays,
);

fn with(options: &[(&str, &str)]) -> impl FnOnce(&mut NetworkRequest) {
    let options: Vec<(String, String)> =
        options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    move |request| request.options.extend(options)
}

/// Who answers at a port of each of these addresses, over each protocol: the same everywhere.
#[track_caller]
fn answers(asked: impl Fn(Protocol, IpAddr, u16) -> Option<String>, addresses: &[IpAddr], port: u16, by: Option<&str>) {
    for address in addresses {
        for protocol in PROTOCOLS {
            assert_eq!(asked(protocol, *address, port).as_deref(), by, "{protocol} {address} {port}");
        }
    }
}

fn from<'a>(container: &'a Container) -> impl Fn(Protocol, IpAddr, u16) -> Option<String> + 'a {
    |protocol, address, port| container.ask(protocol, address, port).by().map(str::to_owned)
}

fn outside(land: &Landscape) -> impl Fn(Protocol, IpAddr, u16) -> Option<String> + '_ {
    |protocol, address, port| land.ask(protocol, address, port).by().map(str::to_owned)
}

fn host(land: &Landscape) -> impl Fn(Protocol, IpAddr, u16) -> Option<String> + '_ {
    |protocol, address, port| land.ask_locally(protocol, address, port).by().map(str::to_owned)
}

const ROUTED: [(&str, &str); 2] = [(MODE_V4, "routed"), (MODE_V6, "routed")];

fn a_routed_network_opens_published_ports_at_the_containers_own_addresses(land: &Landscape) {
    land.network_as("routed", with(&ROUTED));
    land.network("back");
    let web = land.container("web", "routed", &["8080:80/tcp", "8080:80/udp", "90-95/tcp", "90-95/udp"]);
    let stranger = land.container("stranger", "back", &[]);
    let (_open, _range, closed) = (web.serve(80), web.serve(95), web.serve(81));
    let _world = Server::start(land.outside.namespace(), "world", 80);
    let own = web.addresses("routed");
    for port in [80, 95] {
        answers(outside(land), &own, port, Some("web"));
        answers(from(&stranger), &own, port, Some("web"));
        answers(host(land), &own, port, Some("web"));
    }
    answers(outside(land), &own, 81, None);
    answers(from(&stranger), &own, 81, None);
    assert_eq!(closed.clients(), []);
    for (own, client) in own.into_iter().zip(OUTSIDE) {
        assert_eq!(land.ask(Protocol::Tcp, own, 80).saw(), Some(client));
        assert!(echo(land.outside.namespace(), own), "ICMP reaches {own}");
        assert_eq!(web.ask(Protocol::Tcp, client, 80).saw(), Some(own), "nothing is translated on the way out");
    }
    let [own_v4, _] = land.container("plain", "back", &[]).addresses("back");
    assert!(!echo(land.outside.namespace(), own_v4), "ICMP reaches no network that is not routed");
    // No port of the host is taken: it answers for itself, and other programs may have it.
    for port in [80, 8080, 90] {
        answers(outside(land), &ROUTER, port, None);
        land.router.run(|| TcpListener::bind(("::", port)).map(drop)).unwrap();
    }
    assert_eq!(web.places["routed"].ports, ["80/tcp", "80/udp", "90-95/tcp", "90-95/udp"]);
    land.nothing_is_amiss();
}

fn routed_ports_come_and_go_while_the_container_runs(land: &Landscape) {
    land.network_as("routed", with(&ROUTED));
    let web = land.container("web", "routed", &[]);
    let _servers = [web.serve(80), web.serve(81)];
    let own = web.addresses("routed");
    answers(outside(land), &own, 80, None);
    for port in ["80/tcp", "80/udp"] {
        assert!(land.front.publish("routed/web", port).unwrap().contains(&port.to_owned()));
    }
    answers(outside(land), &own, 80, Some("web"));
    // Several that overlap stand as one, and come apart again.
    for port in ["79-81/tcp", "79-81/udp", "81-90/tcp", "81-90/udp"] {
        land.front.publish("routed/web", port).unwrap();
    }
    let callers = own.map(|address| Caller::new(land.outside.namespace(), SocketAddr::new(address, 81)));
    assert!(callers.iter().all(|caller| caller.ask().by() == Some("web")));
    for port in ["79-81/tcp", "79-81/udp"] {
        land.front.unpublish("routed/web", port).unwrap();
    }
    answers(outside(land), &own, 81, Some("web"));
    assert!(callers.iter().all(|caller| caller.ask().by() == Some("web")));
    land.nothing_is_amiss();
    for port in ["81-90/tcp", "81-90/udp"] {
        land.front.unpublish("routed/web", port).unwrap();
    }
    answers(outside(land), &own, 81, None);
    assert!(callers.iter().all(|caller| caller.ask().by().is_none()), "a flow ends with its port");
    assert!(land.front.publish("routed/web", "80/tcp").unwrap() == ["80/tcp"], "the ranges took it along");
    land.nothing_is_amiss();
}

fn neighbours_on_a_routed_network_without_inter_container_traffic_reach_opened_ports(land: &Landscape) {
    land.network_as("routed", with(&[ROUTED[0], ROUTED[1], (INTER_CONTAINER, "false")]));
    let web = land.container("web", "routed", &["80/tcp", "80/udp"]);
    let client = land.container("client", "routed", &[]);
    let _servers = [web.serve(80), web.serve(81)];
    let own = web.addresses("routed");
    answers(from(&client), &own, 80, Some("web"));
    answers(from(&client), &own, 81, None);
    assert!(!echo(&client.namespace, own[0]), "ICMP is for those who come by a route");
    answers(outside(land), &own, 80, Some("web"));
}

fn a_network_can_be_routed_in_one_family(land: &Landscape) {
    land.network_as("mixed", with(&[(MODE_V6, "routed")]));
    let web = land.container("web", "mixed", &["8080:80/tcp", "8080:80/udp"]);
    let (_server, _world) = (web.serve(80), Server::start(land.outside.namespace(), "world", 80));
    let [v4, v6] = web.addresses("mixed");
    answers(outside(land), &[ROUTER[0]], 8080, Some("web"));
    answers(outside(land), &[v6], 80, Some("web"));
    answers(outside(land), &[ROUTER[1]], 8080, None);
    answers(outside(land), &[v4], 80, None);
    answers(from(&web), &[ROUTER[0]], 8080, Some("web"));
    assert_eq!(web.ask(Protocol::Tcp, OUTSIDE[0], 80).saw(), Some(ROUTER[0]));
    assert_eq!(web.ask(Protocol::Tcp, OUTSIDE[1], 80).saw(), Some(v6));
    land.nothing_is_amiss();
}

fn unprotected_networks_are_open_by_route_but_not_to_other_networks(land: &Landscape) {
    land.network_as("open", with(&[(MODE_V4, "nat-unprotected"), (MODE_V6, "nat-unprotected")]));
    land.network("back");
    let web = land.container("web", "open", &["8080:80/tcp", "8080:80/udp"]);
    let stranger = land.container("stranger", "back", &[]);
    let _servers = [web.serve(80), web.serve(81), Server::start(land.outside.namespace(), "world", 80)];
    let own = web.addresses("open");
    for port in [80, 81] {
        answers(outside(land), &own, port, Some("web"));
        answers(from(&stranger), &own, port, None);
    }
    answers(outside(land), &ROUTER, 8080, Some("web"));
    answers(from(&stranger), &ROUTER, 8080, Some("web"));
    answers(from(&web), &ROUTER, 8080, Some("web"));
    for (world, router) in OUTSIDE.into_iter().zip(ROUTER) {
        assert_eq!(web.ask(Protocol::Tcp, world, 80).saw(), Some(router));
    }
    land.nothing_is_amiss();
}

fn isolated_networks_reach_neither_the_host_nor_the_outside(land: &Landscape) {
    land.network_as("vault", |request| {
        request.internal = true;
        with(&[(MODE_V4, "isolated"), (MODE_V6, "isolated")])(request);
    });
    let (safe, friend) = (land.container("safe", "vault", &[]), land.container("friend", "vault", &[]));
    let server = safe.serve(80);
    let of_host = Server::start(land.router.namespace(), "router", 80);
    let own = safe.addresses("vault");
    answers(host(land), &own, 80, None);
    answers(outside(land), &own, 80, None);
    assert_eq!(server.clients(), []);
    answers(from(&friend), &own, 80, Some("safe"));
    let gateways = friend.gateways("vault");
    answers(from(&friend), &gateways, 80, None);
    answers(from(&friend), &[ROUTER, OUTSIDE].concat(), 80, None);
    // Not even a container that may change its routes gets through: it knows the bridge's Ethernet address.
    let interface = friend.places["vault"].interface.as_deref().unwrap();
    friend.namespace.ip(&format!("route add default dev {interface}"));
    friend.namespace.ip(&format!("-6 route add default dev {interface}"));
    answers(from(&friend), &[ROUTER, OUTSIDE].concat(), 80, None);
    assert_eq!(of_host.clients(), []);
    land.nothing_is_amiss();
}

fn trusted_links_reach_published_ports_at_the_container_s_own_address(land: &Landscape) {
    let friend = Host::new("friend");
    wire::lay(
        End { host: &friend, link: "uplink", addresses: &["198.51.100.1/24", "2001:db8:2::1/64"] },
        End { host: &land.router, link: "trusted", addresses: &["198.51.100.2/24", "2001:db8:2::2/64"] },
        wire::MTU,
    );
    friend.ip("route add default via 198.51.100.2");
    friend.ip("-6 route add default via 2001:db8:2::2");
    land.network_as("front", with(&[(TRUSTED, "trusted:vxlan.1")]));
    land.network("back");
    let web = land.container(
        "web",
        "front",
        &["127.0.0.1:8080:80/tcp", "127.0.0.1:8080:80/udp", "8081:81/tcp", "8081:81/udp"],
    );
    let stranger = land.container("stranger", "back", &["8082:80/tcp"]);
    let _servers = [web.serve(80), web.serve(81), stranger.serve(80)];
    let closed = web.serve(82);
    let by_friend = |protocol, address, port| ask(friend.namespace(), protocol, address, port).by().map(str::to_owned);
    let own = web.addresses("front");
    answers(by_friend, &own[..1], 80, Some("web"));
    answers(by_friend, &own, 81, Some("web"));
    answers(by_friend, &own, 82, None);
    answers(by_friend, &stranger.addresses("back"), 80, None);
    for port in [80, 81, 82] {
        answers(outside(land), &own, port, None);
        answers(from(&stranger), &own, port, None);
    }
    answers(outside(land), &ROUTER, 8081, Some("web"));
    assert_eq!(closed.clients(), []);
    land.nothing_is_amiss();
}

fn the_outside_sees_the_chosen_source_address(land: &Landscape) {
    let chosen: [IpAddr; 2] = ["192.0.2.77", "2001:db8:1::77"].map(|address| address.parse().unwrap());
    land.router.ip("address add 192.0.2.77/32 dev uplink");
    // Never chosen by the kernel itself.
    land.router.ip("address add 2001:db8:1::77/128 dev uplink nodad preferred_lft 0");
    trestle_tests::landscape::listens(land.router.namespace());
    land.network_as("front", with(&[(SOURCE_V4, "192.0.2.77"), (SOURCE_V6, "2001:db8:1::77")]));
    land.network("back");
    let (client, plain) = (land.container("client", "front", &[]), land.container("plain", "back", &["8080:80/tcp"]));
    let _servers = [plain.serve(80), Server::start(land.outside.namespace(), "world", 80)];
    for (((world, router), chosen), own) in OUTSIDE.into_iter().zip(ROUTER).zip(chosen).zip(client.addresses("front")) {
        for protocol in PROTOCOLS {
            assert_eq!(client.ask(protocol, world, 80).saw(), Some(chosen), "{protocol} {world}");
            assert_eq!(plain.ask(protocol, world, 80).saw(), Some(router), "{protocol} {world}");
        }
        let answer = client.ask(Protocol::Tcp, router, 8080);
        assert_eq!((answer.by(), answer.saw()), (Some("plain"), Some(own)), "between networks the source is kept");
    }
    land.nothing_is_amiss();
}

/// What a network of a mode lets in at a container's own address: an opened port, another one, and a port of the host.
const WORDS: [(&str, [bool; 3]); 3] =
    [("nat", [false, false, true]), ("nat-unprotected", [true, true, true]), ("routed", [true, false, false])];

#[track_caller]
fn keeps_its_word(land: &Landscape, name: &str, own: &[IpAddr], router: &[IpAddr], lets_in: [bool; 3]) {
    for (asked, port, lets_in) in [(own, 80, lets_in[0]), (own, 81, lets_in[1]), (router, 8080, lets_in[2])] {
        answers(outside(land), asked, port, lets_in.then_some(name));
    }
}

fn every_mode_holds_without_ipv4(land: &Landscape) {
    for (mode, lets_in) in WORDS {
        land.network_as(mode, |request| {
            request.ipv4 = false;
            with(&[(MODE_V6, mode)])(request);
        });
        let web = land.container(&format!("web-{mode}"), mode, &["8080:80/tcp", "8080:80/udp"]);
        let _servers = [web.serve(80), web.serve(81)];
        assert_eq!(web.places[mode].v4, None);
        let own = [IpAddr::from(web.places[mode].v6.unwrap())];
        keeps_its_word(land, &web.name, &own, &ROUTER[1..], lets_in);
        answers(from(&web), &ROUTER[1..], 8080, lets_in[2].then_some(&*web.name));
        land.front.delete_sandbox(&web.name).unwrap();
    }
    land.network_as("vault", |request| {
        (request.ipv4, request.internal) = (false, true);
        with(&[(MODE_V6, "isolated")])(request);
    });
    let (safe, friend) = (land.container("safe", "vault", &[]), land.container("friend", "vault", &[]));
    let _server = safe.serve(80);
    let own = [IpAddr::from(safe.places["vault"].v6.unwrap())];
    answers(from(&friend), &own, 80, Some("safe"));
    answers(host(land), &own, 80, None);
    answers(outside(land), &own, 80, None);
    land.nothing_is_amiss();
}

fn every_mode_holds_on_a_user_s_bridge_which_stays(land: &Landscape) {
    land.router.ip("link add lan0 type bridge");
    land.router.ip("link set lan0 up");
    land.router.ip("address add fe80::9/64 dev lan0 nodad");
    for (mode, lets_in) in WORDS {
        land.network_as(mode, with(&[(NAME, "lan0"), (MODE_V4, mode), (MODE_V6, mode)]));
        let web = land.container(&format!("web-{mode}"), mode, &["8080:80/tcp", "8080:80/udp"]);
        let _servers = [web.serve(80), web.serve(81)];
        keeps_its_word(land, &web.name, &web.addresses(mode), &ROUTER, lets_in);
        land.nothing_is_amiss();
        land.front.delete_sandbox(&web.name).unwrap();
        land.front.delete_network(mode).unwrap();
        assert_eq!(land.router.ip("-4 -o address show dev lan0"), "");
    }
    land.network_as("vault", |request| {
        request.internal = true;
        with(&[(NAME, "lan0"), (MODE_V4, "isolated"), (MODE_V6, "isolated")])(request);
    });
    let safe = land.container("safe", "vault", &[]);
    let _server = safe.serve(80);
    answers(host(land), &safe.addresses("vault"), 80, None);
    land.front.delete_sandbox("safe").unwrap();
    land.front.delete_network("vault").unwrap();
    assert!(land.router.ip("-o link show dev lan0").contains("lan0"));
}
