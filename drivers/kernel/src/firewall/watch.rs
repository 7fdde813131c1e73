//! News when somebody else changes our rules.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket as Netlink, SocketAddr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use trestle_core::error::{Doing, Error, Result};
use trestle_core::kernel::Disturbance;

use super::ear::Ear;
use super::generations::Generations;
use super::iptables;
use super::nftables::TABLE;
use super::nftables::message::{Message, messages};
use super::nftables::refusal::told;
use super::nftables::socket::borrowed;
use super::uapi::*;
use super::{Firewall, Rules};

/// Tells when our rules were changed by another than the [`Firewall`] that it was made from. Changes of iptables' legacy
/// rules are told by nobody.
///
/// It never blocks. In a tokio task, make it [`News`]; on a thread, poll its descriptor for reading and then call
/// [`Watch::news`] until there is none.
pub struct Watch {
    netlink: Arc<Netlink>,
    ear: Ear,
    ours: Ours,
    touched: bool,
    buffer: Vec<u8>,
}

/// Which rules are ours, and how our own changes are told from others'.
enum Ours {
    /// Our own table, which this socket changes.
    Table {
        /// The socket's port.
        port: u32,
    },
    /// Chains among those of iptables. Its programs change them, and these are the generations that they made for us.
    Chains(Arc<Generations>),
    /// They are not in nf_tables.
    Elsewhere,
}

/// Watches for others' changes of the table of this firewall, in the network namespace of this thread, which is to be
/// the firewall's.
///
/// # Errors
/// When the kernel gives no such socket.
pub fn watch(firewall: &Firewall) -> Result<Watch> {
    let ours = match &firewall.rules {
        Rules::NfTables(rules) => Ours::Table { port: rules.netfilter().port() },
        Rules::IpTables(rules) if rules.are_in_nftables() => Ours::Chains(rules.generations()),
        Rules::IpTables(_) => Ours::Elsewhere,
    };
    let ear = match &firewall.rules {
        Rules::NfTables(rules) => rules.ear(),
        Rules::IpTables(_) => Ear::default(),
    };
    Ok(Watch { netlink: listen(&ours, &ear)?, ear, ours, touched: false, buffer: vec![0; 1 << 16] })
}

fn listen(ours: &Ours, ear: &Ear) -> Result<Arc<Netlink>> {
    let opened = || -> io::Result<Netlink> {
        let mut netlink = Netlink::new(NETLINK_NETFILTER)?;
        netlink.set_non_blocking(true)?;
        netlink.bind(&SocketAddr::new(0, 0))?;
        // Before it joins: a change of ours tells as many messages as it has elements, and none shall overrun us.
        if let Ours::Table { port } = ours {
            leave_out(&netlink, *port)?;
        }
        enlarge(&netlink);
        if !matches!(ours, Ours::Elsewhere) {
            netlink.add_membership(NFNLGRP_NFTABLES)?;
        }
        Ok(netlink)
    };
    let opened = opened().map_err(|error| Error::internal(told(&error)));
    let netlink = Arc::new(opened.doing(|| "listening for changes of nf_tables")?);
    ear.is(&netlink);
    Ok(netlink)
}

impl Watch {
    /// Listens anew, in the network namespace of this thread. What happened meanwhile is lost.
    ///
    /// # Errors
    /// As [`watch`].
    pub fn reopen(&mut self) -> Result<()> {
        self.netlink = listen(&self.ours, &self.ear)?;
        self.touched = false;
        Ok(())
    }

    /// The next news, if there is some. After [`Disturbance::Lost`] everything has to be verified.
    ///
    /// # Errors
    /// When the socket can't be read.
    pub fn news(&mut self) -> Result<Option<Disturbance>> {
        loop {
            let length = match self.netlink.recv(&mut &mut self.buffer[..], 0) {
                Ok(length) => length,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(None),
                    Some(libc::EINTR) => continue,
                    Some(libc::ENOBUFS) => {
                        self.touched = false;
                        return Ok(Some(Disturbance::Lost));
                    }
                    _ => return Err(Error::internal(told(&error)).doing("reading changes of nf_tables")),
                },
            };
            // A datagram tells of one transaction at most, and the end of a transaction is its last message.
            let mut found = None;
            for message in messages(&self.buffer[..length]) {
                match message.nftables() {
                    Some(NFT_MSG_NEWGEN) if std::mem::take(&mut self.touched) => {
                        let by = doer(&message);
                        found = (!self.ours.made(&message)).then_some(Disturbance::Firewall { by }).or(found);
                    }
                    Some(_) => self.touched |= self.ours.are_in(&message),
                    None => {}
                }
            }
            if found.is_some() {
                return Ok(found);
            }
        }
    }
}

/// A [`Watch`] that a tokio task waits on.
pub struct News(AsyncFd<Watch>);

impl News {
    /// Takes the watch to the runtime of this task.
    ///
    /// # Errors
    /// When the runtime can't wait for it.
    pub fn new(watch: Watch) -> Result<Self> {
        // SAFETY: a watch keeps its one descriptor open for as long as it lives, and never changes it.
        let registered = unsafe { AsyncFd::register_with_interest(watch, Interest::READABLE) };
        registered
            .map(Self)
            .map_err(|error| Error::internal(told(&error.into())).doing("waiting for changes of nf_tables"))
    }

    /// Waits for the next news. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// When the socket can't be read.
    pub async fn next(&mut self) -> Result<Disturbance> {
        loop {
            let mut ready = self.0.readable_mut().await.map_err(|error| Error::internal(told(&error)))?;
            match ready.get_inner_mut().news()? {
                Some(news) => return Ok(news),
                None => ready.clear_ready(),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        borrowed(&self.netlink)
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.netlink.as_raw_fd()
    }
}

impl Ours {
    /// Whether something of ours is changed by this, or may be.
    fn are_in(&self, message: &Message<'_>) -> bool {
        // The first attribute of every message of nf_tables but a generation's is the name of the table.
        let table = || message.attributes().get(NFTA_TABLE_NAME).map(|it| it.text()).unwrap_or_default();
        match self {
            Self::Elsewhere => false,
            _ if message.nftables() == Some(NFT_MSG_NEWGEN) => false,
            Self::Table { .. } => message.family() == NFPROTO_INET && table() == TABLE,
            Self::Chains(_) => {
                let name = |kind| message.attributes().get(kind).map(|it| it.text()).unwrap_or_default();
                let change = match message.nftables() {
                    Some(NFT_MSG_DELTABLE) => iptables::Touched::Table,
                    Some(NFT_MSG_NEWCHAIN) => iptables::Touched::Made(name(NFTA_CHAIN_NAME)),
                    Some(NFT_MSG_DELCHAIN) => iptables::Touched::Removed(name(NFTA_CHAIN_NAME)),
                    Some(NFT_MSG_NEWRULE) => iptables::Touched::Made(name(NFTA_RULE_CHAIN)),
                    Some(NFT_MSG_DELRULE) => iptables::Touched::Removed(name(NFTA_RULE_CHAIN)),
                    _ => return false,
                };
                matches!(message.family(), NFPROTO_IPV4 | NFPROTO_IPV6) && change.concerns_us(&table())
            }
        }
    }

    /// Whether the change that ends with this was ours.
    fn made(&self, end: &Message<'_>) -> bool {
        let generation = end.attributes().get(NFTA_GEN_ID).map(|it| it.number());
        match self {
            Self::Chains(generations) => generation.is_some_and(|it| generations.have(it)),
            Self::Table { .. } | Self::Elsewhere => false,
        }
    }
}

fn doer(message: &Message<'_>) -> Option<String> {
    let attributes = message.attributes();
    let name = attributes.get(NFTA_GEN_PROC_NAME)?.text();
    let pid = attributes.get(NFTA_GEN_PROC_PID)?.number();
    Some(format!("{name} (pid {pid})"))
}

/// Has the kernel drop what the socket with this port has caused, by a filter over the header of the first message.
fn leave_out(netlink: &Netlink, port: u32) -> io::Result<()> {
    const PORT_IN_HEADER: u32 = 12;
    // A filter reads numbers with the big end first; the header has them in the machine's order.
    let port = u32::from_be_bytes(port.to_ne_bytes());
    let step =
        |code: u32, k, jt, jf| libc::sock_filter { code: u16::try_from(code).expect("codes have 16 bits"), jt, jf, k };
    let mut program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, PORT_IN_HEADER, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, port, 0, 1),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, u32::MAX, 0, 0),
    ];
    let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    // SAFETY: the option takes a `sock_fprog` of this size; it and the program behind it outlive the call, which copies both.
    let result = unsafe {
        libc::setsockopt(
            netlink.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            u32::try_from(size_of::<libc::sock_fprog>()).expect("a few bytes"),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Room for others' large changes. Less is no harm: what does not fit is told as lost.
fn enlarge(netlink: &Netlink) {
    const ROOM: usize = 4 << 20;
    if let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size_force(borrowed(netlink), ROOM) {
        tracing::debug!(%error, "changes of nf_tables are told through a small buffer");
    }
}
