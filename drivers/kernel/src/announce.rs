//! Telling a network's neighbours who has an address now.
//!
//! Neighbours remember the MAC address that an address had last, and would send to it for seconds after the address
//! moved to another container. The word is spread from the bridge, not from the container's own link: that link's
//! bridge port starts to forward only after its carrier was noticed, which nobody waits for here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use trestle_core::mac::MacAddress;
use trestle_core::{Error, Result};

/// `ETH_P_ARP`, `ETH_P_IPV6` (linux/if_ether.h).
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// Sends announcements in the namespace in which it was opened.
pub(crate) struct Announcer(OwnedFd);

impl Announcer {
    /// A packet socket that sends and never receives (its protocol is 0).
    pub(crate) fn open() -> Result<Self> {
        rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map(Self)
            .map_err(|cause| Error::internal(format!("opening a packet socket: {cause}")))
    }

    /// Tells everybody behind a link that this MAC address has that address. An announcement may get lost like any
    /// packet, and then neighbours find out by themselves; so failing is no error.
    pub(crate) fn announce(&self, link: u32, address: IpAddr, mac: MacAddress) {
        let frame = match address {
            IpAddr::V4(address) => gratuitous_arp(address, mac),
            IpAddr::V6(address) => unsolicited_advertisement(address, mac),
        };
        if let Err(cause) = self.send(link, &frame) {
            tracing::debug!(%address, %mac, %cause, "an address could not be announced");
        }
    }

    fn send(&self, link: u32, frame: &[u8]) -> std::io::Result<()> {
        // SAFETY: an all-zero sockaddr_ll is valid.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::AF_PACKET as u16;
        to.sll_ifindex = link as i32;
        to.sll_halen = 6;
        to.sll_addr[..6].copy_from_slice(&frame[..6]);
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the frame and the address live until the call returns, and both lengths are theirs.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
                (&raw const to).cast(),
                size,
            )
        };
        if sent < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// An ARP request for one's own address (RFC 5227, 3): everybody who knows the address learns its MAC anew.
fn gratuitous_arp(address: Ipv4Addr, mac: MacAddress) -> Vec<u8> {
    let mut frame = ethernet([0xff; 6], mac, ARP);
    frame.extend([0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(mac.octets());
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// A neighbour advertisement nobody asked for, overriding (RFC 4861, 7.2.6), to all nodes.
fn unsolicited_advertisement(address: Ipv6Addr, mac: MacAddress) -> Vec<u8> {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const ICMPV6: u8 = 58;
    let mut body = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    body.extend(address.octets());
    body.extend([2, 1]);
    body.extend(mac.octets());
    let mut summed = Vec::from(address.octets());
    summed.extend(ALL_NODES.octets());
    summed.extend([0, 0, 0, body.len() as u8, 0, 0, 0, ICMPV6]);
    summed.extend(&body);
    body[2..4].copy_from_slice(&checksum(&summed).to_be_bytes());

    let mut frame = ethernet([0x33, 0x33, 0, 0, 0, 1], mac, IPV6);
    frame.extend([0x60, 0, 0, 0, 0, body.len() as u8, ICMPV6, 255]);
    frame.extend(address.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(body);
    frame
}

fn ethernet(to: [u8; 6], from: MacAddress, protocol: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(86);
    frame.extend(to);
    frame.extend(from.octets());
    frame.extend(protocol.to_be_bytes());
    frame
}

/// RFC 1071; the length is even here.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_has_a_right_checksum() {
        let mac = "02:00:00:00:00:01".parse().unwrap();
        let frame = unsolicited_advertisement("fd00::2".parse().unwrap(), mac);
        assert_eq!(frame.len(), 14 + 40 + 32);
        let mut summed = Vec::from(&frame[22..54]);
        summed.extend([0, 0, 0, 32, 0, 0, 0, 58]);
        summed.extend(&frame[54..]);
        assert_eq!(checksum(&summed), 0);
    }

    #[test]
    fn a_gratuitous_arp_asks_for_its_own_address() {
        let mac = "02:00:00:00:00:01".parse().unwrap();
        let frame = gratuitous_arp([10, 0, 0, 2].into(), mac);
        assert_eq!(frame[..6], [0xff; 6]);
        assert_eq!(frame[28..32], [10, 0, 0, 2]);
        assert_eq!(frame[38..42], [10, 0, 0, 2]);
    }
}
