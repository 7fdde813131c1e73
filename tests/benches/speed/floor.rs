//! The least that the kernel must be asked for: what an attach makes, by hand-made messages and nothing else.
//!
//! No address is chosen, nothing is stored, nobody is asked. What is made is the same as by Trestle: a namespace with
//! a name, a pair of links on a bridge, an address, a default route, a held port, and two elements of the firewall's
//! maps (one for the port, one for the container's way to itself).

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::UnshareFlags;
use trestle_tests::host::Host;
use trestle_tests::namespace::Namespace;

use super::Contestant;
use super::netlink::{Batch, descriptor, open};

const BRIDGE: &str = "floor";
const LINK: &[u8] = b"vethfloor\0";
const PEER: &[u8] = b"eth0\0";
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ADDRESS: [u8; 4] = [10, 84, 0, 2];
const GATEWAY: [u8; 4] = [10, 84, 0, 1];
const PORT: u16 = 8080;

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
    path: PathBuf,
    attached: Option<(Socket, TcpListener)>,
}

impl Floor {
    /// Lays out the bridge and the table.
    pub(crate) fn new() -> Self {
        let host = Host::new("floor");
        host.ip(&format!("link add {BRIDGE} type bridge"));
        host.ip(&format!("address add 10.84.0.1/16 dev {BRIDGE}"));
        host.ip(&format!("link set {BRIDGE} up"));
        host.nft(TABLE);
        let path = host.exec_root().join("netns/floor");
        let folder = path.parent().expect("it is in a folder");
        host.run(|| fs::create_dir_all(folder)).expect("a host's /run can be written");
        let (route, firewall) = host.run(|| (open(NETLINK_ROUTE), open(NETLINK_NETFILTER)));
        let bridge = host.ip(&format!("-o link show {BRIDGE}"));
        let bridge = bridge.split(':').next().and_then(|number| number.parse().ok()).expect("`ip` begins with it");
        let peer = 1 + Namespace::fresh().ip("-o link").lines().count() as i32;
        Self { host, route, firewall, bridge, peer, path, attached: None }
    }

    fn make(&self) -> (Socket, TcpListener) {
        let port = TcpListener::bind(("::", PORT)).expect("the port is free");
        let (namespace, inside) = self.make_namespace();
        self.make_links(&namespace);
        self.open_links(&inside);
        self.change_firewall(libc::NFT_MSG_NEWSETELEM, CREATE);
        (inside, port)
    }

    /// A namespace with a name, and a socket in it. The thread that made it ends.
    fn make_namespace(&self) -> (File, Socket) {
        File::create(&self.path).expect("the folder can be written");
        let inside = thread::scope(|scope| scope.spawn(|| enter_new_namespace(&self.path)).join());
        inside.expect("a namespace can be made")
    }

    /// The peer is born in the namespace. One queue an end: the default of two costs a wait for all processors.
    fn make_links(&self, namespace: &File) {
        let mut batch = Batch::default();
        let up = link(0, libc::IFF_UP);
        batch.message(libc::RTM_NEWLINK, CREATE, &[&up], |batch| {
            batch.attribute(libc::IFLA_IFNAME, LINK);
            batch.attribute(libc::IFLA_MASTER, &self.bridge.to_ne_bytes());
            one_queue(batch);
            batch.nest(libc::IFLA_LINKINFO, |batch| {
                batch.attribute(libc::IFLA_INFO_KIND, b"veth");
                batch.nest(libc::IFLA_INFO_DATA, |batch| {
                    batch.nest(VETH_INFO_PEER, |batch| {
                        batch.fixed(&link(0, 0));
                        batch.attribute(libc::IFLA_IFNAME, PEER);
                        batch.attribute(libc::IFLA_ADDRESS, &PEER_MAC);
                        batch.attribute(libc::IFLA_NET_NS_FD, &descriptor(namespace));
                        one_queue(batch);
                    });
                });
            });
        });
        batch.send(&self.route, "making the pair of links");
    }

    /// Loopback and peer up, an address and the default route.
    fn open_links(&self, inside: &Socket) {
        let mut batch = Batch::default();
        for index in [1, self.peer] {
            batch.message(libc::RTM_NEWLINK, libc::NLM_F_ACK, &[&link(index, libc::IFF_UP)], |_| {});
        }
        // struct ifaddrmsg (linux/if_addr.h): family, length of the prefix, flags, scope; then the link.
        let address: [&[u8]; 2] = [&[libc::AF_INET as u8, 16, 0, 0], &self.peer.to_ne_bytes()];
        batch.message(libc::RTM_NEWADDR, CREATE, &address, |batch| {
            batch.attribute(libc::IFA_LOCAL, &ADDRESS);
            batch.attribute(libc::IFA_ADDRESS, &ADDRESS);
        });
        // struct rtmsg (linux/rtnetlink.h): family, lengths of the prefixes, tos, table, protocol, scope, type; flags.
        let route = [libc::AF_INET as u8, 0, 0, 0, libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, 0, libc::RTN_UNICAST];
        batch.message(libc::RTM_NEWROUTE, CREATE, &[&route, &[0; 4]], |batch| {
            batch.attribute(libc::RTA_GATEWAY, &GATEWAY);
            batch.attribute(libc::RTA_OIF, &self.peer.to_ne_bytes());
        });
        batch.send(inside, "setting up the namespace");
    }

    /// Both elements in one transaction.
    fn change_firewall(&self, verb: i32, flags: i32) {
        // Every part of a key and of a value starts at a multiple of four bytes.
        let [high, low] = PORT.to_be_bytes();
        let key = [libc::IPPROTO_TCP as u8, 0, 0, 0, high, low, 0, 0];
        let [a, b, c, d] = ADDRESS;
        let mut batch = Batch::default();
        transaction(&mut batch, libc::NFNL_MSG_BATCH_BEGIN);
        element(&mut batch, verb, flags, b"ports\0", &key, Some(&[a, b, c, d, 0, 80, 0, 0]));
        element(&mut batch, verb, flags, b"hairpin\0", &[a, b, c, d, a, b, c, d], None);
        transaction(&mut batch, libc::NFNL_MSG_BATCH_END);
        batch.send(&self.firewall, "changing the maps");
    }

    fn unmake(&self) {
        self.change_firewall(libc::NFT_MSG_DELSETELEM, libc::NLM_F_ACK);
        let mut batch = Batch::default();
        let none = link(0, 0);
        batch.message(libc::RTM_DELLINK, libc::NLM_F_ACK, &[&none], |batch| batch.attribute(libc::IFLA_IFNAME, LINK));
        batch.send(&self.route, "deleting the pair of links");
        unmount(&self.path, UnmountFlags::DETACH).expect("it was mounted");
        fs::remove_file(&self.path).expect("it was made");
    }
}

impl Contestant for Floor {
    fn id(&self) -> &'static str {
        "floor"
    }

    fn attach(&mut self) -> Duration {
        let (spent, attached) = self.host.run(|| {
            let begun = Instant::now();
            let attached = self.make();
            (begun.elapsed(), attached)
        });
        self.attached = Some(attached);
        spent
    }

    fn detach(&mut self) {
        drop(self.attached.take());
        self.host.run(|| self.unmake());
    }
}

/// `VETH_INFO_PEER` (linux/veth.h).
const VETH_INFO_PEER: u16 = 1;

/// `NFTA_LIST_ELEM`, `NFTA_DATA_VALUE`, and what sets and elements have (linux/netfilter/nf_tables.h).
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;

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

fn element(batch: &mut Batch, verb: i32, flags: i32, set: &[u8], key: &[u8], value: Option<&[u8]>) {
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | verb) as u16;
    batch.message(kind, flags, &[&[libc::NFPROTO_INET as u8, 0, 0, 0]], |batch| {
        batch.attribute(NFTA_SET_ELEM_LIST_TABLE, b"floor\0");
        batch.attribute(NFTA_SET_ELEM_LIST_SET, set);
        batch.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |batch| {
            batch.nest(NFTA_LIST_ELEM, |batch| {
                batch.nest(NFTA_SET_ELEM_KEY, |batch| batch.attribute(NFTA_DATA_VALUE, key));
                if let Some(value) = value {
                    batch.nest(NFTA_SET_ELEM_DATA, |batch| batch.attribute(NFTA_DATA_VALUE, value));
                }
            });
        });
    });
}

#[allow(unsafe_code, reason = "the kernel's door to namespaces is marked unsafe")]
fn enter_new_namespace(path: &PathBuf) -> (File, Socket) {
    // SAFETY: only taking away the table of file descriptors could harm other threads, and it is not asked for.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.expect("a namespace can be made");
    mount_bind("/proc/thread-self/ns/net", path).expect("a namespace can be named");
    (File::open(path).expect("it was just mounted"), open(NETLINK_ROUTE))
}
