//! Receiving a datagram together with the address that it was sent to, and answering from that address.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// The address of ours that a datagram was sent to, as the kernel tells it and takes it back.
#[derive(Clone, Copy)]
pub(super) enum Destination {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Destination {
    /// What tells two of them apart.
    pub(super) fn key(&self) -> (Ipv6Addr, u32) {
        match self {
            Self::V4(it) => (Ipv4Addr::from(it.ipi_addr.s_addr.to_ne_bytes()).to_ipv6_mapped(), 0),
            Self::V6(it) => (it.ipi6_addr.s6_addr.into(), it.ipi6_ifindex),
        }
    }
}

/// Room for one control message, aligned as the kernel wants it.
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// What is told of an IPv4 datagram to a socket of both families takes 40 bytes and 32.
const CONTROL: usize = 128;

/// Asks the kernel to tell with each datagram where it was sent to.
pub(super) fn tell_destinations(socket: impl AsFd, ipv6: bool) -> Result<(), Errno> {
    // A socket of both families tells both: only IPv4's own says by which address to answer a broadcast.
    tell(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO)?;
    if ipv6 { tell(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO) } else { Ok(()) }
}

fn tell(socket: impl AsFd, level: libc::c_int, option: libc::c_int) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option's value is an int that lives until the call returns.
    let set = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, (&raw const on).cast(), size) };
    match set {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Receives one datagram: its length, its sender, and where it was sent to.
pub(super) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<Destination>)> {
    // SAFETY: all-zero is a valid value of both.
    let (mut sender, mut header): (libc::sockaddr_in6, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    header.msg_name = (&raw mut sender).cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: everything that the header points to lives until the call returns, with the lengths told.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((length as usize, address(&sender)?, destination(&header)))
}

fn destination(header: &libc::msghdr) -> Option<Destination> {
    // SAFETY: the header was filled in by recvmsg, and its control buffer still lives in the caller's frame; CMSG_*
    // stay within msg_controllen. The data may be unaligned, so it is read as such.
    unsafe {
        let (mut message, mut found) = (libc::CMSG_FIRSTHDR(header), None);
        while !message.is_null() {
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    return Some(Destination::V4(data.cast::<libc::in_pktinfo>().read_unaligned()));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    found = Some(Destination::V6(data.cast::<libc::in6_pktinfo>().read_unaligned()));
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
        found
    }
}

/// Sends one datagram from the address that the question was sent to.
pub(super) fn answer(socket: impl AsFd, datagram: &[u8], to: SocketAddr, from: Option<Destination>) -> io::Result<()> {
    // SAFETY: all-zero is a valid value of a msghdr.
    let mut header: libc::msghdr = unsafe { zeroed() };
    let mut part = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
    let (mut v4, mut v6) = (raw_v4(to), raw_v6(to));
    (header.msg_name, header.msg_namelen) = match to {
        SocketAddr::V4(_) => ((&raw mut v4).cast(), size_of::<libc::sockaddr_in>() as libc::socklen_t),
        SocketAddr::V6(_) => ((&raw mut v6).cast(), size_of::<libc::sockaddr_in6>() as libc::socklen_t),
    };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    let mut control = Control([0; CONTROL]);
    header.msg_control = control.0.as_mut_ptr().cast();
    match from {
        None => {}
        Some(Destination::V4(mut info)) => {
            // Which link the answer takes is for the routing table. The kernel has told by which address to answer: not
            // the one asked, where that was everybody's.
            info.ipi_ifindex = 0;
            put(&mut header, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        Some(Destination::V6(info)) => put(&mut header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info),
    }
    // SAFETY: everything that the header points to lives until the call returns, with the lengths told.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes one control message in the header's buffer, which is larger than any of ours.
fn put<T>(header: &mut libc::msghdr, level: libc::c_int, kind: libc::c_int, data: T) {
    // SAFETY: the buffer has 128 bytes and a message of ours at most 16 + 20; the header is complete before
    // CMSG_FIRSTHDR reads it, and the data is written unaligned.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(size_of::<T>() as u32) as _;
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(data);
    }
}

fn address(raw: &libc::sockaddr_in6) -> io::Result<SocketAddr> {
    match i32::from(raw.sin6_family) {
        libc::AF_INET6 => Ok(SocketAddr::V6(SocketAddrV6::new(
            raw.sin6_addr.s6_addr.into(),
            u16::from_be(raw.sin6_port),
            raw.sin6_flowinfo,
            raw.sin6_scope_id,
        ))),
        libc::AF_INET => {
            // SAFETY: a sockaddr_in is shorter than a sockaddr_in6, and the family says that this is one.
            let raw = unsafe { (&raw const *raw).cast::<libc::sockaddr_in>().read() };
            let address = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
            Ok(SocketAddr::V4(SocketAddrV4::new(address, u16::from_be(raw.sin_port))))
        }
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

fn raw_v4(address: SocketAddr) -> libc::sockaddr_in {
    // SAFETY: all-zero is a valid sockaddr_in.
    let mut raw: libc::sockaddr_in = unsafe { zeroed() };
    if let SocketAddr::V4(address) = address {
        raw.sin_family = libc::AF_INET as u16;
        raw.sin_port = address.port().to_be();
        raw.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
    }
    raw
}

fn raw_v6(address: SocketAddr) -> libc::sockaddr_in6 {
    // SAFETY: all-zero is a valid sockaddr_in6.
    let mut raw: libc::sockaddr_in6 = unsafe { zeroed() };
    if let SocketAddr::V6(address) = address {
        raw.sin6_family = libc::AF_INET6 as u16;
        raw.sin6_port = address.port().to_be();
        raw.sin6_flowinfo = address.flowinfo();
        raw.sin6_scope_id = address.scope_id();
        raw.sin6_addr.s6_addr = address.ip().octets();
    }
    raw
}
