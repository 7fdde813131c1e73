//! Real packets through the firewall: a client, a router that is our host, and containers behind it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod firewall_host;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use firewall_host::resources::network;
use firewall_host::{Host, all, instance, listens, run, write_sysctl};
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{
    FirewallNetwork, GatewayMode, Hairpin, Inside, MasqueradedUdp, OpenedPort, PublishedPort, Resource,
};
use trestle_kernel::firewall::{Backend, Firewall};

thread_local! {
    /// What programs the firewall in the test of this thread.
    static BACKEND: Cell<Backend> = const { Cell::new(Backend::NfTables) };
}

fn backend() -> Backend {
    BACKEND.get()
}

/// The host under test with a client outside and two networks of two containers each: `10.1.0.0/24` and `10.2.0.0/24`.
struct Site {
    client: Host,
    router: Host,
    containers: [Host; 4],
}

const CLIENT: [&str; 2] = ["198.51.100.2", "2001:db8::2"];
const ROUTER: [&str; 2] = ["198.51.100.1", "2001:db8::1"];
/// The addresses of the containers: the first two are on `br1`, the others on `br2`.
const CONTAINERS: [[&str; 2]; 4] =
    [["10.1.0.2", "fd00:1::2"], ["10.1.0.3", "fd00:1::3"], ["10.2.0.2", "fd00:2::2"], ["10.2.0.3", "fd00:2::3"]];

impl Site {
    fn new(filter_bridged: bool) -> Self {
        let [client, router] = [Host::new(), Host::new()];
        let containers = [Host::new(), Host::new(), Host::new(), Host::new()];
        wire(&router, "out", &client, CLIENT);
        address(&router, "out", ROUTER);
        let call = u8::from(filter_bridged);
        for bridge in ["br1", "br2"] {
            router.ip(&format!("link add {bridge} type bridge nf_call_iptables {call} nf_call_ip6tables {call}"));
        }
        address(&router, "br1", ["10.1.0.1", "fd00:1::1"]);
        address(&router, "br2", ["10.2.0.1", "fd00:2::1"]);
        for (number, (container, own)) in containers.iter().zip(CONTAINERS).enumerate() {
            let bridge = if number < 2 { "br1" } else { "br2" };
            wire(&router, &format!("veth{number}"), container, own);
            router.ip(&format!("link set veth{number} master {bridge}"));
            router.ip(&format!("link set veth{number} type bridge_slave hairpin on"));
            let (gateway4, gateway6) = if number < 2 { ("10.1.0.1", "fd00:1::1") } else { ("10.2.0.1", "fd00:2::1") };
            container.ip(&format!("route add default via {gateway4}"));
            container.ip(&format!("-6 route add default via {gateway6}"));
        }
        // The client could reach the containers directly if nothing forbade it.
        client.ip(&format!("route add default via {}", ROUTER[0]));
        client.ip(&format!("-6 route add default via {}", ROUTER[1]));
        router.run(|| {
            write_sysctl("net/ipv4/ip_forward", "1");
            write_sysctl("net/ipv6/conf/all/forwarding", "1");
            for bridge in ["br1", "br2"] {
                write_sysctl(&format!("net/ipv4/conf/{bridge}/route_localnet"), "1");
            }
        });
        // Who asks for one link makes the kernel notice its carrier (Linux 6.13), instead of by and by: until it does,
        // the link drops what it is to send, and a lost question to a neighbour is asked again a second later.
        for link in ["out", "veth0", "veth1", "veth2", "veth3", "br1", "br2"] {
            router.ip(&format!("link show dev {link}"));
        }
        std::iter::once(&client).chain(&containers).for_each(|host| host.ip("link show dev eth0"));
        [&client, &router].into_iter().chain(&containers).for_each(|host| host.run(listens));
        Self { client, router, containers }
    }

    /// The same with the firewall on the router.
    fn with(filter_bridged: bool, resources: &[Resource]) -> Self {
        let site = Self::new(filter_bridged);
        let backend = backend();
        site.router.run(|| {
            let mut firewall = Firewall::open_with(backend, instance()).unwrap();
            firewall.change(&[], &[], &all(resources)).unwrap();
        });
        site
    }
}

/// A link from the router to another host, up at both ends.
fn wire(router: &Host, name: &str, other: &Host, own: [&str; 2]) {
    router.ip(&format!("link add {name} type veth peer name eth0 netns {}", other.path().display()));
    router.ip(&format!("link set {name} up"));
    address(other, "eth0", own);
}

fn address(host: &Host, link: &str, [v4, v6]: [&str; 2]) {
    host.ip(&format!("address add {v4}/24 dev {link}"));
    host.ip(&format!("address add {v6}/64 dev {link} nodad"));
    host.ip(&format!("link set {link} up"));
}

/// A TCP server that tells every caller who it is taken for.
fn serve(host: &Host, port: u16) {
    let listener = host.run(|| TcpListener::bind(("::", port)).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let caller = stream.peer_addr().unwrap().ip().to_canonical();
            stream.write_all(caller.to_string().as_bytes()).unwrap();
        }
    });
}

/// Calls a server, and says who it took the caller for.
fn call(host: &Host, server: &str, port: u16) -> Result<String, ErrorKind> {
    host.run(|| {
        let mut stream = TcpStream::connect(to(server, port)).map_err(|error| error.kind())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        Ok(answer)
    })
}

fn to(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().unwrap(), port)
}

fn receiver(host: &Host, at: &str, port: u16) -> UdpSocket {
    host.run(|| UdpSocket::bind(to(at, port)).unwrap())
}

/// Sends to a forbidden place, then to an allowed one on the same way. What comes there tells that the first is past
/// too, for one processor hands packets on in their order: it has arrived by then or never will.
fn is_dropped(from: &Host, forbidden: (SocketAddr, &UdpSocket), allowed: (SocketAddr, &UdpSocket)) -> bool {
    let sender = from.run(|| {
        let any = if forbidden.0.is_ipv4() { "0.0.0.0" } else { "::" };
        UdpSocket::bind(to(any, 0)).unwrap()
    });
    drop_comes_first(&sender, forbidden, allowed)
}

fn drop_comes_first(
    sender: &UdpSocket,
    forbidden: (SocketAddr, &UdpSocket),
    allowed: (SocketAddr, &UdpSocket),
) -> bool {
    let mut buffer = [0; 64];
    // Neighbours are to be known: what waits for their answer would be overtaken.
    sender.send_to(b"hello", allowed.0).unwrap();
    assert_eq!(allowed.1.recv(&mut buffer).unwrap(), 5, "what is allowed comes");
    on_one_processor(|| {
        sender.send_to(b"forbidden", forbidden.0).unwrap();
        sender.send_to(b"allowed", allowed.0).unwrap();
    });
    assert_eq!(allowed.1.recv(&mut buffer).unwrap(), 7);
    forbidden.1.set_nonblocking(true).unwrap();
    match forbidden.1.recv(&mut buffer) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            true
        }
    }
}

fn on_one_processor(what: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut one = rustix::thread::CpuSet::new();
            one.set(rustix::thread::sched_getcpu());
            rustix::thread::sched_setaffinity(None, &one).unwrap();
            what();
        });
    });
}

fn port(protocol: Protocol, address: Option<&str>, host: u16, container: usize, port: u16) -> Resource {
    Resource::PublishedPort(PublishedPort {
        protocol,
        address: address.map(|it| it.parse().unwrap()),
        host: PortRange::single(host).unwrap(),
        container: PortRange::single(port).unwrap(),
        to_v4: Some(CONTAINERS[container][0].parse().unwrap()),
        to_v6: Some(CONTAINERS[container][1].parse().unwrap()),
    })
}

fn networks(first: FirewallNetwork, second: FirewallNetwork) -> Vec<Resource> {
    vec![Resource::FirewallBase, Resource::FirewallNetwork(first), Resource::FirewallNetwork(second)]
}

fn open_networks() -> Vec<Resource> {
    networks(network("br1"), network("br2"))
}

#[test]
fn a_published_port_is_reached_from_outside_and_sees_its_caller() {
    let mut resources = open_networks();
    let mut range = PublishedPort {
        protocol: Protocol::Tcp,
        address: None,
        host: PortRange::new(9000, 9010).unwrap(),
        container: PortRange::new(9000, 9010).unwrap(),
        to_v4: Some(CONTAINERS[0][0].parse().unwrap()),
        to_v6: Some(CONTAINERS[0][1].parse().unwrap()),
    };
    resources.push(Resource::PublishedPort(range.clone()));
    range.address = Some(ROUTER[0].parse().unwrap());
    range.host = PortRange::new(9100, 9110).unwrap();
    range.container = range.host;
    resources.push(Resource::PublishedPort(range));
    resources.push(port(Protocol::Tcp, None, 8080, 0, 80));
    resources.push(port(Protocol::Tcp, Some(ROUTER[0]), 8081, 0, 80));
    resources.push(port(Protocol::Tcp, Some(ROUTER[1]), 8082, 0, 80));
    let site = Site::with(true, &resources);
    for port in [80, 9005, 9107] {
        serve(&site.containers[0], port);
    }
    for (at, port, from) in [
        (ROUTER[0], 8080, CLIENT[0]),
        (ROUTER[1], 8080, CLIENT[1]),
        (ROUTER[0], 8081, CLIENT[0]),
        (ROUTER[1], 8082, CLIENT[1]),
        (ROUTER[0], 9005, CLIENT[0]),
        (ROUTER[1], 9005, CLIENT[1]),
        (ROUTER[0], 9107, CLIENT[0]),
    ] {
        assert_eq!(call(&site.client, at, port), Ok(from.to_owned()), "{at} {port}");
    }
    for (at, port) in [(ROUTER[1], 8081), (ROUTER[0], 8082), (ROUTER[0], 8079), (ROUTER[1], 9107), (ROUTER[0], 9011)] {
        assert_eq!(call(&site.client, at, port), Err(ErrorKind::ConnectionRefused), "{at} {port}");
    }
}

#[test]
fn a_container_is_not_reached_past_its_published_ports() {
    let mut resources = open_networks();
    resources.push(port(Protocol::Udp, None, 5000, 0, 50));
    let site = Site::with(true, &resources);
    for family in [0, 1] {
        let own = CONTAINERS[0][family];
        let published = receiver(&site.containers[0], own, 50);
        let allowed = (to(ROUTER[family], 5000), &published);
        let other = receiver(&site.containers[0], own, 51);
        assert!(is_dropped(&site.client, (to(own, 51), &other), allowed));
        // Not even the published port, but through the host's.
        let second = site.client.run(|| UdpSocket::bind(to(CLIENT[family], 0)).unwrap());
        let mut buffer = [0; 64];
        on_one_processor(|| {
            second.send_to(b"forbidden", to(own, 50)).unwrap();
            second.send_to(b"allowed", allowed.0).unwrap();
        });
        assert_eq!(published.recv(&mut buffer).unwrap(), 7);
    }
}

#[test]
fn networks_are_apart_but_for_published_ports() {
    let mut resources = open_networks();
    resources.push(port(Protocol::Udp, None, 5000, 2, 50));
    resources.push(port(Protocol::Tcp, None, 8080, 2, 80));
    let site = Site::with(true, &resources);
    serve(&site.containers[2], 80);
    for family in [0, 1] {
        let far = CONTAINERS[2][family];
        let published = receiver(&site.containers[2], far, 50);
        let other = receiver(&site.containers[2], far, 51);
        let allowed = (to(ROUTER[family], 5000), &published);
        assert!(is_dropped(&site.containers[0], (to(far, 51), &other), allowed));
        let caller = CONTAINERS[0][family];
        assert_eq!(call(&site.containers[0], ROUTER[family], 8080), Ok(caller.to_owned()));
        assert_eq!(call(&site.containers[3], CONTAINERS[2][family], 80), Ok(CONTAINERS[3][family].to_owned()));
    }
}

#[test]
fn neighbours_kept_apart_reach_only_published_ports() {
    let closed = FirewallNetwork { inside: Inside::PublishedOnly, ..network("br1") };
    let mut resources = networks(closed, network("br2"));
    resources.push(port(Protocol::Udp, None, 5000, 1, 50));
    resources.push(port(Protocol::Tcp, None, 8080, 1, 80));
    let site = Site::with(true, &resources);
    serve(&site.containers[1], 80);
    for family in [0, 1] {
        let near = CONTAINERS[1][family];
        let published = receiver(&site.containers[1], near, 50);
        let other = receiver(&site.containers[1], near, 51);
        let allowed = (to(ROUTER[family], 5000), &published);
        assert!(is_dropped(&site.containers[0], (to(near, 51), &other), allowed));
        assert_eq!(call(&site.containers[0], ROUTER[family], 8080), Ok(CONTAINERS[0][family].to_owned()));
    }
}

#[test]
fn a_container_reaches_itself_through_its_published_port() {
    for filter_bridged in [true, false] {
        let unfiltered = FirewallNetwork { filter_bridged, ..network("br1") };
        let mut resources = networks(unfiltered, FirewallNetwork { filter_bridged, ..network("br2") });
        resources.push(port(Protocol::Tcp, None, 8080, 0, 80));
        resources.extend(CONTAINERS[0].map(|it| Resource::Hairpin(Hairpin { address: it.parse().unwrap() })));
        let site = Site::with(filter_bridged, &resources);
        serve(&site.containers[0], 80);
        for (family, gateway) in [(0, "10.1.0.1"), (1, "fd00:1::1")] {
            assert_eq!(call(&site.containers[0], ROUTER[family], 8080), Ok(gateway.to_owned()), "{filter_bridged}");
            // A neighbour reaches it too; where the bridge's traffic passes no firewall, under the host's name.
            let taken_for = if filter_bridged { CONTAINERS[1][family] } else { gateway };
            assert_eq!(call(&site.containers[1], ROUTER[family], 8080), Ok(taken_for.to_owned()), "{filter_bridged}");
            assert_eq!(call(&site.containers[1], gateway, 8080), Ok(taken_for.to_owned()), "{filter_bridged}");
        }
    }
}

#[test]
fn what_leaves_bears_the_host_s_address_if_so_wanted() {
    let own_v6 = FirewallNetwork { masquerade_v6: false, ..network("br1") };
    let own_v4 = FirewallNetwork { masquerade_v4: false, ..network("br2") };
    let site = Site::with(true, &networks(own_v6, own_v4));
    serve(&site.client, 80);
    for (container, family, taken_for) in
        [(0, 0, ROUTER[0]), (0, 1, CONTAINERS[0][1]), (2, 0, CONTAINERS[2][0]), (2, 1, ROUTER[1])]
    {
        assert_eq!(call(&site.containers[container], CLIENT[family], 80), Ok(taken_for.to_owned()));
    }
}

#[test]
fn published_udp_is_masqueraded_where_its_answers_would_take_another_way() {
    let mut resources = open_networks();
    for (host, container) in [(5000, 0), (5001, 1)] {
        resources.push(port(Protocol::Udp, None, host, container, 50));
    }
    resources.extend(CONTAINERS[0].map(|it| Resource::MasqueradedUdp(MasqueradedUdp { address: it.parse().unwrap() })));
    let site = Site::with(true, &resources);
    for (family, gateway) in [(0, "10.1.0.1"), (1, "fd00:1::1")] {
        for (host, container, taken_for) in [(5000, 0, gateway), (5001, 1, CLIENT[family])] {
            let service = receiver(&site.containers[container], CONTAINERS[container][family], 50);
            let client = receiver(&site.client, CLIENT[family], 0);
            client.send_to(b"question", to(ROUTER[family], host)).unwrap();
            let mut buffer = [0; 64];
            let (_, caller) = service.recv_from(&mut buffer).unwrap();
            assert_eq!(caller.ip().to_string(), taken_for);
            service.send_to(b"answer", caller).unwrap();
            let (_, answers) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(answers, to(ROUTER[family], host));
        }
    }
}

#[test]
fn an_internal_network_neither_leaves_nor_lets_in() {
    let internal = FirewallNetwork { internal: true, ..network("br1") };
    let mut resources = networks(internal, network("br2"));
    resources.push(port(Protocol::Udp, None, 5000, 2, 50));
    resources.push(port(Protocol::Udp, None, 5001, 0, 50));
    let site = Site::with(true, &resources);
    serve(&site.containers[0], 80);
    for family in [0, 1] {
        let inside = receiver(&site.containers[0], CONTAINERS[0][family], 50);
        let outside = receiver(&site.client, CLIENT[family], 50);
        let elsewhere = receiver(&site.containers[2], CONTAINERS[2][family], 50);
        let host = receiver(&site.router, ROUTER[family], 60);
        let to_host = (to(ROUTER[family], 60), &host);
        assert!(is_dropped(&site.containers[0], (to(CLIENT[family], 50), &outside), to_host));
        assert!(is_dropped(&site.containers[0], (to(ROUTER[family], 5000), &elsewhere), to_host));
        assert!(is_dropped(&site.client, (to(ROUTER[family], 5001), &inside), to_host));
        assert_eq!(call(&site.containers[1], CONTAINERS[0][family], 80), Ok(CONTAINERS[1][family].to_owned()));
    }
}

#[test]
fn this_host_reaches_published_ports_by_every_address_it_has() {
    let mut resources = open_networks();
    resources.push(port(Protocol::Tcp, None, 8080, 0, 80));
    resources.push(port(Protocol::Tcp, Some("127.0.0.1"), 8081, 0, 80));
    let site = Site::with(true, &resources);
    serve(&site.containers[0], 80);
    assert_eq!(call(&site.router, "127.0.0.1", 8080), Ok("10.1.0.1".to_owned()));
    assert_eq!(call(&site.router, "127.0.0.1", 8081), Ok("10.1.0.1".to_owned()));
    assert_eq!(call(&site.router, "127.9.9.9", 8080), Ok("10.1.0.1".to_owned()));
    assert_eq!(call(&site.router, ROUTER[0], 8080), Ok(ROUTER[0].to_owned()));
    assert_eq!(call(&site.router, ROUTER[1], 8080), Ok(ROUTER[1].to_owned()));
    // What holds the port answers here.
    assert_eq!(call(&site.router, "::1", 8080), Err(ErrorKind::ConnectionRefused));
    assert_eq!(call(&site.client, ROUTER[0], 8081), Err(ErrorKind::ConnectionRefused));
}

#[test]
fn the_host_s_loopback_is_closed_to_containers_and_neighbours() {
    let mut resources = open_networks();
    resources.push(port(Protocol::Udp, Some("127.0.0.1"), 5000, 2, 50));
    let site = Site::with(true, &resources);
    let service = receiver(&site.router, "127.0.0.1", 60);
    let trusting = receiver(&site.router, "0.0.0.0", 61);
    let published = receiver(&site.containers[2], CONTAINERS[2][0], 50);
    for (attacker, by, own, link) in
        [(&site.containers[0], "10.1.0.1", CONTAINERS[0][0], "br1"), (&site.client, ROUTER[0], CLIENT[0], "out")]
    {
        site.router.run(|| {
            write_sysctl("net/ipv4/conf/out/route_localnet", "1");
            write_sysctl("net/ipv4/conf/all/rp_filter", "0");
            write_sysctl(&format!("net/ipv4/conf/{link}/rp_filter"), "0");
        });
        attacker.run(|| write_sysctl("net/ipv4/conf/all/route_localnet", "1"));
        attacker.ip("address del 127.0.0.1/8 dev lo");
        attacker.ip(&format!("route add 127.0.0.1 via {by} src {own}"));
        let allowed = (to(by, 61), &trusting);
        assert!(is_dropped(attacker, (to("127.0.0.1", 60), &service), allowed));
        assert!(is_dropped(attacker, (to("127.0.0.1", 5000), &published), allowed));
        // Under the name of the loopback.
        attacker.ip("address add 127.0.0.7/32 dev eth0");
        let sender = attacker.run(|| UdpSocket::bind(to("127.0.0.7", 0)).unwrap());
        let marker = attacker.run(|| UdpSocket::bind(to(own, 0)).unwrap());
        on_one_processor(|| {
            sender.send_to(b"forbidden", to(by, 61)).unwrap();
            marker.send_to(b"allowed", to(by, 61)).unwrap();
        });
        let mut buffer = [0; 64];
        trusting.set_nonblocking(false).unwrap();
        assert_eq!(trusting.recv(&mut buffer).unwrap(), 7);
    }
}

#[test]
fn people_s_own_rules_go_first() {
    let mut resources = open_networks();
    resources.push(port(Protocol::Udp, None, 5000, 0, 50));
    resources.push(port(Protocol::Udp, None, 5001, 0, 51));
    let site = Site::with(true, &resources);
    let backend = backend();
    site.router.run(|| match backend {
        Backend::NfTables => firewall_host::nft("add rule inet trestle admin udp dport 51 drop\n"),
        iptables => drop(run(
            &iptables.to_string(),
            &["-A", "TRESTLE-USER", "-p", "udp", "-m", "udp", "--dport", "51", "-j", "DROP"],
        )),
    });
    let open = receiver(&site.containers[0], CONTAINERS[0][0], 50);
    let barred = receiver(&site.containers[0], CONTAINERS[0][0], 51);
    assert!(is_dropped(&site.client, (to(ROUTER[0], 5001), &barred), (to(ROUTER[0], 5000), &open)));
}

#[test]
fn a_connection_outlives_the_restoring_of_the_table() {
    let mut resources = open_networks();
    resources.push(port(Protocol::Tcp, None, 8080, 0, 80));
    let site = Site::with(true, &resources);
    let listener = site.containers[0].run(|| TcpListener::bind(("::", 80)).unwrap());
    let mut ours = site.client.run(|| TcpStream::connect(to(ROUTER[0], 8080)).unwrap());
    let (mut theirs, _) = listener.accept().unwrap();
    let mut buffer = [0; 4];
    let backend = backend();
    for _ in 0..3 {
        let restore = || Firewall::open_with(backend, instance()).unwrap().restore(&all(&resources)).unwrap();
        site.router.run(restore);
        ours.write_all(b"ping").unwrap();
        theirs.read_exact(&mut buffer).unwrap();
        theirs.write_all(b"pong").unwrap();
        ours.read_exact(&mut buffer).unwrap();
    }
    assert_eq!(&buffer, b"pong");
}

/// iptables' own chain is where our rules are: they go first there.
fn a_policy_of_iptables_that_drops_stops_nothing_of_ours() {
    let mut resources = open_networks();
    resources.push(port(Protocol::Tcp, None, 8080, 0, 80));
    let site = Site::with(true, &resources);
    let program = backend().to_string();
    site.router.run(|| {
        for program in [program.clone(), program.replace("iptables", "ip6tables")] {
            run(&program, &["-P", "FORWARD", "DROP"]);
        }
    });
    serve(&site.containers[0], 80);
    serve(&site.client, 80);
    for family in [0, 1] {
        assert_eq!(call(&site.client, ROUTER[family], 8080), Ok(CLIENT[family].to_owned()));
        assert_eq!(call(&site.containers[2], CLIENT[family], 80), Ok(ROUTER[family].to_owned()));
        assert_eq!(call(&site.containers[1], CONTAINERS[0][family], 80), Ok(CONTAINERS[1][family].to_owned()));
    }
}

fn routed() -> FirewallNetwork {
    FirewallNetwork {
        gateway_v4: GatewayMode::Routed,
        gateway_v6: GatewayMode::Routed,
        masquerade_v4: false,
        masquerade_v6: false,
        ..network("br1")
    }
}

fn opened(container: usize, family: usize, ports: (u16, u16)) -> Resource {
    Resource::OpenedPort(OpenedPort {
        protocol: Protocol::Udp,
        address: CONTAINERS[container][family].parse().unwrap(),
        ports: PortRange::new(ports.0, ports.1).unwrap(),
    })
}

fn a_routed_network_lets_in_what_was_opened_from_everywhere() {
    for inside in [Inside::Open, Inside::PublishedOnly] {
        let mut resources = networks(FirewallNetwork { inside, ..routed() }, network("br2"));
        for family in [0, 1] {
            resources.extend([opened(0, family, (50, 50)), opened(0, family, (60, 70))]);
        }
        let site = Site::with(true, &resources);
        for family in [0, 1] {
            let own = CONTAINERS[0][family];
            let [lone, of_range, shut] = [50, 65, 51].map(|port| receiver(&site.containers[0], own, port));
            for from in [&site.client, &site.containers[2]] {
                for (port, allowed) in [(50, &lone), (65, &of_range)] {
                    assert!(is_dropped(from, (to(own, 51), &shut), (to(own, port), allowed)), "{inside:?}");
                }
            }
            let kept_apart = inside == Inside::PublishedOnly;
            assert_eq!(is_dropped(&site.containers[1], (to(own, 51), &shut), (to(own, 50), &lone)), kept_apart);
            let ping = ["-c", "1", "-W", "5", "-n", "-q", own];
            site.client.run(|| run("ping", &ping));
        }
    }
}

fn an_unprotected_network_is_open_to_all_but_other_networks() {
    let unprotected = FirewallNetwork {
        gateway_v4: GatewayMode::NatUnprotected,
        gateway_v6: GatewayMode::NatUnprotected,
        ..network("br1")
    };
    let mut resources = networks(unprotected, network("br2"));
    resources.push(port(Protocol::Udp, None, 5000, 0, 50));
    let site = Site::with(true, &resources);
    serve(&site.containers[0], 80);
    for family in [0, 1] {
        let own = CONTAINERS[0][family];
        assert_eq!(call(&site.client, own, 80), Ok(CLIENT[family].to_owned()));
        let [published, shut] = [50, 51].map(|port| receiver(&site.containers[0], own, port));
        let allowed = (to(ROUTER[family], 5000), &published);
        assert!(is_dropped(&site.containers[2], (to(own, 51), &shut), allowed));
    }
}

fn a_trusted_link_reaches_what_was_opened() {
    let trusting = FirewallNetwork { trusted: vec!["out".try_into().unwrap()], ..network("br1") };
    let mut resources = networks(trusting, network("br2"));
    for family in [0, 1] {
        resources.push(opened(0, family, (50, 50)));
    }
    resources.push(port(Protocol::Udp, None, 5000, 0, 52));
    let site = Site::with(true, &resources);
    for family in [0, 1] {
        let own = CONTAINERS[0][family];
        let [open, shut, published] = [50, 51, 52].map(|port| receiver(&site.containers[0], own, port));
        assert!(is_dropped(&site.client, (to(own, 51), &shut), (to(own, 50), &open)));
        let allowed = (to(ROUTER[family], 5000), &published);
        assert!(is_dropped(&site.containers[2], (to(own, 50), &open), allowed));
    }
}

fn what_leaves_bears_the_address_that_was_chosen() {
    let own = ["198.51.100.9", "2001:db8::9"];
    let chosen = FirewallNetwork {
        source_v4: Some(own[0].parse().unwrap()),
        source_v6: Some(own[1].parse().unwrap()),
        ..network("br1")
    };
    let site = Site::with(true, &networks(chosen, network("br2")));
    site.router.ip(&format!("address add {}/24 dev out", own[0]));
    site.router.ip(&format!("address add {}/64 dev out nodad preferred_lft 0", own[1]));
    site.router.run(listens);
    serve(&site.client, 80);
    for (family, own) in own.into_iter().enumerate() {
        assert_eq!(call(&site.containers[0], CLIENT[family], 80), Ok(own.to_owned()));
        assert_eq!(call(&site.containers[2], CLIENT[family], 80), Ok(ROUTER[family].to_owned()));
    }
}

fn an_isolated_network_does_not_reach_its_host() {
    let isolated = FirewallNetwork {
        internal: true,
        gateway_v4: GatewayMode::Isolated,
        gateway_v6: GatewayMode::Isolated,
        ..network("br1")
    };
    let site = Site::with(true, &networks(isolated, network("br2")));
    for family in [0, 1] {
        let host = receiver(&site.router, ROUTER[family], 60);
        let neighbour = receiver(&site.containers[1], CONTAINERS[1][family], 50);
        let allowed = (to(CONTAINERS[1][family], 50), &neighbour);
        assert!(is_dropped(&site.containers[0], (to(ROUTER[family], 60), &host), allowed));
    }
}

/// Both kinds of iptables keep all of these promises.
macro_rules! by_iptables {
    ($room:ident: $($promise:ident),+ $(,)?) => {
        mod $room {
            mod iptables_nft {
                $(#[test] fn $promise() { crate::by("iptables-nft", crate::$promise) })+
            }
            mod iptables_legacy {
                $(#[test] fn $promise() { crate::by("iptables-legacy", crate::$promise) })+
            }
        }
    };
}

/// What networks ask for by Docker's labels, by every back end.
macro_rules! by_every_back_end {
    ($($promise:ident),+ $(,)?) => {
        mod nftables {
            $(#[test] fn $promise() { super::$promise() })+
        }
        by_iptables!(labels: $($promise),+);
    };
}

/// Shows a promise of another back end.
fn by(backend: &str, promise: fn()) {
    BACKEND.set(backend.parse().unwrap());
    promise();
}

by_every_back_end!(
    a_routed_network_lets_in_what_was_opened_from_everywhere,
    an_unprotected_network_is_open_to_all_but_other_networks,
    a_trusted_link_reaches_what_was_opened,
    what_leaves_bears_the_address_that_was_chosen,
    an_isolated_network_does_not_reach_its_host,
);

by_iptables!(
    iptables:
    a_policy_of_iptables_that_drops_stops_nothing_of_ours,
    a_published_port_is_reached_from_outside_and_sees_its_caller,
    a_container_is_not_reached_past_its_published_ports,
    networks_are_apart_but_for_published_ports,
    neighbours_kept_apart_reach_only_published_ports,
    a_container_reaches_itself_through_its_published_port,
    what_leaves_bears_the_host_s_address_if_so_wanted,
    published_udp_is_masqueraded_where_its_answers_would_take_another_way,
    an_internal_network_neither_leaves_nor_lets_in,
    this_host_reaches_published_ports_by_every_address_it_has,
    the_host_s_loopback_is_closed_to_containers_and_neighbours,
    people_s_own_rules_go_first,
    a_connection_outlives_the_restoring_of_the_table,
);
