//! Where sandboxes ask for names: sockets opened in their namespaces, and the redirect of port 53 to them. Who answers
//! there is handed the sockets and knows the names.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread;

use ipnet::IpNet;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use trestle_core::kernel::Deviation;
use trestle_core::name_service::{NameService, NameSockets};
use trestle_core::port::Protocol;
use trestle_core::resource::{NAME_SERVER_V4, NAME_SERVER_V6, NameServer, Namespace};
use trestle_core::{Doing, Error, Result, failpoint};

use crate::firewall::{Door, Redirects};
use crate::namespace;
use crate::netlink::{Socket, message};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// The index of the loopback link in every namespace (`LOOPBACK_IFINDEX`, net/flow.h).
const LOOPBACK: u32 = 1;

/// The name servers of all sandboxes.
pub(crate) struct NameServers {
    service: Option<Arc<dyn NameService>>,
    open: BTreeMap<Namespace, Vec<Door>>,
}

/// What was opened in a namespace.
struct Opened {
    sockets: NameSockets,
    doors: Vec<Door>,
}

impl NameServers {
    /// Without a service none can be opened.
    pub(crate) fn new(service: Option<Arc<dyn NameService>>) -> Self {
        Self { service, open: BTreeMap::new() }
    }

    /// Opens the sockets, leads questions there and hands them to who answers. Where they are open, only what is missing
    /// of that is done.
    ///
    /// # Errors
    /// `Unsupported` if nobody answers, or this kernel has no nf_tables.
    pub(crate) fn open(&mut self, server: &NameServer, namespace: &File) -> Result<()> {
        let Some(service) = &self.service else {
            return Err(Error::unsupported("this program answers no questions for names"));
        };
        let addresses = addresses(server);
        let standing = self.open.get(&server.namespace).filter(|doors| doors.len() == addresses.len() * 2).cloned();
        let (opened, spent) = namespace::within(namespace, || -> Result<(Option<Opened>, Redirects)> {
            let mut redirects = Redirects::open()?;
            if server.ipv6 {
                add_address()?;
            }
            let led = redirects.read()?;
            match standing {
                Some(doors) if doors == led => Ok((None, redirects)),
                Some(doors) => {
                    redirects.make(&doors)?;
                    Ok((None, redirects))
                }
                None => {
                    let opened = open_sockets(&addresses, &led)?;
                    if opened.doors != led {
                        redirects.make(&opened.doors)?;
                    }
                    Ok((Some(opened), redirects))
                }
            }
        })??;
        close_aside(spent);
        failpoint!("kernel.names-redirected");
        if let Some(opened) = opened {
            service.serve(server.sandbox, opened.sockets)?;
            self.open.insert(server.namespace.clone(), opened.doors);
        }
        Ok(())
    }

    /// Closes the sockets, and leads questions nowhere any more in a namespace that stays.
    pub(crate) fn close(&mut self, server: &NameServer, stays: Option<&File>) -> Result<()> {
        self.open.remove(&server.namespace);
        if let Some(service) = &self.service {
            service.stop(server.sandbox);
        }
        let Some(namespace) = stays else { return Ok(()) };
        let spent = namespace::within(namespace, || -> Result<Redirects> {
            let mut redirects = Redirects::open()?;
            redirects.remove()?;
            if server.ipv6 {
                delete_address()?;
            }
            Ok(redirects)
        })??;
        close_aside(spent);
        Ok(())
    }

    /// In what way a sandbox can't ask for names.
    pub(crate) fn verify(&self, server: &NameServer, namespace: &File) -> Result<Option<(Deviation, String)>> {
        let Some(doors) = self.open.get(&server.namespace) else {
            return Ok(Some((Deviation::Missing, "nobody listens there".into())));
        };
        let led = namespace::within(namespace, || Redirects::open().and_then(|mut redirects| redirects.read()))??;
        Ok((led != *doors).then(|| (Deviation::Altered, "questions are not led to the daemon".to_owned())))
    }
}

/// The addresses at which a server is asked.
fn addresses(server: &NameServer) -> Vec<IpAddr> {
    let v6 = server.ipv6.then_some(IpAddr::V6(NAME_SERVER_V6));
    std::iter::once(IpAddr::V4(NAME_SERVER_V4)).chain(v6).collect()
}

/// One socket of each protocol for each address, at the ports of before where these are free.
fn open_sockets(addresses: &[IpAddr], before: &[Door]) -> Result<Opened> {
    let mut opened = Opened { sockets: NameSockets::default(), doors: Vec::new() };
    for address in addresses {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let of_before = before.iter().find(|door| door.protocol == protocol && door.socket.ip() == *address);
            let again = of_before.and_then(|door| bound(protocol, door.socket).ok());
            let socket = match again {
                Some(socket) => socket,
                None => bound(protocol, SocketAddr::new(*address, 0))
                    .map_err(std::io::Error::from)
                    .map_err(|cause| Error::internal(cause.to_string()))
                    .doing(|| format!("opening a socket of {protocol} at {address}"))?,
            };
            let lost = |cause: std::io::Error| Error::internal(cause.to_string()).doing("asking a socket for its port");
            let at = match protocol {
                Protocol::Tcp => {
                    let socket = TcpListener::from(socket);
                    let at = socket.local_addr().map_err(lost)?;
                    opened.sockets.tcp.push(socket);
                    at
                }
                _ => {
                    let socket = UdpSocket::from(socket);
                    let at = socket.local_addr().map_err(lost)?;
                    opened.sockets.udp.push(socket);
                    at
                }
            };
            opened.doors.push(Door { protocol, socket: at });
        }
    }
    Ok(opened)
}

fn bound(protocol: Protocol, address: SocketAddr) -> rustix::io::Result<std::os::fd::OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = if protocol == Protocol::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match protocol {
        Protocol::Tcp => {
            // Connections of a daemon that died don't keep us from its port.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            rustix::net::bind(&socket, &address)?;
            rustix::net::listen(&socket, BACKLOG)?;
        }
        _ => rustix::net::bind(&socket, &address)?,
    }
    Ok(socket)
}

/// The IPv6 address on the loopback link of the thread's namespace.
fn add_address() -> Result<()> {
    let address = IpNet::from(IpAddr::V6(NAME_SERVER_V6));
    let requests = [message::add_plain_address(address, LOOPBACK)];
    let own = message::own_route(NAME_SERVER_V6, LOOPBACK);
    ask(&[&requests[0], &own], &[libc::EEXIST]).doing(|| format!("adding the address {address} to the loopback link"))
}

fn delete_address() -> Result<()> {
    let address = IpNet::from(IpAddr::V6(NAME_SERVER_V6));
    let gone = [libc::EADDRNOTAVAIL, libc::ENODEV];
    ask(&[&message::delete_plain_address(address, LOOPBACK)], &gone)
        .doing(|| format!("taking the address {address} from the loopback link"))
}

fn ask(requests: &[&crate::netlink::Request], tolerated: &[i32]) -> Result<()> {
    for (request, answer) in requests.iter().zip(Socket::open()?.batch(requests)?) {
        match answer {
            Err(refusal) if !tolerated.contains(&refusal.errno) => return Err(refusal.error(request.message())),
            _ => {}
        }
    }
    Ok(())
}

/// Closes it while nobody waits: the kernel may first finish what was taken away by it.
fn close_aside(redirects: Redirects) {
    let closing = thread::Builder::new().name("trestle-closing".into()).spawn(move || drop(redirects));
    if let Err(error) = closing {
        tracing::debug!(%error, "a socket was closed where somebody waited");
    }
}
