//! The connection tracker's memory: entries that would lead packets to where nothing is any more are forgotten.
//!
//! An entry outlives the rule that made it. UDP that keeps coming from the same port would follow the old entry for
//! ever, past a mapping that was added or removed since; and a container that gets an address which another had would
//! inherit the other's connections.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use trestle_core::error::{Doing, Result};
use trestle_core::port::{PortRange, Protocol};

use super::nftables::attribute::{Attribute, Attributes};
use super::nftables::message::{Message, conntrack, write};
use super::nftables::socket::Socket;
use super::uapi::*;

/// The connection tracker of one network namespace. Its calls block while the kernel walks through its table.
pub struct ConnectionTracker(Socket);

/// One direction's packets: what they bear.
struct Tuple {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    destination_port: Option<u16>,
}

/// Which UDP the kernel need hand out only, by what the first packet went to. Kernels before 5.8 hand out everything
/// all the same; and IPv6 addresses are not asked for, because the kernel (5.8 to 6.18 at least) hands out all but them.
struct Sieve {
    destination: Option<Ipv4Addr>,
    port: Option<u16>,
}

impl ConnectionTracker {
    /// Opens it in the network namespace of this thread.
    ///
    /// # Errors
    /// `Unsupported` if this kernel has no netfilter.
    pub fn open() -> Result<Self> {
        Socket::open().map(Self)
    }

    /// Forgets UDP entries whose first packet went to one of these places: ports, at an address of the host or at any
    /// (an unspecified address is any of its family). Answers with how many there were. All at once cost no more than
    /// one: a walk through the kernel's table for each family.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn forget_udp(&mut self, places: &[(Option<IpAddr>, PortRange)]) -> Result<usize> {
        let mut at: HashMap<u16, Vec<Option<IpAddr>>> = HashMap::new();
        for (address, ports) in places {
            ports.ports().for_each(|port| at.entry(port).or_default().push(*address));
        }
        let meant = |original: &Tuple, _: &Tuple| {
            let wanted = original.destination_port.and_then(|port| at.get(&port)).into_iter().flatten();
            original.protocol == Protocol::Udp as u8 && wanted.into_iter().any(|it| covers(*it, original.destination))
        };
        let sieve = match places {
            [(address, ports)] => Sieve::of(*address, *ports),
            _ => Sieve { destination: None, port: None },
        };
        let mut forgotten = 0;
        for family in [NFPROTO_IPV4, NFPROTO_IPV6] {
            if places.iter().any(|(address, _)| address.is_none_or(|it| family_of(it) == family)) {
                forgotten += self
                    .forget(family, Some(&sieve), meant)
                    .doing(|| format!("forgetting connections to {}", told(places)))?;
            }
        }
        Ok(forgotten)
    }

    /// Forgets every entry that has one of these addresses at any end, in either direction. Answers with how many
    /// there were. All at once cost no more than one: a walk through the kernel's table, some ten milliseconds.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn forget_addresses(&mut self, addresses: &[IpAddr]) -> Result<usize> {
        let addresses: HashSet<IpAddr> = addresses.iter().copied().collect();
        let meant = |original: &Tuple, reply: &Tuple| {
            [original.source, original.destination, reply.source, reply.destination]
                .iter()
                .any(|it| addresses.contains(it))
        };
        let mut forgotten = 0;
        for family in [NFPROTO_IPV4, NFPROTO_IPV6] {
            if addresses.iter().any(|it| family_of(*it) == family) {
                // One walk for all: the kernel's filter knows no "or", and walking costs more than reading.
                forgotten +=
                    self.forget(family, None, meant).doing(|| "forgetting connections of containers that are gone")?;
            }
        }
        Ok(forgotten)
    }

    fn forget(&mut self, family: u8, sieve: Option<&Sieve>, meant: impl Fn(&Tuple, &Tuple) -> bool) -> Result<usize> {
        let found = self.0.dump(
            conntrack(IPCTNL_MSG_CT_GET),
            family,
            |it| sieve.iter().for_each(|sieve| sieve.write(it)),
            |message| {
                let original = tuple(message.attributes().get(CTA_TUPLE_ORIG)?)?;
                let reply = tuple(message.attributes().get(CTA_TUPLE_REPLY)?)?;
                meant(&original, &reply).then(|| deletion(family, message))
            },
        )?;
        let deletions = found.unwrap_or_default();
        let count = deletions.len();
        for some in deletions.chunks(AT_ONCE) {
            // What expired in between is forgotten as well.
            self.0.tell(&some.concat(), &[libc::ENOENT])?;
        }
        Ok(count)
    }
}

/// How many deletions go in one call: below every system's limit for what a socket may send at once.
const AT_ONCE: usize = 256;

fn family_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { NFPROTO_IPV4 } else { NFPROTO_IPV6 }
}

/// The message that deletes just this entry: its first direction says which, its id that it is no later one.
fn deletion(family: u8, entry: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, conntrack(IPCTNL_MSG_CT_DELETE), NLM_F_REQUEST, family, 0, |it| {
        for attribute in entry.attributes() {
            match attribute.kind {
                CTA_TUPLE_ORIG => it.bytes(CTA_TUPLE_ORIG | NLA_F_NESTED, attribute.value),
                CTA_ID | CTA_ZONE => it.bytes(attribute.kind, attribute.value),
                _ => {}
            }
        }
    });
    bytes
}

fn tuple(attribute: Attribute<'_>) -> Option<Tuple> {
    let ip = attribute.inside().get(CTA_TUPLE_IP)?;
    let proto = attribute.inside().get(CTA_TUPLE_PROTO)?;
    let address = |v4, v6| {
        let v4 = ip.inside().get(v4).and_then(|it| <[u8; 4]>::try_from(it.value).ok()).map(IpAddr::from);
        v4.or_else(|| ip.inside().get(v6).and_then(|it| <[u8; 16]>::try_from(it.value).ok()).map(IpAddr::from))
    };
    Some(Tuple {
        source: address(CTA_IP_V4_SRC, CTA_IP_V6_SRC)?,
        destination: address(CTA_IP_V4_DST, CTA_IP_V6_DST)?,
        protocol: *proto.inside().get(CTA_PROTO_NUM)?.value.first()?,
        destination_port: proto
            .inside()
            .get(CTA_PROTO_DST_PORT)
            .and_then(|it| it.value.try_into().ok())
            .map(u16::from_be_bytes),
    })
}

/// Whether packets to this destination go to a port at that address.
fn covers(address: Option<IpAddr>, destination: IpAddr) -> bool {
    address.is_none_or(|it| it == destination || (it.is_unspecified() && it.is_ipv4() == destination.is_ipv4()))
}

fn told(places: &[(Option<IpAddr>, PortRange)]) -> String {
    match places {
        [(_, ports)] => format!("UDP port {ports}"),
        several => format!("{} UDP ports", several.len()),
    }
}

impl Sieve {
    fn of(address: Option<IpAddr>, ports: PortRange) -> Self {
        let destination = match address {
            Some(IpAddr::V4(address)) if !address.is_unspecified() => Some(address),
            _ => None,
        };
        Self { destination, port: (ports.count() == 1).then(|| ports.first()) }
    }

    fn write(&self, it: &mut Attributes<'_>) {
        it.nest(CTA_TUPLE_ORIG, |it| {
            it.nest(CTA_TUPLE_IP, |it| {
                if let Some(address) = self.destination {
                    it.bytes(CTA_IP_V4_DST, &address.octets());
                }
            });
            it.nest(CTA_TUPLE_PROTO, |it| {
                it.bytes(CTA_PROTO_NUM, &[Protocol::Udp as u8]);
                if let Some(port) = self.port {
                    it.bytes(CTA_PROTO_DST_PORT, &port.to_be_bytes());
                }
            });
        });
        let address = self.destination.map_or(0, |_| CTA_FILTER_F_IP_DST);
        let port = self.port.map_or(0, |_| CTA_FILTER_F_PROTO_DST_PORT);
        let asked = CTA_FILTER_F_PROTO_NUM | address | port;
        it.nest(CTA_FILTER, |it| it.bytes(CTA_FILTER_ORIG_FLAGS, &asked.to_ne_bytes()));
    }
}
