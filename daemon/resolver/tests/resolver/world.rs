//! Records as a controller commits them, a server that was told them, and who asks it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::runtime::Handle;
use trestle_core::Plan;
use trestle_core::dns::{EndpointNames, Naming};
use trestle_core::endpoint::{Attachment, Endpoint, EndpointState, Lease, Lifetime, Plans};
use trestle_core::entropy::Entropy;
use trestle_core::id::{EndpointId, NetworkId, SandboxId};
use trestle_core::name_service::{NameService, NameSockets};
use trestle_core::network::{Network, NetworkState, Pool, Scope};
use trestle_core::sandbox::{Sandbox, SandboxNetns, SandboxState};
use trestle_core::store::{Change, Key, Record};
use trestle_core::witness::Witness;
use trestle_resolver::limits::{Counted, Meter};
use trestle_resolver::upstream::{Defaults, HostServers, Upstream};
use trestle_resolver::{Directory, Limits, Server};

pub(crate) fn network_id(number: u8) -> NetworkId {
    format!("{number:02x}").repeat(32).parse().unwrap()
}

pub(crate) fn sandbox_id(number: u16) -> SandboxId {
    format!("{number:04x}").repeat(16).parse().unwrap()
}

fn endpoint_id(network: u8, sandbox: u16) -> EndpointId {
    format!("{network:02x}00{sandbox:04x}").repeat(8).parse().unwrap()
}

pub(crate) fn network(number: u8, name: &str) -> Network {
    let pool = |subnet: String, gateway: String| Pool {
        id: subnet.clone(),
        subnet: subnet.parse().unwrap(),
        range: None,
        gateway: Some(gateway.parse().unwrap()),
        auxiliary: BTreeMap::new(),
    };
    Network {
        id: network_id(number),
        name: name.try_into().unwrap(),
        driver: "bridge".into(),
        ipam: "default".into(),
        scope: Scope::Local,
        pools: vec![
            pool(format!("10.{number}.0.0/16"), format!("10.{number}.255.254")),
            pool(format!("fd00:{number}::/64"), format!("fd00:{number}::ffff")),
        ],
        internal: false,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        created: SystemTime::UNIX_EPOCH,
        state: NetworkState::Ready { plan: Plan::new() },
    }
}

pub(crate) fn sandbox(number: u16, name: &str) -> Sandbox {
    Sandbox {
        id: sandbox_id(number),
        name: name.try_into().unwrap(),
        netns: SandboxNetns::Made { path: "/run/x".into() },
        naming: Some(Box::new(Naming::default())),
        state: SandboxState::Ready { plan: Plan::new() },
    }
}

/// An endpoint of a sandbox with 10.NETWORK.x.y and fd00:NETWORK::xy.
pub(crate) fn endpoint(network: u8, sandbox: &Sandbox, number: u16) -> Endpoint {
    let [high, low] = number.to_be_bytes();
    Endpoint {
        id: endpoint_id(network, number),
        network: network_id(network),
        name: sandbox.name.as_str().try_into().unwrap(),
        lifetime: Lifetime::Attachment,
        lease: Some(Lease {
            v4: Some(format!("10.{network}.{high}.{low}/16").parse().unwrap()),
            v6: Some(format!("fd00:{network}::{number:x}/64").parse().unwrap()),
        }),
        mac: "02:42:0a:01:00:02".parse().unwrap(),
        exposed: Vec::new(),
        wanted: Vec::new(),
        options: BTreeMap::new(),
        priority: 0,
        primary: false,
        interface: None,
        names: EndpointNames::default(),
        state: EndpointState::Attached(Attachment {
            sandbox: sandbox.id,
            interface: None,
            table: 84_000,
            gateway_v4: None,
            gateway_v6: None,
            out_by_link_v4: false,
            out_by_link_v6: false,
            declines_gateway: false,
            ports: Vec::new(),
            plans: Plans::default(),
        }),
    }
}

/// A server for sandbox 1, whose sockets are on this host's loopback.
pub(crate) struct World {
    pub(crate) directory: Directory,
    _server: Server,
    pub(crate) counts: Arc<Counts>,
    udp: SocketAddr,
    tcp: SocketAddr,
}

#[derive(Default)]
pub(crate) struct Counts(Mutex<BTreeMap<String, usize>>);

impl Counts {
    pub(crate) fn of(&self, what: Counted) -> usize {
        self.0.lock().unwrap().get(&format!("{what:?}")).copied().unwrap_or_default()
    }
}

impl Meter for Counts {
    fn count(&self, what: Counted) {
        *self.0.lock().unwrap().entry(format!("{what:?}")).or_default() += 1;
    }

    fn upstream(&self, _: Duration) {}
}

/// Servers at these places.
pub(crate) struct At(pub(crate) Vec<SocketAddr>);

impl HostServers for At {
    fn servers(&self) -> Vec<SocketAddr> {
        self.0.clone()
    }
}

struct Counting(AtomicUsize);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(37, Ordering::Relaxed) as u8);
    }
}

impl World {
    pub(crate) fn new(upstreams: Vec<SocketAddr>, limits: Limits) -> Self {
        let (directory, counts) = (Directory::default(), Arc::new(Counts::default()));
        let entropy = Arc::new(Counting(AtomicUsize::new(1)));
        let upstream = Upstream::new(Arc::new(At(upstreams)), Defaults::default(), limits, entropy, counts.clone());
        let server = Server::new(Handle::current(), directory.clone(), Arc::new(upstream), limits, counts.clone());
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let (at_udp, at_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        server.serve(sandbox_id(1), NameSockets { udp: vec![udp], tcp: vec![tcp] }).unwrap();
        Self { directory, _server: server, counts, udp: at_udp, tcp: at_tcp }
    }

    pub(crate) fn commit(&self, records: Vec<Record>) {
        self.directory.committed(&records.into_iter().map(Change::Put).collect::<Vec<_>>());
    }

    pub(crate) fn remove(&self, key: Key) {
        self.directory.committed(&[Change::Remove(key)]);
    }

    /// Networks `front` (1) and `back` (2); `asker` (1) and `web` (2) on front, `db` (3) on back.
    pub(crate) fn furnished(upstreams: Vec<SocketAddr>, limits: Limits) -> Self {
        let world = Self::new(upstreams, limits);
        world.commit(vec![Record::Network(network(1, "front")), Record::Network(network(2, "back"))]);
        for (number, name, on) in [(1, "asker", 1), (2, "web", 1), (3, "db", 2)] {
            let sandbox = sandbox(number, name);
            let endpoint = endpoint(on, &sandbox, number);
            world.commit(vec![Record::Sandbox(sandbox), Record::Endpoint(Box::new(endpoint))]);
        }
        world
    }

    /// Asks as a program would: one packet, one answer.
    pub(crate) async fn send(&self, packet: Vec<u8>) -> Vec<u8> {
        let to = self.udp;
        aside(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(to).unwrap();
            socket.send(&packet).unwrap();
            let mut room = vec![0; 65536];
            let length = socket.recv(&mut room).unwrap();
            room.truncate(length);
            room
        })
        .await
    }

    pub(crate) fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.udp).unwrap();
        socket
    }

    pub(crate) async fn send_by_tcp(&self, packet: Vec<u8>) -> Vec<u8> {
        let to = self.tcp;
        aside(move || {
            let mut stream = TcpStream::connect(to).unwrap();
            let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length[..], &packet].concat()).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer).unwrap();
            answer
        })
        .await
    }

    pub(crate) async fn ask(&self, name: &str, kind: RecordType) -> Message {
        Message::from_vec(&self.send(question(name, kind, None)).await).unwrap()
    }

    /// The addresses that a name has, sorted, for a question of the kind that they are.
    pub(crate) async fn addresses(&self, name: &str, kind: RecordType) -> Vec<IpAddr> {
        let answer = self.ask(name, kind).await;
        let mut found = addresses(&answer);
        found.sort();
        found
    }

    pub(crate) async fn code(&self, name: &str, kind: RecordType) -> (ResponseCode, usize) {
        let answer = self.ask(name, kind).await;
        (answer.metadata.response_code, answer.answers.len())
    }
}

/// Work that waits, on a thread that may.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

pub(crate) fn addresses(answer: &Message) -> Vec<IpAddr> {
    let read = answer.answers.iter().filter_map(|record| match &record.data {
        RData::A(it) => Some(IpAddr::V4(it.0)),
        RData::AAAA(it) => Some(IpAddr::V6(it.0)),
        _ => None,
    });
    read.collect()
}

pub(crate) fn question(name: &str, kind: RecordType, edns: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
    if let Some(limit) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(limit).set_version(0);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}
