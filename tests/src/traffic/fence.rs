//! Knows that all packets under way have got where they could.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::namespace::Namespace;

/// More hops than any packet of a test makes, there and back: wire, bridge, container, and a neighbour's solicitation
/// and answer before each.
const ROUNDS: u8 = 24;

/// When it returns, every packet that was under way before has arrived or has been dropped; see [the module](super).
pub fn set() {
    static LOOPBACK: OnceLock<Namespace> = OnceLock::new();
    let namespace = LOOPBACK.get_or_init(|| {
        let namespace = Namespace::fresh();
        namespace.ip("link set lo up");
        namespace
    });
    namespace.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback link is up");
        let itself = socket.local_addr().expect("a bound socket has an address");
        socket.connect(itself).expect("a socket may talk to itself");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a minute is a time");
        for cpu in cpus() {
            sched_setaffinity(None, &cpu).expect("a thread may choose among its own CPUs");
            for round in 0..ROUNDS {
                go_round(&socket, round);
            }
        }
    });
}

fn go_round(socket: &UdpSocket, round: u8) {
    socket.send(&[round]).expect("the loopback link takes a packet");
    let mut received = [0];
    socket.recv(&mut received).expect("the loopback link gives the packet back");
    assert_eq!(received, [round], "the loopback link keeps the order of packets");
}

/// The CPUs that this process runs on, each alone in its set.
fn cpus() -> Vec<CpuSet> {
    let all = sched_getaffinity(None).expect("a thread may know its CPUs");
    let alone = |cpu| {
        let mut set = CpuSet::new();
        set.set(cpu);
        set
    };
    let cpus: Vec<CpuSet> = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).map(alone).collect();
    assert!(!thread::panicking() && !cpus.is_empty());
    cpus
}
