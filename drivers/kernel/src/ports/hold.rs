//! Opening the sockets that hold ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::Resource;
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::PublishedPort;
use trestle_core::{Error, Result};

use super::{datagram, holder};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 512;

/// Whether ports of a protocol can be held: SCTP's only where the kernel has sockets for it. The first answer stands for
/// as long as the process lives, so that what is said of a port and what was done for it are the same.
///
/// Asked only when there is such a port, because asking may make the kernel load SCTP.
pub fn can_hold(protocol: Protocol) -> bool {
    static SCTP: OnceLock<bool> = OnceLock::new();
    if protocol != Protocol::Sctp {
        return true;
    }
    if let Some(known) = SCTP.get() {
        return *known;
    }
    match socket(protocol, AddressFamily::INET) {
        Ok(_) => *SCTP.get_or_init(|| true),
        Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) => *SCTP.get_or_init(|| false),
        // Of sockets in general, and told by who opens the next one.
        Err(_) => true,
    }
}

/// One bound socket for each port of a range; TCP's listen. No sockets at all where they can't be held.
pub(super) fn open(port: &PublishedPort) -> Result<Vec<OwnedFd>> {
    if !can_hold(port.protocol) {
        return Ok(Vec::new());
    }
    let open = |number| open_one(port.protocol, port.address, number).map_err(|cause| refused(port, number, cause));
    port.host.ports().map(open).collect()
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

fn socket(protocol: Protocol, family: AddressFamily) -> Result<OwnedFd, Errno> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, rustix::net::ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, rustix::net::ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, rustix::net::ipproto::SCTP),
    };
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(number))
}

fn bound(protocol: Protocol, address: SocketAddr, both_families: bool) -> Result<OwnedFd, Errno> {
    let socket = socket(protocol, if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET })?;
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
