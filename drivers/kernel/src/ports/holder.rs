//! Which program has a port. Slow, and only asked when a port could not be held.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use trestle_core::port::Protocol;

/// Names the program, such as `nginx (pid 7)`. `None` if it can't be found: it may be in another PID namespace, or not
/// listening yet.
pub(super) fn of(protocol: Protocol, address: Option<IpAddr>, port: u16) -> Option<String> {
    let files = match protocol {
        Protocol::Tcp => ["tcp", "tcp6"],
        Protocol::Udp => ["udp", "udp6"],
        Protocol::Sctp => return None,
    };
    let tables = files.iter().filter_map(|file| fs::read_to_string(format!("/proc/thread-self/net/{file}")).ok());
    let listening = (protocol == Protocol::Tcp).then_some(LISTENING);
    let inodes: Vec<u64> = tables.flat_map(|table| inodes(&table, listening, address, port)).collect();
    inodes.into_iter().find_map(program)
}

/// `TCP_LISTEN` (net/tcp_states.h).
const LISTENING: &str = "0A";

/// The sockets of a table such as `/proc/net/tcp` that are in the way of this address and port.
fn inodes(table: &str, state: Option<&str>, address: Option<IpAddr>, port: u16) -> Vec<u64> {
    let lines = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, local_port) = fields.get(1)?.split_once(':')?;
        let matches = u16::from_str_radix(local_port, 16).ok()? == port
            && state.is_none_or(|state| fields.get(3) == Some(&state))
            && meet(address, parse(local)?);
        matches.then(|| fields.get(9)?.parse().ok())?
    });
    lines.filter(|inode| *inode != 0).collect()
}

/// Whether sockets bound to these two addresses are in each other's way. `::` may mean both families.
fn meet(wanted: Option<IpAddr>, there: IpAddr) -> bool {
    let Some(wanted) = wanted else { return true };
    wanted == there
        || (there.is_unspecified() && (there.is_ipv6() || wanted.is_ipv4()))
        || (wanted.is_unspecified() && wanted.is_ipv4() == there.is_ipv4())
}

/// The kernel prints each 32-bit word of an address in its own byte order.
fn parse(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for at in 0..4 {
                octets[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(octets).to_canonical())
        }
        _ => None,
    }
}

fn program(inode: u64) -> Option<String> {
    let socket = format!("socket:[{inode}]");
    let holds = |process: &Path| {
        let files = fs::read_dir(process.join("fd")).ok()?;
        files
            .flatten()
            .find(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket.as_str()))
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        holds(&entry.path())?;
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        Some(format!("{} (pid {pid})", name.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   \
        1: 00000000:0051 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n";

    #[test]
    fn the_listener_in_the_way_is_found() {
        let of =
            |address: Option<&str>, port| inodes(TABLE, Some(LISTENING), address.map(|it| it.parse().unwrap()), port);
        assert_eq!(of(None, 80), [4711]);
        assert_eq!(of(Some("0.0.0.0"), 80), [4711]);
        assert_eq!(of(Some("127.0.0.1"), 80), [4711]);
        assert_eq!(of(Some("127.0.0.2"), 80), []);
        assert_eq!(of(Some("::"), 80), []);
        assert_eq!(of(None, 81), [], "not listening");
    }
}
