//! News when somebody else changes our table.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket as Netlink, SocketAddr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use trestle_core::error::{Doing, Error, Result};
use trestle_core::kernel::Disturbance;

use super::Firewall;
use super::message::{Message, messages};
use super::refusal::told;
use super::ruleset::TABLE;
use super::socket::borrowed;
use super::uapi::*;

/// Tells when our table, or something in it, was changed by another than the [`Firewall`] that it was made from.
///
/// It never blocks. In a tokio task, make it [`News`]; on a thread, poll its descriptor for reading and then call
/// [`Watch::news`] until there is none.
pub struct Watch {
    netlink: Netlink,
    own_port: u32,
    touched: bool,
    buffer: Vec<u8>,
}

/// Watches for others' changes of the table of this firewall, in the network namespace of this thread, which is to be
/// the firewall's.
///
/// # Errors
/// When the kernel gives no such socket.
pub fn watch(firewall: &Firewall) -> Result<Watch> {
    let own_port = firewall.socket.port();
    Ok(Watch { netlink: listen(own_port)?, own_port, touched: false, buffer: vec![0; 1 << 16] })
}

fn listen(own_port: u32) -> Result<Netlink> {
    let opened = || -> io::Result<Netlink> {
        let mut netlink = Netlink::new(NETLINK_NETFILTER)?;
        netlink.set_non_blocking(true)?;
        netlink.bind(&SocketAddr::new(0, 0))?;
        // Before it joins: a change of ours tells as many messages as it has elements, and none shall overrun us.
        leave_out(&netlink, own_port)?;
        enlarge(&netlink);
        netlink.add_membership(NFNLGRP_NFTABLES)?;
        Ok(netlink)
    };
    opened().map_err(|error| Error::internal(told(&error))).doing(|| "listening for changes of nf_tables")
}

impl Watch {
    /// Listens anew, in the network namespace of this thread. What happened meanwhile is lost.
    ///
    /// # Errors
    /// As [`watch`].
    pub fn reopen(&mut self) -> Result<()> {
        self.netlink = listen(self.own_port)?;
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
                        found = Some(Disturbance::Firewall { by: doer(&message) });
                    }
                    Some(_) => self.touched |= is_about_us(&message),
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

fn is_about_us(message: &Message<'_>) -> bool {
    // The first attribute of every message of nf_tables but a generation's is the name of the table.
    message.nftables() != Some(NFT_MSG_NEWGEN)
        && message.family() == NFPROTO_INET
        && message.attributes().get(NFTA_TABLE_NAME).is_some_and(|it| it.text() == TABLE)
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
