//! Wires between hosts.

use crate::host::Host;

/// One end of a wire: a link of a host, with its addresses.
pub struct End<'a> {
    /// Whose.
    pub host: &'a Host,
    /// The link's name there.
    pub link: &'a str,
    /// Addresses with the lengths of their subnets' prefixes.
    pub addresses: &'a [&'a str],
}

/// Bytes a packet on a wire may have, where nothing else is asked.
pub const MTU: u32 = 1500;

/// Lays a wire between two hosts. It is usable at once, and has no addresses but the given ones.
pub fn lay(left: End<'_>, right: End<'_>, mtu: u32) {
    let far = right.host.namespace().path();
    let far = far.display();
    left.host.ip(&format!("link add {} mtu {mtu} type veth peer name {} mtu {mtu} netns {far}", left.link, right.link));
    for (end, link_local) in [(left, "fe80::1/64"), (right, "fe80::2/64")] {
        // The kernel's own link-local address would be unusable for a second, while it looks for a duplicate. There
        // must be one: who forwards asks for a neighbour from it.
        end.host.ip(&format!("link set dev {} addrgenmode none up", end.link));
        end.host.ip(&format!("address add {link_local} dev {} nodad", end.link));
        for address in end.addresses {
            end.host.ip(&format!("address add {address} dev {} nodad", end.link));
        }
    }
}
