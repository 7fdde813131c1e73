//! What Trestle's daemon keeps in memory, and what the kernel keeps for it.
//!
//! What the kernel keeps is told for the whole machine only: measure where nothing else happens.

use std::fs;
use std::net::TcpListener;

use hyper::Method;
use serde_json::{Value, json};

use super::NETWORK;
use super::attach::socket::OverSocket;
use super::contest::rest;
use super::floor::Floor;
use super::library::{count_elements, each_to_itself};
use super::report::Figure;

/// Rounds that count, unless the command line says another number.
const ROUNDS: usize = 3;

const PORTS: std::ops::Range<u16> = 20_000..30_000;
const ENDPOINTS: u16 = 500;

pub(crate) fn measure(rounds: Option<usize>) -> Vec<Figure> {
    let rounds = rounds.unwrap_or(ROUNDS);
    let (mut floor, mut a_port, mut endpoints) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        floor.push(a_port_at_floor());
        a_port.push(a_port_in_daemon());
        endpoints.push(many_endpoints());
    }
    let floor = Figure::new("memory_per_port_kib_floor", "KiB", floor);
    let figure = Figure::new("memory_per_port_kib", "KiB", a_port).beside(&floor);
    vec![floor, figure, Figure::new("rss_500_endpoints_mib", "MiB", endpoints)]
}

/// A held port and its element: all of the kernel's.
fn a_port_at_floor() -> f64 {
    let floor = Floor::new();
    rest(100);
    let before = slab();
    let held: Vec<TcpListener> =
        floor.host().run(|| PORTS.map(|port| TcpListener::bind(("::", port)).expect("the port is free")).collect());
    floor.map(true, &PORTS);
    let after = slab();
    assert_eq!(count_elements(floor.host(), "floor", "ports"), PORTS.len());
    drop(held);
    after.saturating_sub(before) as f64 / PORTS.len() as f64
}

/// What one endpoint with all the ports takes more than one with a single port.
fn a_port_in_daemon() -> f64 {
    let mut daemon = OverSocket::new();
    let attach = |daemon: &mut OverSocket, ports: Vec<String>| {
        let body = json!({ "endpoints": [{ "network": NETWORK, "ports": ports }] });
        daemon.ask(Method::POST, "/cnm/v1/sandboxes", &body)
    };
    attach(&mut daemon, vec!["8080:80/tcp".into()]);
    rest(100);
    let before = slab() + resident(daemon.pid());
    let sandbox: Value = attach(&mut daemon, each_to_itself(&PORTS));
    let after = slab() + resident(daemon.pid());
    assert_eq!(count_elements(daemon.host(), "trestle", "any_ports_v4"), PORTS.len() + 1);
    let sandbox = sandbox["id"].as_str().expect("a sandbox has an id");
    daemon.ask(Method::DELETE, &format!("/cnm/v1/sandboxes/{sandbox}"), &Value::Null);
    after.saturating_sub(before) as f64 / PORTS.len() as f64
}

fn many_endpoints() -> f64 {
    let mut daemon = OverSocket::new();
    for number in 0..ENDPOINTS {
        let port = format!("{}:80/tcp", PORTS.start + number);
        let body = json!({ "endpoints": [{ "network": NETWORK, "ports": [port] }] });
        daemon.ask(Method::POST, "/cnm/v1/sandboxes", &body);
    }
    assert_eq!(daemon.host().ip("-o link show type veth").lines().count(), usize::from(ENDPOINTS));
    let resident = resident(daemon.pid());
    drop(daemon);
    rest(usize::from(ENDPOINTS));
    resident as f64 / 1024.0
}

/// KiB that the kernel has in use for its own small things.
fn slab() -> u64 {
    field("/proc/meminfo", "Slab:")
}

/// KiB of a process that are in memory.
fn resident(process: u32) -> u64 {
    field(&format!("/proc/{process}/status"), "VmRSS:")
}

fn field(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_else(|| panic!("{file} has {name}"))
}
