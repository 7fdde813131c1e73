//! Published ports: held, let go, relayed. A test program of its own, whose tests take turns: a process that another test
//! starts has every socket of ours until its program begins, and a port that was let go is not free before that.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernel/host.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod host;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use trestle_core::Plan;
use trestle_core::kernel::{Deviation, Kernel, is_port_taken};
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{FirewallNetwork, GatewayMode, Inside, PublishedPort, Resource};
use trestle_kernel::can_hold;

use host::{in_sandbox, ip, kernel, name, netns, on_a_host, with_sandboxes};

/// Held by the test whose turn it is.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn published(protocol: Protocol, address: Option<&str>, host: (u16, u16), container: u16) -> PublishedPort {
    PublishedPort {
        protocol,
        address: address.map(|it| it.parse().unwrap()),
        host: PortRange::new(host.0, host.1).unwrap(),
        container: PortRange::new(container, container + (host.1 - host.0)).unwrap(),
        to_v4: Some([10, 0, 0, 2].into()),
        to_v6: Some("fd00:1::2".parse().unwrap()),
    }
}

fn plan(port: &PublishedPort) -> Plan {
    Plan::from(vec![Resource::PublishedPort(port.clone())])
}

fn localhost6(port: u16) -> SocketAddr {
    (Ipv6Addr::LOCALHOST, port).into()
}

#[test]
fn a_published_port_is_held_in_both_families_until_it_is_let_go() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let port = published(protocol, None, (8080, 8082), 80);
            kernel.apply(&plan(&port)).await.unwrap();
            kernel.apply(&plan(&port)).await.unwrap();
            for address in ["0.0.0.0", "::", "127.0.0.1", "::1"] {
                let address = SocketAddr::new(address.parse().unwrap(), 8081);
                assert!(!can_bind(protocol, address), "{address}/{protocol} is free");
            }
            assert_eq!(kernel.verify(&plan(&port)).await.unwrap(), []);
            kernel.remove(&plan(&port)).await.unwrap();
            kernel.remove(&plan(&port)).await.unwrap();
            assert!(can_bind(protocol, (Ipv6Addr::UNSPECIFIED, 8081).into()));
        }
    });
}

fn can_bind(protocol: Protocol, address: SocketAddr) -> bool {
    match protocol {
        Protocol::Tcp => TcpListener::bind(address).is_ok(),
        _ => UdpSocket::bind(address).is_ok(),
    }
}

#[test]
fn thousands_of_ports_are_held_each_and_all_are_free_again() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        let each = |number| Resource::PublishedPort(published(Protocol::Tcp, None, (number, number), number));
        let all: Plan = (20_000..22_000).map(each).collect();
        kernel.apply(&all).await.unwrap();
        assert_eq!(kernel.verify(&all).await.unwrap(), []);
        let free = |number| can_bind(Protocol::Tcp, (Ipv6Addr::UNSPECIFIED, number).into());
        assert!((20_000..22_000).all(|number| !free(number)));
        kernel.remove(&all).await.unwrap();
        assert!((20_000..22_000).all(free));

        let taken = TcpListener::bind("[::]:21500").unwrap();
        let error = kernel.apply(&all).await.unwrap_err();
        assert!(is_port_taken(&error) && error.to_string().contains("21500"), "{error}");
        kernel.remove(&all).await.unwrap();
        drop(taken);
        assert!((20_000..22_000).all(free));
    });
}

#[test]
fn one_address_or_one_family_is_held_and_no_more() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        for (held, free) in [("127.0.0.1", "127.0.0.2"), ("0.0.0.0", "::1"), ("::", "127.0.0.1"), ("::1", "127.0.0.1")]
        {
            let port = published(Protocol::Udp, Some(held), (53, 53), 53);
            kernel.apply(&plan(&port)).await.unwrap();
            assert!(!can_bind(Protocol::Udp, SocketAddr::new(held.parse().unwrap(), 53)), "{held}");
            assert!(can_bind(Protocol::Udp, SocketAddr::new(free.parse().unwrap(), 53)), "{free}");
            kernel.remove(&plan(&port)).await.unwrap();
        }
    });
}

#[test]
fn a_taken_port_names_the_program_and_nothing_is_done() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        let program = std::fs::read_to_string("/proc/self/comm").unwrap();
        let me = format!("{} (pid {})", program.trim(), std::process::id());
        let tcp = TcpListener::bind("127.0.0.1:8082").unwrap();
        let udp = UdpSocket::bind("[::1]:8082").unwrap();
        for (protocol, address, told) in [
            (Protocol::Tcp, None, "port 8082/tcp is taken by "),
            (Protocol::Tcp, Some("0.0.0.0"), "port 0.0.0.0:8082/tcp is taken by "),
            (Protocol::Udp, Some("::1"), "port [::1]:8082/udp is taken by "),
        ] {
            let port = published(protocol, address, (8081, 8083), 80);
            let error = kernel.apply(&plan(&port)).await.unwrap_err();
            assert!(is_port_taken(&error), "{error}");
            assert_eq!(error.cause(), format!("{told}{me}"));
            let free = SocketAddr::new(address.map_or(Ipv6Addr::UNSPECIFIED.into(), |it| it.parse().unwrap()), 8081);
            assert!(can_bind(protocol, free), "the first of the range is held, though the second is taken");
        }
        let port = published(Protocol::Tcp, Some("192.0.2.1"), (8081, 8081), 80);
        let error = kernel.apply(&plan(&port)).await.unwrap_err();
        assert!(error.to_string().contains("no link of this host has the address 192.0.2.1"), "{error}");
        drop((tcp, udp));
    });
}

#[test]
fn a_port_that_was_taken_while_we_were_away_is_drift_until_it_is_free() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        let plans = [plan(&published(Protocol::Tcp, None, (8080, 8080), 80))];
        let thief = TcpListener::bind("0.0.0.0:8080").unwrap();
        assert!(kernel.restore(&plans).await[0].is_ok());
        let drifts = kernel.verify(&plans[0]).await.unwrap();
        assert_eq!(drifts.len(), 1, "{drifts:?}");
        assert_eq!((drifts[0].resource.as_str(), drifts[0].deviation), ("port 8080/tcp", Deviation::Obstructed));
        assert!(drifts[0].detail.contains(&format!("pid {}", std::process::id())), "{drifts:?}");
        drop(thief);
        assert_eq!(kernel.verify(&plans[0]).await.unwrap(), []);
        assert!(!can_bind(Protocol::Tcp, (Ipv4Addr::UNSPECIFIED, 8080).into()));
    });
}

#[test]
fn a_port_changes_hands_between_two_bindings_that_overlap() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        let (one, other) =
            (published(Protocol::Tcp, Some("0.0.0.0"), (80, 80), 80), published(Protocol::Tcp, None, (80, 80), 80));
        kernel.apply(&plan(&one)).await.unwrap();
        kernel.replace(&plan(&one), &plan(&other)).await.unwrap();
        assert!(!can_bind(Protocol::Tcp, (Ipv6Addr::LOCALHOST, 80).into()));
        kernel.replace(&plan(&other), &plan(&one)).await.unwrap();
        assert!(can_bind(Protocol::Tcp, (Ipv6Addr::LOCALHOST, 80).into()));
    });
}

#[test]
fn sctp_is_mapped_whether_or_not_it_can_be_held() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        let port = published(Protocol::Sctp, None, (9999, 9999), 9);
        kernel.apply(&plan(&port)).await.unwrap();
        assert_eq!(kernel.verify(&plan(&port)).await.unwrap(), []);
        kernel.remove(&plan(&port)).await.unwrap();
    });
}

#[test]
fn what_can_be_held_is_what_the_kernel_has_sockets_for() {
    let _turn = turn();
    use rustix::net::{AddressFamily, SocketType, ipproto, socket};
    assert!(can_hold(Protocol::Tcp) && can_hold(Protocol::Udp));
    let sctp = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::SCTP));
    assert_eq!(can_hold(Protocol::Sctp), sctp.is_ok());
}

/// Answers one connection with what it said, twice, after it has ended its half.
fn doubling_server(address: SocketAddr) -> thread::JoinHandle<()> {
    let listener = in_sandbox(&netns(2), || TcpListener::bind(address).unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        stream.write_all(&said).unwrap();
        stream.write_all(&said).unwrap();
    })
}

fn ask_tcp(address: SocketAddr, question: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(question).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn a_connection_to_the_host_s_own_ipv6_loopback_is_relayed_with_its_halves() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        kernel.apply(&plan(&published(Protocol::Tcp, None, (8080, 8090), 3080))).await.unwrap();
        // The container's own family is tried first, then the other, where a program listens on one alone.
        for container in ["[::]:3085", "0.0.0.0:3085"] {
            let server = doubling_server(container.parse().unwrap());
            let question = vec![b'x'; 300_000];
            let answer = tokio::task::spawn_blocking(move || ask_tcp(localhost6(8085), &question)).await.unwrap();
            assert_eq!(answer.len(), 600_000);
            server.join().unwrap();
        }
    });
}

#[test]
fn a_connection_that_the_container_refuses_is_reset() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        kernel.apply(&plan(&published(Protocol::Tcp, None, (8080, 8080), 80))).await.unwrap();
        let asked = tokio::task::spawn_blocking(|| {
            let mut stream = TcpStream::connect(localhost6(8080))?;
            stream.read(&mut [0; 1])
        });
        let error = asked.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn what_is_relayed_ends_when_its_port_is_let_go() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        let port = published(Protocol::Tcp, None, (8080, 8080), 80);
        kernel.apply(&plan(&port)).await.unwrap();
        let listener = in_sandbox(&netns(2), || TcpListener::bind("[::]:80").unwrap());
        let client = tokio::task::spawn_blocking(|| TcpStream::connect(localhost6(8080)).unwrap()).await.unwrap();
        let (mut server, _) = tokio::task::spawn_blocking(move || listener.accept().unwrap()).await.unwrap();
        kernel.remove(&plan(&port)).await.unwrap();
        let ended = tokio::task::spawn_blocking(move || server.read(&mut [0; 1]));
        assert!(matches!(ended.await.unwrap(), Ok(0) | Err(_)));
        drop(client);
    });
}

#[test]
fn datagrams_are_relayed_one_for_one_and_answered_from_where_they_were_sent_to() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        ip("address add fd00:77::1/128 dev lo nodad");
        kernel.apply(&plan(&published(Protocol::Udp, None, (5300, 5310), 53))).await.unwrap();
        let server = in_sandbox(&netns(2), || UdpSocket::bind("[::]:56").unwrap());
        thread::spawn(move || {
            let mut buffer = [0; 2000];
            while let Ok((length, client)) = server.recv_from(&mut buffer) {
                buffer[length] = b'!';
                server.send_to(&buffer[..=length], client).unwrap();
            }
        });
        let asked = tokio::task::spawn_blocking(|| {
            for address in ["::1", "fd00:77::1"] {
                let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 5303);
                let clients = [(); 3].map(|()| UdpSocket::bind("[::]:0").unwrap());
                for (number, client) in clients.iter().enumerate() {
                    client.send_to(&[b'a' + number as u8], address).unwrap();
                }
                for (number, client) in clients.iter().enumerate() {
                    let mut buffer = [0; 100];
                    let (length, from) = client.recv_from(&mut buffer).unwrap();
                    assert_eq!((&buffer[..length], from), ([b'a' + number as u8, b'!'].as_slice(), address));
                }
            }
        });
        asked.await.unwrap();
    });
}

#[test]
fn ipv6_reaches_a_container_that_has_none() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        let port = PublishedPort { to_v6: None, ..published(Protocol::Tcp, None, (8080, 8080), 80) };
        kernel.apply(&plan(&port)).await.unwrap();
        // Another host, on a link of its own.
        for command in [
            "netns add outside",
            "link add up0 type veth peer name eth0 netns outside",
            "address add fd00:99::1/64 dev up0 nodad",
            "link set up0 up",
            "-n outside address add fd00:99::2/64 dev eth0 nodad",
            "-n outside link set eth0 up",
        ] {
            ip(command);
        }
        let server = doubling_server("0.0.0.0:80".parse().unwrap());
        let asked = tokio::task::spawn_blocking(|| {
            in_sandbox("/run/netns/outside".as_ref(), || ask_tcp("[fd00:99::1]:8080".parse().unwrap(), b"hello"))
        });
        assert_eq!(asked.await.unwrap(), b"hellohello");
        server.join().unwrap();
    });
}

/// The firewall of `br-test`.
fn firewall(internal: bool) -> Plan {
    let network = FirewallNetwork {
        bridge: name("br-test"),
        inside: Inside::Open,
        internal,
        gateway_v4: GatewayMode::Nat,
        gateway_v6: GatewayMode::Nat,
        trusted: Vec::new(),
        masquerade_v4: false,
        masquerade_v6: false,
        source_v4: None,
        source_v6: None,
        filter_bridged: false,
    };
    Plan::from(vec![Resource::FirewallBase, Resource::FirewallNetwork(network)])
}

/// How many packets were dropped on their way from an internal network to a published port.
fn dropped() -> u64 {
    let told = std::process::Command::new("nft").args(["list", "chain", "inet", "trestle", "from_internal"]).output();
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    let mut words = told.split_whitespace();
    std::iter::from_fn(|| words.find(|word| *word == "packets").and_then(|_| words.next()))
        .map(|count| count.parse::<u64>().unwrap())
        .sum()
}

#[test]
fn an_internal_network_does_not_reach_what_is_relayed_but_the_host_itself() {
    let _turn = turn();
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 2).await;
        kernel.apply(&firewall(true)).await.unwrap();
        let only = |port: PublishedPort, v4: bool| match v4 {
            true => PublishedPort { to_v6: None, ..port },
            false => PublishedPort { to_v4: None, ..port },
        };
        let mut asked = Vec::new();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for (first, v4, gateway) in [(8080, true, "fd00:1::1"), (8180, false, "10.0.0.1")] {
                let wildcard = only(published(protocol, None, (first, first), 80), v4);
                let range = only(published(protocol, None, (first + 10, first + 12), first + 10), v4);
                let one = only(published(protocol, Some(gateway), (first + 20, first + 20), 80), v4);
                for (port, number) in [(wildcard, first), (range, first + 11), (one, first + 20)] {
                    kernel.apply(&plan(&port)).await.unwrap();
                    asked.push((protocol, SocketAddr::new(gateway.parse().unwrap(), number)));
                }
            }
        }
        for at in [80, 8091, 8191] {
            for address in ["0.0.0.0", "::"] {
                // One family each: both are asked for.
                in_sandbox(&netns(2), || serve(address.parse().unwrap(), at));
            }
        }
        for (protocol, address) in &asked {
            is_dropped(*protocol, *address);
        }
        for address in ["10.0.0.1", "fd00:1::1"] {
            let own: IpAddr = address.parse().unwrap();
            serve(own, 9000);
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                assert_eq!(in_sandbox(&netns(3), || ask(protocol, (own, 9000).into())), *b"hi", "{protocol} {own}");
            }
        }
        kernel.replace(&firewall(true), &firewall(false)).await.unwrap();
        for (protocol, address) in &asked {
            assert_eq!(in_sandbox(&netns(3), || ask(*protocol, *address)), *b"hi", "{protocol} {address}");
        }
    });
}

/// Answers every question on a port of an address with itself, until the test ends.
fn serve(address: IpAddr, port: u16) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt};
    let open = |kind, protocol| {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol)).unwrap();
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true).unwrap();
        }
        bind(&socket, &SocketAddr::new(address, port)).unwrap();
        socket
    };
    let tcp = open(SocketType::STREAM, ipproto::TCP);
    listen(&tcp, 8).unwrap();
    let (tcp, udp) = (TcpListener::from(tcp), UdpSocket::from(open(SocketType::DGRAM, ipproto::UDP)));
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let (mut stream, mut question) = (stream.unwrap(), [0; 2]);
            stream.read_exact(&mut question).unwrap();
            stream.write_all(&question).unwrap();
        }
    });
    thread::spawn(move || {
        let mut question = [0; 2];
        while let Ok((_, client)) = udp.recv_from(&mut question) {
            udp.send_to(&question, client).unwrap();
        }
    });
}

fn ask(protocol: Protocol, address: SocketAddr) -> [u8; 2] {
    let mut answer = [0; 2];
    if protocol == Protocol::Tcp {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"hi").unwrap();
        stream.read_exact(&mut answer).unwrap();
        return answer;
    }
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.send_to(b"hi", address).unwrap();
    socket.recv(&mut answer).unwrap();
    answer
}

/// A question from the second sandbox is dropped by the firewall, and not answered before that.
fn is_dropped(protocol: Protocol, address: SocketAddr) {
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, connect, send, socket_with};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if protocol == Protocol::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = in_sandbox(&netns(3), || socket_with(family, kind, flags, None).unwrap());
    let before = dropped();
    let connected = connect(&socket, &address);
    if protocol == Protocol::Udp {
        send(&socket, b"hi", SendFlags::empty()).unwrap();
    } else {
        assert_eq!(connected, Err(rustix::io::Errno::INPROGRESS), "{address}");
    }
    while dropped() == before {
        let mut answer = [0; 2];
        let answered = match protocol {
            Protocol::Tcp => rustix::net::getpeername(&socket).is_ok(),
            _ => rustix::net::recv(&socket, &mut answer, rustix::net::RecvFlags::empty()).is_ok(),
        };
        assert!(!answered, "{address}/{protocol} is answered");
    }
}
