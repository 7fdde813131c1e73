//! Sandboxes: namespaces that somebody gave, links by name, and the networks that have none.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::thread;

use trestle_core::controller::request::{EndpointRequest, NetnsRequest, NetworkRequest};
use trestle_tests::landscape::{Landscape, PROTOCOLS, ROUTER, listens, place};
use trestle_tests::process::Process;
use trestle_tests::snapshot::Snapshot;
use trestle_tests::traffic::{Protocol, Server};

on_every_front!(
    a_namespace_that_was_given_is_used_and_left_as_it_was,
    a_sandbox_whose_process_died_is_removed_like_any_other,
    links_are_called_in_order_or_as_asked,
    the_null_network_is_loopback_and_nothing_else,
    the_host_s_network_is_the_host_s_namespace,
    a_link_of_somebody_else_is_named_with_the_way_out,
    a_sandbox_is_made_on_all_its_networks_or_not_at_all,
);

/// A process in a network namespace of its own, its loopback up.
fn process(land: &Landscape) -> Process {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"]);
    let process = land.router.start(command, "container");
    while !process.printed().contains("ready") {
        thread::yield_now();
    }
    process
}

fn a_namespace_that_was_given_is_used_and_left_as_it_was(land: &Landscape) {
    land.network("front");
    let client = land.container("client", "front", &[]);
    let process = process(land);
    let path = format!("/proc/{}/ns/net", process.pid());
    let namespace = land.router.namespace_at(Path::new(&path));
    let (inside, host) = (Snapshot::of(&namespace), Snapshot::of_host(&land.router));
    for netns in [NetnsRequest::Pid(process.pid()), NetnsRequest::Path(path.into())] {
        land.front.create_sandbox("given", &netns).unwrap();
        let place = land.front.connect("given", &place("front", &["8080:80"])).unwrap();
        listens(&namespace);
        let server = Server::start(&namespace, "given", 80);
        for address in [place.v4.map(IpAddr::from), place.v6.map(IpAddr::from)].into_iter().flatten() {
            assert_eq!(client.ask(Protocol::Tcp, address, 80).by(), Some("given"), "{address}");
        }
        for address in ROUTER {
            assert_eq!(land.ask(Protocol::Tcp, address, 8080).by(), Some("given"), "{address}");
        }
        drop(server);
        land.front.delete_sandbox("given").unwrap();
        land.nothing_is_amiss();
        inside.is_still(&Snapshot::of(&namespace));
        host.is_still(&Snapshot::of_host(&land.router));
    }
}

fn a_sandbox_whose_process_died_is_removed_like_any_other(land: &Landscape) {
    land.network("front");
    let _other = land.container("other", "front", &[]);
    let before = Snapshot::of_host(&land.router);
    let process = process(land);
    land.front.create_sandbox("given", &NetnsRequest::Pid(process.pid())).unwrap();
    land.front.connect("given", &place("front", &["8080:80"])).unwrap();
    process.kill();
    land.front.delete_sandbox("given").unwrap();
    land.nothing_is_amiss();
    before.is_still(&Snapshot::of_host(&land.router));
}

fn links_are_called_in_order_or_as_asked(land: &Landscape) {
    for network in ["one", "two", "three"] {
        land.network(network);
    }
    let mut web = land.container("web", "one", &[]);
    let interface = |name: &str| Some(name.try_into().unwrap());
    land.connect_as(&mut web, "two", &[], |wish: &mut EndpointRequest| wish.interface = interface("uplink0"));
    land.connect(&mut web, "three", &[]);
    let names = |web: &trestle_tests::landscape::Container| {
        let links = web.namespace.ip("-o link show");
        let names = links.lines().filter_map(|line| line.split([':', '@']).nth(1)).map(|it| it.trim().to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(&web), ["eth0", "eth1", "lo", "uplink0"]);
    land.disconnect(&mut web, "one");
    land.connect(&mut web, "one", &[]);
    assert_eq!(names(&web), ["eth0", "eth1", "lo", "uplink0"], "a name that is free again is used again");
    let again = EndpointRequest { interface: interface("eth1"), ..place("one", &[]) };
    land.disconnect(&mut web, "one");
    assert!(land.front.connect("web", &again).unwrap_err().contains("eth1"));
    land.nothing_is_amiss();
}

fn the_null_network_is_loopback_and_nothing_else(land: &Landscape) {
    land.front.create_network(&NetworkRequest::new("none".try_into().unwrap(), "null")).unwrap();
    let mut alone = land.sandbox("alone");
    land.connect(&mut alone, "none", &[]);
    let links = alone.namespace.ip("-o link show");
    assert!(links.lines().count() == 1 && links.contains("lo:") && links.contains(",UP"), "{links}");
    let _server = alone.serve(80);
    assert_eq!(alone.ask(Protocol::Tcp, Ipv4Addr::LOCALHOST.into(), 80).by(), Some("alone"));
    assert_eq!(alone.ask(Protocol::Tcp, ROUTER[0], 80).by(), None);
    land.nothing_is_amiss();
}

fn the_host_s_network_is_the_host_s_namespace(land: &Landscape) {
    land.front.create_network(&NetworkRequest::new("host".try_into().unwrap(), "host")).unwrap();
    // The first sandbox of all brings the folder of their files.
    land.front.create_sandbox("first", &NetnsRequest::Host).unwrap();
    land.front.delete_sandbox("first").unwrap();
    let before = Snapshot::of_host(&land.router);
    let network_before = Snapshot::of(land.router.namespace());
    land.front.create_sandbox("bare", &NetnsRequest::Host).unwrap();
    land.front.connect("bare", &place("host", &[])).unwrap();
    network_before.is_still(&Snapshot::of(land.router.namespace()));
    let server = Server::start(land.router.namespace(), "bare", 80);
    for protocol in PROTOCOLS {
        for address in ROUTER {
            assert_eq!(land.ask(protocol, address, 80).by(), Some("bare"), "{protocol} {address}");
        }
    }
    drop(server);
    land.front.delete_sandbox("bare").unwrap();
    before.is_still(&Snapshot::of_host(&land.router));
    land.nothing_is_amiss();
}

fn a_link_of_somebody_else_is_named_with_the_way_out(land: &Landscape) {
    land.network("front");
    let process = process(land);
    let path = format!("/proc/{}/ns/net", process.pid());
    let namespace = land.router.namespace_at(Path::new(&path));
    namespace.ip("link add eth0 type veth peer name theirs");
    let before = Snapshot::of(&namespace);
    land.front.create_sandbox("given", &NetnsRequest::Pid(process.pid())).unwrap();
    let refusal = land.front.connect("given", &place("front", &["8080:80"])).unwrap_err();
    assert!(refusal.contains("link of that name already") && refusal.contains("--interface"), "{refusal}");
    before.is_still(&Snapshot::of(&namespace));
    let other = EndpointRequest { interface: Some("trestle0".try_into().unwrap()), ..place("front", &["8080:80"]) };
    land.front.connect("given", &other).unwrap();
    let _server = Server::start(&namespace, "given", 80);
    assert_eq!(land.ask(Protocol::Tcp, ROUTER[0], 8080).by(), Some("given"));
    land.nothing_is_amiss();
}

fn a_sandbox_is_made_on_all_its_networks_or_not_at_all(land: &Landscape) {
    land.network("front");
    land.network("back");
    let friend = land.container("friend", "back", &[]);
    let path = land.front.create_attached("box", &["front", "back"], "8080:80").unwrap();
    let namespace = land.router.namespace_at(&path);
    listens(&namespace);
    let server = Server::start(&namespace, "box", 80);
    for address in ROUTER {
        assert_eq!(land.ask(Protocol::Tcp, address, 8080).by(), Some("box"), "{address}");
    }
    let links = namespace.ip("-brief link show type veth");
    assert!(links.contains("eth0") && links.contains("eth1"), "{links}");
    let address = namespace.ip("-o -4 address show dev eth1");
    let address = address.split_whitespace().find_map(|word| word.split_once('/')).unwrap().0;
    assert_eq!(friend.ask(Protocol::Tcp, address.parse().unwrap(), 80).by(), Some("box"));
    land.nothing_is_amiss();

    let host = Snapshot::of_host(&land.router);
    for (networks, port) in [(["front", "nowhere"], "8081:80"), (["back", "front"], "8080:80")] {
        let refusal = land.front.create_attached("other", &networks, port).unwrap_err();
        assert!(refusal.contains("nowhere") || refusal.contains("endpoint box on network front"), "{refusal}");
        host.is_still(&Snapshot::of_host(&land.router));
    }
    drop(server);
    land.front.delete_sandbox("box").unwrap();
    land.nothing_is_amiss();
}
