//! ICMP echo, as `ping` asks.

use std::net::{IpAddr, SocketAddr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto, socket_with};

use super::fence;
use crate::namespace::Namespace;

/// Whether an address answers an echo request (RFC 792, RFC 4443, section 4.1) that comes from a namespace.
pub fn echo(from: &Namespace, address: IpAddr) -> bool {
    const REQUEST: [u8; 2] = [8, 128];
    const REPLY: [u8; 2] = [0, 129];
    let of_v6 = usize::from(address.is_ipv6());
    let (family, protocol) = [(AddressFamily::INET, ipproto::ICMP), (AddressFamily::INET6, ipproto::ICMPV6)][of_v6];
    from.run(|| {
        let allowed = std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
        allowed.expect("a host's settings can be written");
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::DGRAM, flags, Some(protocol)).expect("a socket can be made");
        // Of these the kernel fills in checksum and identifier.
        let request = [REQUEST[of_v6], 0, 0, 0, 0, 0, 0, 1];
        if sendto(&socket, &request, SendFlags::empty(), &SocketAddr::new(address, 0)).is_err() {
            return false;
        }
        fence::set();
        let mut heard = [0; 64];
        matches!(recv(&socket, &mut heard, RecvFlags::empty()), Ok((length, _)) if length > 0 && heard[0] == REPLY[of_v6])
    })
}
