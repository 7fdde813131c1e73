//! The least that the kernel must be asked for: what attaching makes, by hand-made messages and nothing else.
//!
//! No address is chosen, nothing is stored, nobody is asked. What is made is the same as by Trestle: a namespace with
//! a name, a pair of links on a bridge, an address, a default route, held ports, and elements of the firewall's maps
//! (one for each port, one for the container's way to itself).

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::UnshareFlags;
use trestle_tests::host::Host;
use trestle_tests::namespace::Namespace;

use super::netlink::{Batch, descriptor, make_room, open};

const BRIDGE: &str = "floor";
const PEER: &[u8] = b"eth0\0";
const GATEWAY: [u8; 4] = [10, 84, 0, 1];

/// All links of all containers, so that they can be deleted together.
const GROUP: u32 = 0x54;

/// How many elements go in one list, which has to stay below 64 KiB.
const LIST: usize = 1000;

/// The part of Trestle's table that an attach adds to.
const TABLE: &str = "table inet floor {
    map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
    set hairpin { type ipv4_addr . ipv4_addr; }
    chain prerouting {
        type nat hook prerouting priority dstnat;
        fib daddr type local dnat ip to meta l4proto . th dport map @ports
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        ip saddr . ip daddr @hairpin masquerade
    }
}";

const CREATE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL | libc::NLM_F_ACK;

/// Raw netlink from one process.
pub(crate) struct Floor {
    host: Host,
    route: Socket,
    firewall: Socket,
    bridge: i32,
    /// The number that the first link in a new namespace gets.
    peer: i32,
    folder: PathBuf,
}

/// What was attached.
pub(crate) struct Container {
    number: u16,
    ports: Range<u16>,
    path: PathBuf,
    held: Vec<TcpListener>,
    _inside: Socket,
}

impl Floor {
    /// Lays out the bridge and the table.
    pub(crate) fn new() -> Self {
        let host = Host::new("floor");
        host.ip(&format!("link add {BRIDGE} type bridge"));
        host.ip(&format!("address add 10.84.0.1/16 dev {BRIDGE}"));
        host.ip(&format!("link set {BRIDGE} up"));
        host.nft(TABLE);
        let folder = host.exec_root().join("netns");
        host.run(|| fs::create_dir_all(&folder)).expect("a host's /run can be written");
        let (route, firewall) = host.run(|| (open(NETLINK_ROUTE), open(NETLINK_NETFILTER)));
        make_room(&firewall);
        let bridge = host.ip(&format!("-o link show {BRIDGE}"));
        let bridge = bridge.split(':').next().and_then(|number| number.parse().ok()).expect("`ip` begins with it");
        let peer = 1 + Namespace::fresh().ip("-o link").lines().count() as i32;
        Self { host, route, firewall, bridge, peer, folder }
    }

    /// Where it all is. What follows has to be run in it.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Attaches a container with published ports, each its own mapping to the same port of the container.
    pub(crate) fn attach(&self, number: u16, ports: Range<u16>) -> Container {
        let held = ports.clone().map(|port| TcpListener::bind(("::", port)).expect("the port is free")).collect();
        let path = self.folder.join(format!("floor{number}"));
        let (namespace, inside) = self.make_namespace(&path);
        self.make_links(&namespace, number);
        self.open_links(&inside, number);
        self.change_firewall(libc::NFT_MSG_NEWSETELEM, CREATE, number, &ports);
        Container { number, ports, path, held, _inside: inside }
    }

    /// Shuts the doors, lets the ports go and takes the link out of service, which is what whoever detaches waits for.
    pub(crate) fn cut_off(&self, container: Container) {
        self.change_firewall(libc::NFT_MSG_DELSETELEM, libc::NLM_F_ACK, container.number, &container.ports);
        drop(container.held);
        let mut batch = Batch::default();
        batch.message(libc::RTM_NEWLINK, libc::NLM_F_ACK, &[&link(0, 0)], |batch| {
            batch.attribute(libc::IFLA_IFNAME, &name(container.number));
            batch.nest(libc::IFLA_LINKINFO, |batch| {
                batch.attribute(libc::IFLA_INFO_SLAVE_KIND, b"bridge\0");
                batch.nest(libc::IFLA_INFO_SLAVE_DATA, |batch| batch.attribute(IFLA_BRPORT_STATE, &[0]));
            });
        });
        batch.send(&self.route, "shutting the bridge's port");
        unmount(&container.path, UnmountFlags::DETACH).expect("it was mounted");
        fs::remove_file(&container.path).expect("it was made");
    }

    /// Deletes the links of all containers, which were all cut off.
    pub(crate) fn reap(&self) {
        let mut batch = Batch::default();
        batch.message(libc::RTM_DELLINK, libc::NLM_F_ACK, &[&link(0, 0)], |batch| {
            batch.attribute(libc::IFLA_GROUP, &GROUP.to_ne_bytes());
        });
        batch.send(&self.route, "deleting the links");
    }

    /// Adds or removes ports of a container in the firewall alone; no socket holds them.
    pub(crate) fn map(&self, add: bool, ports: &Range<u16>) {
        let (verb, flags) = match add {
            true => (libc::NFT_MSG_NEWSETELEM, CREATE),
            false => (libc::NFT_MSG_DELSETELEM, libc::NLM_F_ACK),
        };
        let mut batch = Batch::default();
        transaction(&mut batch, libc::NFNL_MSG_BATCH_BEGIN);
        port_elements(&mut batch, verb, flags, address(0), ports);
        transaction(&mut batch, libc::NFNL_MSG_BATCH_END);
        batch.send(&self.firewall, "changing the map");
    }

    /// A namespace with a name, and a socket in it. The thread that made it ends.
    fn make_namespace(&self, path: &Path) -> (File, Socket) {
        File::create(path).expect("the folder can be written");
        let inside = thread::scope(|scope| scope.spawn(|| enter_new_namespace(path)).join());
        inside.expect("a namespace can be made")
    }

    /// The peer is born in the namespace. One queue an end: the default of two costs a wait for all processors.
    fn make_links(&self, namespace: &File, number: u16) {
        let mut batch = Batch::default();
        let up = link(0, libc::IFF_UP);
        batch.message(libc::RTM_NEWLINK, CREATE, &[&up], |batch| {
            batch.attribute(libc::IFLA_IFNAME, &name(number));
            batch.attribute(libc::IFLA_MASTER, &self.bridge.to_ne_bytes());
            batch.attribute(libc::IFLA_GROUP, &GROUP.to_ne_bytes());
            one_queue(batch);
            batch.nest(libc::IFLA_LINKINFO, |batch| {
                batch.attribute(libc::IFLA_INFO_KIND, b"veth");
                batch.nest(libc::IFLA_INFO_DATA, |batch| {
                    batch.nest(VETH_INFO_PEER, |batch| {
                        batch.fixed(&link(0, 0));
                        batch.attribute(libc::IFLA_IFNAME, PEER);
                        let [high, low] = number.to_be_bytes();
                        batch.attribute(libc::IFLA_ADDRESS, &[2, 0, 0, 2, high, low]);
                        batch.attribute(libc::IFLA_NET_NS_FD, &descriptor(namespace));
                        one_queue(batch);
                    });
                });
            });
        });
        batch.send(&self.route, "making the pair of links");
    }

    /// Loopback and peer up, an address and the default route.
    fn open_links(&self, inside: &Socket, number: u16) {
        let mut batch = Batch::default();
        for index in [1, self.peer] {
            batch.message(libc::RTM_NEWLINK, libc::NLM_F_ACK, &[&link(index, libc::IFF_UP)], |_| {});
        }
        // struct ifaddrmsg (linux/if_addr.h): family, length of the prefix, flags, scope; then the link.
        let fixed: [&[u8]; 2] = [&[libc::AF_INET as u8, 16, 0, 0], &self.peer.to_ne_bytes()];
        batch.message(libc::RTM_NEWADDR, CREATE, &fixed, |batch| {
            batch.attribute(libc::IFA_LOCAL, &address(number));
            batch.attribute(libc::IFA_ADDRESS, &address(number));
        });
        // struct rtmsg (linux/rtnetlink.h): family, lengths of the prefixes, tos, table, protocol, scope, type; flags.
        let route = [libc::AF_INET as u8, 0, 0, 0, libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, 0, libc::RTN_UNICAST];
        batch.message(libc::RTM_NEWROUTE, CREATE, &[&route, &[0; 4]], |batch| {
            batch.attribute(libc::RTA_GATEWAY, &GATEWAY);
            batch.attribute(libc::RTA_OIF, &self.peer.to_ne_bytes());
        });
        batch.send(inside, "setting up the namespace");
    }

    /// All elements in one transaction.
    fn change_firewall(&self, verb: i32, flags: i32, number: u16, ports: &Range<u16>) {
        let at = address(number);
        let mut batch = Batch::default();
        transaction(&mut batch, libc::NFNL_MSG_BATCH_BEGIN);
        port_elements(&mut batch, verb, flags, at, ports);
        elements(&mut batch, verb, flags, b"hairpin\0", |batch| element(batch, &[at, at].concat(), None));
        transaction(&mut batch, libc::NFNL_MSG_BATCH_END);
        batch.send(&self.firewall, "changing the maps");
    }
}

/// `VETH_INFO_PEER` (linux/veth.h).
const VETH_INFO_PEER: u16 = 1;

/// `IFLA_BRPORT_STATE` (linux/if_link.h); 0 is disabled.
const IFLA_BRPORT_STATE: u16 = 1;

/// `NFTA_LIST_ELEM`, `NFTA_DATA_VALUE`, and what sets and elements have (linux/netfilter/nf_tables.h).
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;

/// The container's address.
fn address(number: u16) -> [u8; 4] {
    (Ipv4Addr::from([10, 84, 1, 0]).to_bits() + u32::from(number)).to_be_bytes()
}

/// The name of its link on the host.
fn name(number: u16) -> Vec<u8> {
    format!("vethfloor{number}\0").into()
}

/// `struct ifinfomsg` (linux/rtnetlink.h): family, kind, number, flags, and which flags are meant.
fn link(index: i32, flags: i32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

fn one_queue(batch: &mut Batch) {
    batch.attribute(libc::IFLA_NUM_TX_QUEUES, &1u32.to_ne_bytes());
    batch.attribute(libc::IFLA_NUM_RX_QUEUES, &1u32.to_ne_bytes());
}

/// The beginning or the end of a transaction. `struct nfgenmsg`: family, version, and the subsystem in network order.
fn transaction(batch: &mut Batch, edge: i32) {
    let [high, low] = (libc::NFNL_SUBSYS_NFTABLES as u16).to_be_bytes();
    batch.message(edge as u16, 0, &[&[0, 0, high, low]], |_| {});
}

/// An element for each port, in as many lists as it takes.
fn port_elements(batch: &mut Batch, verb: i32, flags: i32, [a, b, c, d]: [u8; 4], ports: &Range<u16>) {
    for first in ports.clone().step_by(LIST) {
        let some = first..ports.end.min(first.saturating_add(LIST as u16));
        elements(batch, verb, flags, b"ports\0", |batch| {
            for port in some {
                // Every part of a key and of a value starts at a multiple of four bytes.
                let [high, low] = port.to_be_bytes();
                let key = [libc::IPPROTO_TCP as u8, 0, 0, 0, high, low, 0, 0];
                let value = [a, b, c, d, high, low, 0, 0];
                element(batch, &key, (verb == libc::NFT_MSG_NEWSETELEM).then_some(&value));
            }
        });
    }
}

fn elements(batch: &mut Batch, verb: i32, flags: i32, set: &[u8], list: impl FnOnce(&mut Batch)) {
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | verb) as u16;
    batch.message(kind, flags, &[&[libc::NFPROTO_INET as u8, 0, 0, 0]], |batch| {
        batch.attribute(NFTA_SET_ELEM_LIST_TABLE, b"floor\0");
        batch.attribute(NFTA_SET_ELEM_LIST_SET, set);
        batch.nest(NFTA_SET_ELEM_LIST_ELEMENTS, list);
    });
}

fn element(batch: &mut Batch, key: &[u8], value: Option<&[u8; 8]>) {
    batch.nest(NFTA_LIST_ELEM, |batch| {
        batch.nest(NFTA_SET_ELEM_KEY, |batch| batch.attribute(NFTA_DATA_VALUE, key));
        if let Some(value) = value {
            batch.nest(NFTA_SET_ELEM_DATA, |batch| batch.attribute(NFTA_DATA_VALUE, value));
        }
    });
}

#[allow(unsafe_code, reason = "the kernel's door to namespaces is marked unsafe")]
fn enter_new_namespace(path: &Path) -> (File, Socket) {
    // SAFETY: only taking away the table of file descriptors could harm other threads, and it is not asked for.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.expect("a namespace can be made");
    mount_bind("/proc/thread-self/ns/net", path).expect("a namespace can be named");
    (File::open(path).expect("it was just mounted"), open(NETLINK_ROUTE))
}
