//! A client that asks once and tells what came back.

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::{Protocol, fence, server};
use crate::namespace::Namespace;

/// How long something that must come is waited for, so that a broken test ends.
const LONG: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// A server answered.
    Reached {
        /// Its name.
        by: String,
        /// The address that it saw.
        saw: SocketAddr,
    },
    /// Somebody said that nobody listens there: a TCP reset, or an ICMP port unreachable.
    Refused,
    /// Somebody said that there is no way there. (To a TCP client that is often [`Answer::Nothing`]: its kernel keeps
    /// such news to itself until it has asked again.)
    Unreachable,
    /// Nothing came back.
    Nothing,
}

impl Answer {
    /// The name of the server that answered.
    pub fn by(&self) -> Option<&str> {
        match self {
            Self::Reached { by, .. } => Some(by),
            Self::Refused | Self::Unreachable | Self::Nothing => None,
        }
    }

    /// The client's address, as the server that answered saw it.
    pub fn saw(&self) -> Option<IpAddr> {
        match self {
            Self::Reached { saw, .. } => Some(saw.ip()),
            Self::Refused | Self::Unreachable | Self::Nothing => None,
        }
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (by, saw) = (words.next()?, words.next()?);
        Some(Self::Reached { by: by.into(), saw: saw.parse().ok()? })
    }

    fn from_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::PermissionDenied => {
                Self::Unreachable
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::UnexpectedEof => Self::Nothing,
            _ => panic!("asking: {error}"),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached { by, saw } => write!(f, "an answer by {by}, who saw {saw}"),
            Self::Refused => f.write_str("a refusal"),
            Self::Unreachable => f.write_str("news that there is no way"),
            Self::Nothing => f.write_str("no answer"),
        }
    }
}

/// Asks the server behind that address, from a namespace, and tells what came back at once; see [the module](super).
pub fn ask(from: &Namespace, protocol: Protocol, address: IpAddr, port: u16) -> Answer {
    let target = SocketAddr::new(address, port);
    from.run(|| match protocol {
        Protocol::Tcp => ask_tcp(None, target),
        Protocol::Udp => ask_udp(None, target),
        Protocol::Sctp => panic!("there is no SCTP client here"),
    })
}

/// The same with an address of the client's own, which need not be the one that its route would choose.
pub fn ask_as(from: &Namespace, own: IpAddr, protocol: Protocol, address: IpAddr, port: u16) -> Answer {
    let target = SocketAddr::new(address, port);
    from.run(|| match protocol {
        Protocol::Tcp => ask_tcp(Some(own), target),
        Protocol::Udp => ask_udp(Some(own), target),
        Protocol::Sctp => panic!("there is no SCTP client here"),
    })
}

/// Asks once, and waits for whatever comes back, however long that takes; for ways on which a program of somebody else
/// takes part, so that no fence tells that nothing will come.
pub fn ask_patiently(from: &Namespace, protocol: Protocol, address: IpAddr, port: u16) -> Answer {
    let target = SocketAddr::new(address, port);
    from.run(|| match protocol {
        Protocol::Udp => wait_for_udp(target),
        _ => match TcpStream::connect(target) {
            Ok(stream) => greeting(&stream),
            Err(error) => Answer::from_error(&error),
        },
    })
}

/// A UDP client that keeps its own port from question to question: for the network it is one flow.
pub struct Caller(UdpSocket);

impl Caller {
    /// Makes one in a namespace.
    pub fn new(from: &Namespace, target: SocketAddr) -> Self {
        Self(from.run(|| udp(None, target)).unwrap_or_else(|answer| panic!("calling {target}: {answer:?}")))
    }

    /// Asks once, and tells what came back at once.
    pub fn ask(&self) -> Answer {
        ask_over(&self.0)
    }
}

fn ask_tcp(own: Option<IpAddr>, target: SocketAddr) -> Answer {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None).expect("a socket can be made");
    if let Some(own) = own {
        bind(&socket, &SocketAddr::new(own, 0)).unwrap_or_else(|error| panic!("a client can't be {own}: {error}"));
    }
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => fence::set(),
        Err(error) => return Answer::from_error(&error.into()),
    }
    // Asked again, the socket tells how it went.
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::ISCONN) => greeting(&TcpStream::from(socket)),
        Err(Errno::ALREADY | Errno::INPROGRESS) => Answer::Nothing,
        Err(error) => Answer::from_error(&error.into()),
    }
}

/// What the server says first. Somebody has accepted, so it comes, or the connection ends.
fn greeting(stream: &TcpStream) -> Answer {
    stream.set_nonblocking(false).expect("a socket can be made so");
    stream.set_read_timeout(Some(LONG)).expect("a time is set");
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line) {
        Ok(0) => Answer::Nothing,
        Ok(_) => Answer::read(&line).unwrap_or_else(|| panic!("{line:?} is no greeting of our servers")),
        Err(error) => Answer::from_error(&error),
    }
}

fn ask_udp(own: Option<IpAddr>, target: SocketAddr) -> Answer {
    match udp(own, target) {
        Ok(socket) => ask_over(&socket),
        Err(answer) => answer,
    }
}

fn ask_over(socket: &UdpSocket) -> Answer {
    let question = question();
    if let Err(error) = socket.send(question.as_bytes()) {
        return Answer::from_error(&error);
    }
    fence::set();
    server::all_read();
    fence::set();
    socket.set_nonblocking(true).expect("a socket can be made so");
    udp_answer(socket, &question)
}

fn wait_for_udp(target: SocketAddr) -> Answer {
    let socket = match udp(None, target) {
        Ok(socket) => socket,
        Err(answer) => return answer,
    };
    let question = question();
    if let Err(error) = socket.send(question.as_bytes()) {
        return Answer::from_error(&error);
    }
    udp_answer(&socket, &question)
}

/// A socket towards the target, or the news that there is no way.
fn udp(own: Option<IpAddr>, target: SocketAddr) -> Result<UdpSocket, Answer> {
    let any = if target.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own.unwrap_or(any), 0)).expect("a socket can be made");
    // A connected socket takes answers only from the address that was asked.
    match socket.connect(target) {
        Ok(()) => Ok(socket),
        Err(error) => Err(Answer::from_error(&error)),
    }
}

fn udp_answer(socket: &UdpSocket, question: &str) -> Answer {
    let mut heard = [0; 4096];
    match socket.recv(&mut heard) {
        Ok(length) => {
            let text = String::from_utf8_lossy(&heard[..length]);
            assert!(text.ends_with(question), "{text:?} answers another question than {question:?}");
            Answer::read(&text).unwrap_or_else(|| panic!("{text:?} is no answer of our servers"))
        }
        Err(error) => Answer::from_error(&error),
    }
}

fn question() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("question {};", NUMBER.fetch_add(1, Ordering::Relaxed))
}
