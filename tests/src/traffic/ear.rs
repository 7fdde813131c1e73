//! Hears which addresses are announced.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use super::fence;
use crate::namespace::Namespace;

/// How long something that must come is waited for, so that a broken test ends.
const LONG: Duration = Duration::from_secs(30);

/// Listens on every link of a namespace from when it is made.
pub struct Ear {
    socket: OwnedFd,
    heard: Vec<IpAddr>,
}

impl Ear {
    /// Begins to listen.
    pub fn new(namespace: &Namespace) -> Self {
        // ETH_P_ALL (linux/if_ether.h), in the network's order.
        let everything = NonZeroU32::new(u32::from(3u16.to_be())).expect("3 is not 0");
        let socket = namespace.run(|| {
            let protocol = Some(Protocol::from_raw(everything));
            socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
        });
        let socket = socket.expect("root may listen to packets");
        set_socket_timeout(&socket, Timeout::Recv, Some(LONG)).expect("a time is set");
        Self { socket, heard: Vec::new() }
    }

    /// How often an address was announced by now.
    pub fn count(&mut self, address: IpAddr) -> usize {
        fence::set();
        while self.listen(RecvFlags::DONTWAIT) {}
        self.heard.iter().filter(|it| **it == address).count()
    }

    /// Waits until an address was announced so often.
    pub fn wait_for(&mut self, address: IpAddr, count: usize) {
        while self.count(address) < count {
            assert!(self.listen(RecvFlags::empty()), "{address} was announced {} times", self.count(address));
        }
    }

    /// Hears one packet, if there is one.
    fn listen(&mut self, flags: RecvFlags) -> bool {
        let mut frame = [0; 2048];
        match recv(&self.socket, &mut frame, flags) {
            Ok((length, _)) => {
                self.heard.extend(announced(&frame[..length]));
                true
            }
            Err(Errno::AGAIN) => false,
            // The program was stopped, and goes on.
            Err(Errno::INTR) => self.listen(flags),
            Err(error) => panic!("listening: {error}"),
        }
    }
}

/// The address that an Ethernet frame announces: ARP for the sender's own address, or an advertisement to all nodes.
fn announced(frame: &[u8]) -> Option<IpAddr> {
    const ICMPV6: u8 = 58;
    const ADVERTISEMENT: u8 = 136;
    const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let v4 = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(frame.get(at..at + 4)?).ok()?));
    match frame.get(12..14)? {
        [0x08, 0x06] => v4(28).filter(|sender| v4(38) == Some(*sender)),
        [0x86, 0xdd] => {
            let is_one = frame[20] == ICMPV6 && frame.get(38..54)? == ALL_NODES && *frame.get(54)? == ADVERTISEMENT;
            let address = <[u8; 16]>::try_from(frame.get(62..78)?).ok()?;
            is_one.then(|| address.into())
        }
        _ => None,
    }
}
