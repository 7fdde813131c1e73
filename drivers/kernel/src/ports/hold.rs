//! Opening the sockets that hold ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::Resource;
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::PublishedPort;
use trestle_core::{Error, Result};

use super::{datagram, holder};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 512;

/// One bound socket for each port of a range; TCP's listen. No sockets at all where this kernel has no SCTP.
pub(super) fn open(port: &PublishedPort) -> Result<Vec<OwnedFd>> {
    let mut sockets = Vec::new();
    for number in port.host.ports() {
        match open_one(port.protocol, port.address, number) {
            Ok(socket) => sockets.push(socket),
            Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT | Errno::NOPROTOOPT)
                if port.protocol == Protocol::Sctp =>
            {
                return Ok(Vec::new());
            }
            Err(cause) => return Err(refused(port, number, cause)),
        }
    }
    Ok(sockets)
}

fn open_one(protocol: Protocol, address: Option<IpAddr>, port: u16) -> Result<OwnedFd, Errno> {
    match address {
        Some(address) => bound(protocol, SocketAddr::new(address, port), false),
        None => match bound(protocol, SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), true) {
            // A host without IPv6.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
                bound(protocol, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), false)
            }
            other => other,
        },
    }
}

fn bound(protocol: Protocol, address: SocketAddr, both_families: bool) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, rustix::net::ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, rustix::net::ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, rustix::net::ipproto::SCTP),
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(number))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !both_families)?;
    }
    match protocol {
        Protocol::Tcp => {
            // Connections that just ended don't keep us from holding the port again; a listener of others still does.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            rustix::net::bind(&socket, &address)?;
            rustix::net::listen(&socket, BACKLOG)?;
        }
        Protocol::Udp => {
            datagram::tell_destinations(&socket, address.is_ipv6())?;
            rustix::net::bind(&socket, &address)?;
        }
        Protocol::Sctp => rustix::net::bind(&socket, &address)?,
    }
    Ok(socket)
}

fn refused(port: &PublishedPort, number: u16, cause: Errno) -> Error {
    match cause {
        Errno::ADDRINUSE => {
            let taken = match PortRange::single(number) {
                Ok(host) => PublishedPort { host, ..port.clone() },
                Err(error) => return error,
            };
            let by = holder::of(port.protocol, port.address, number).unwrap_or_else(|| "another program".into());
            Error::conflict(format!("{taken} is taken by {by}"))
        }
        Errno::ADDRNOTAVAIL => Error::invalid(match port.address {
            Some(address) => format!("no link of this host has the address {address}"),
            None => "this host has no addresses".into(),
        }),
        Errno::AFNOSUPPORT => Error::unsupported("this host has IPv6 switched off"),
        Errno::ACCESS => Error::forbidden(format!("holding port {number} takes the capability CAP_NET_BIND_SERVICE")),
        Errno::MFILE => {
            let limit = rustix::process::getrlimit(Resource::Nofile).current;
            let limit = limit.map_or_else(|| "unlimited".into(), |limit| limit.to_string());
            Error::exhausted(format!(
                "this process may have {limit} files open and has; each published port takes one \
                 (raise LimitNOFILE= of the service, or ulimit -n, or publish fewer)"
            ))
        }
        Errno::NFILE => Error::exhausted("this machine has as many files open as it may (see /proc/sys/fs/file-max)"),
        cause => Error::internal(std::io::Error::from(cause).to_string()),
    }
}
