//! A server that tells each client its own name and the address that it saw, and remembers.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::namespace::Namespace;

/// What begins a datagram that is no question but asks how far the server has read.
const READ_UP_TO: &[u8] = b"read up to ";

/// A server on one port, for TCP and UDP, on every address of its namespace. It ends when this is dropped.
///
/// A TCP client is told `NAME ADDRESS` in a line, and then hears what it says. A UDP client is told
/// `NAME ADDRESS QUESTION` for each question.
pub struct Server {
    state: Arc<State>,
    tasks: Vec<JoinHandle<()>>,
}

struct State {
    name: String,
    seen: Mutex<Seen>,
    read: Condvar,
    /// In the server's namespace, towards its UDP socket.
    within: std::net::UdpSocket,
}

#[derive(Default)]
struct Seen {
    clients: Vec<SocketAddr>,
    asked: u64,
    read: u64,
    ended: bool,
}

impl Server {
    /// Starts one in that namespace, on every address of both families.
    pub fn start(namespace: &Namespace, name: &str, port: u16) -> Self {
        let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let sockets = listen(namespace, both).or_else(|error| match error.kind() {
            // A machine without IPv6.
            ErrorKind::Unsupported | ErrorKind::AddrNotAvailable => {
                listen(namespace, (Ipv4Addr::UNSPECIFIED, port).into())
            }
            _ => Err(error),
        });
        Self::serve(name, sockets.unwrap_or_else(|error| panic!("{name} can't listen on port {port}: {error}")))
    }

    /// Starts one in that namespace, on one address.
    pub fn start_at(namespace: &Namespace, name: &str, address: SocketAddr) -> Self {
        let sockets = listen(namespace, address);
        Self::serve(name, sockets.unwrap_or_else(|error| panic!("{name} can't listen on {address}: {error}")))
    }

    fn serve(name: &str, (listener, socket, within): Sockets) -> Self {
        let seen = Mutex::new(Seen::default());
        let state = Arc::new(State { name: name.into(), seen, read: Condvar::new(), within });
        let _entered = runtime().enter();
        listener.set_nonblocking(true).expect("a socket can be made so");
        socket.set_nonblocking(true).expect("a socket can be made so");
        let listener = TcpListener::from_std(listener).expect("the runtime takes sockets");
        let socket = UdpSocket::from_std(socket).expect("the runtime takes sockets");
        let tasks = vec![
            runtime().spawn(serve_tcp(state.clone(), listener)),
            runtime().spawn(serve_udp(state.clone(), socket)),
        ];
        let mut servers = running().lock().expect("nobody panics with it");
        servers.retain(|server| server.strong_count() > 0);
        servers.push(Arc::downgrade(&state));
        drop(servers);
        Self { state, tasks }
    }

    /// Every client that it has answered, TCP and UDP, since this was asked last.
    pub fn clients(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.state.seen.lock().expect("nobody panics with it").clients)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.state.seen.lock().expect("nobody panics with it").ended = true;
        self.state.read.notify_all();
    }
}

/// Waits until every running server has read what had reached its UDP socket.
pub(super) fn all_read() {
    let servers: Vec<_> = running().lock().expect("nobody panics with it").iter().filter_map(Weak::upgrade).collect();
    servers.iter().for_each(|server| server.read_all());
}

impl State {
    fn read_all(&self) {
        let mut seen = self.seen.lock().expect("nobody panics with it");
        seen.asked += 1;
        let number = seen.asked;
        let message = [READ_UP_TO, number.to_string().as_bytes()].concat();
        let sent = self.within.send(&message);
        while seen.read < number && !seen.ended {
            sent.as_ref().unwrap_or_else(|error| panic!("asking {} how far it is: {error}", self.name));
            let (guard, waited) = self.read.wait_timeout(seen, Duration::from_secs(60)).expect("nobody panics with it");
            assert!(!waited.timed_out(), "{} does not read its socket", self.name);
            seen = guard;
        }
    }

    fn saw(&self, client: SocketAddr) -> SocketAddr {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        self.seen.lock().expect("nobody panics with it").clients.push(client);
        client
    }
}

async fn serve_tcp(state: Arc<State>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => drop(tokio::spawn(serve_stream(state.clone(), stream, client))),
            Err(error) => eprintln!("{}: a client went before it was accepted: {error}", state.name),
        }
    }
}

async fn serve_stream(state: Arc<State>, mut stream: TcpStream, client: SocketAddr) {
    let greeting = format!("{} {}\n", state.name, state.saw(client));
    if stream.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    let mut heard = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut heard).await {
        if stream.write_all(&heard[..length]).await.is_err() {
            return;
        }
    }
}

async fn serve_udp(state: Arc<State>, socket: UdpSocket) {
    let mut heard = [0; 4096];
    loop {
        let (length, client) = match socket.recv_from(&mut heard).await {
            Ok(received) => received,
            Err(_refusal_of_an_answer) => continue,
        };
        let question = &heard[..length];
        if let Some(number) = question.strip_prefix(READ_UP_TO) {
            let number = String::from_utf8_lossy(number).parse().expect("our own number");
            state.seen.lock().expect("nobody panics with it").read = number;
            state.read.notify_all();
            continue;
        }
        let answer = [format!("{} {} ", state.name, state.saw(client)).as_bytes(), question].concat();
        if let Err(error) = socket.send_to(&answer, client).await {
            eprintln!("{} can't answer {client}: {error}", state.name);
        }
    }
}

/// For TCP, for UDP, and towards the one for UDP.
type Sockets = (std::net::TcpListener, std::net::UdpSocket, std::net::UdpSocket);

fn listen(namespace: &Namespace, address: SocketAddr) -> io::Result<Sockets> {
    namespace.run(|| {
        let (listener, socket) = (std::net::TcpListener::bind(address)?, std::net::UdpSocket::bind(address)?);
        Ok((listener, socket, own_client(address)))
    })
}

/// A socket towards the server's own, within its namespace.
fn own_client(server: SocketAddr) -> std::net::UdpSocket {
    let target = match server.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        address => address,
    };
    let any = if target.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0)).expect("a socket can be made");
    socket.connect((target, server.port())).expect("a namespace with a server has its loopback link up");
    socket
}

/// Servers of all tests run here; their sockets belong to the namespaces in which they were made.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("servers").enable_all().build().expect("a runtime can be made")
    })
}

fn running() -> &'static Mutex<Vec<Weak<State>>> {
    static RUNNING: Mutex<Vec<Weak<State>>> = Mutex::new(Vec::new());
    &RUNNING
}
