//! When too much is relayed. A test program of its own, because the limit of open files is the whole process's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernel/host.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod host;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use host::{in_sandbox, kernel, netns, on_a_host, with_sandboxes};
use rustix::process::{Resource as Limited, Rlimit, getrlimit, setrlimit};
use trestle_core::Plan;
use trestle_core::kernel::Kernel;
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{PublishedPort, Resource};

/// With so many files one port has eight places.
const FILES: u64 = 256;
const PLACES: usize = 8;

fn published(protocol: Protocol, port: u16) -> Plan {
    Plan::from(vec![Resource::PublishedPort(PublishedPort {
        protocol,
        address: None,
        host: PortRange::single(port).unwrap(),
        container: PortRange::single(port + 1000).unwrap(),
        to_v4: Some([10, 0, 0, 2].into()),
        to_v6: None,
    })])
}

fn localhost6(port: u16) -> SocketAddr {
    (Ipv6Addr::LOCALHOST, port).into()
}

/// Answers every connection with each byte that comes.
fn echo(port: u16) {
    let listener = in_sandbox(&netns(2), || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut byte) = (stream.unwrap(), [0]);
            thread::spawn(move || {
                while stream.read_exact(&mut byte).is_ok() {
                    stream.write_all(&byte).unwrap();
                }
            });
        }
    });
}

fn answers(stream: &mut TcpStream) -> bool {
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok()
}

/// Answers every datagram with the port that it came from.
fn tell_ports(port: u16) {
    let socket = in_sandbox(&netns(2), || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
    thread::spawn(move || {
        while let Ok((_, client)) = socket.recv_from(&mut [0; 8]) {
            socket.send_to(&client.port().to_be_bytes(), client).unwrap();
        }
    });
}

fn flow(client: &UdpSocket, port: u16) -> u16 {
    let mut answer = [0; 2];
    client.send_to(b"?", localhost6(port)).unwrap();
    client.recv(&mut answer).unwrap();
    u16::from_be_bytes(answer)
}

fn client() -> UdpSocket {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap()
}

#[test]
fn one_port_never_takes_all_the_room() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 2).await;
        for port in [8080, 8081] {
            kernel.apply(&published(Protocol::Tcp, port)).await.unwrap();
            kernel.apply(&published(Protocol::Udp, port)).await.unwrap();
            echo(port + 1000);
            tell_ports(port + 1000);
        }
        let before = getrlimit(Limited::Nofile);
        setrlimit(Limited::Nofile, Rlimit { current: Some(FILES), maximum: before.maximum }).unwrap();
        connections();
        flows();
        broadcast();
        setrlimit(Limited::Nofile, before).unwrap();
    });
}

/// A full port refuses who comes next, others are served, and a place that is free again is given again.
fn connections() {
    let mut relayed: Vec<TcpStream> = (0..PLACES).map(|_| TcpStream::connect(localhost6(8080)).unwrap()).collect();
    assert!(relayed.iter_mut().all(answers));
    let mut refused = TcpStream::connect(localhost6(8080)).unwrap();
    assert!(!answers(&mut refused), "there is no bound");
    assert!(answers(&mut TcpStream::connect(localhost6(8081)).unwrap()), "another port has no room");
    assert!(relayed.iter_mut().all(answers));
    relayed.pop();
    while !answers(&mut TcpStream::connect(localhost6(8080)).unwrap()) {
        thread::yield_now();
    }
}

/// The flow that was idle for longest makes room; other ports' flows, and busy ones, go on.
fn flows() {
    let (other, busy, idle) = (client(), client(), client());
    let (other_flow, busy_flow, idle_flow) = (flow(&other, 8081), flow(&busy, 8080), flow(&idle, 8080));
    for _ in 0..4 * PLACES {
        flow(&client(), 8080);
        assert_eq!(flow(&busy, 8080), busy_flow);
    }
    assert_eq!(flow(&other, 8081), other_flow);
    assert_ne!(flow(&idle, 8080), idle_flow, "there is no bound");
}

/// What was asked of everybody is answered by one address of ours.
fn broadcast() {
    let asking = in_sandbox(&netns(3), || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    asking.set_broadcast(true).unwrap();
    asking.send_to(b"?", ("10.0.0.255", 8080)).unwrap();
    let (_, from) = asking.recv_from(&mut [0; 2]).unwrap();
    assert_eq!(from, "10.0.0.1:8080".parse().unwrap());
}
