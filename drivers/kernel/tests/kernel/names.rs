//! Where sandboxes ask for names, on the real kernel.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

use trestle_core::Plan;
use trestle_core::error::ErrorKind;
use trestle_core::id::SandboxId;
use trestle_core::kernel::{Deviation, Kernel};
use trestle_core::name_service::{NameService, NameSockets};
use trestle_core::resource::{NAME_SERVER_V4, NAME_SERVER_V6, NameServer, Namespace, Resource};
use trestle_kernel::LinuxKernel;

use crate::host::{in_sandbox, inside, ip, kernel, netns, on_a_host, options, room, sandbox};

/// Keeps what it is handed.
#[derive(Default)]
struct Keeper(Mutex<BTreeMap<SandboxId, NameSockets>>);

impl NameService for Keeper {
    fn serve(&self, sandbox: SandboxId, sockets: NameSockets) -> trestle_core::Result<()> {
        self.0.lock().unwrap().insert(sandbox, sockets);
        Ok(())
    }

    fn stop(&self, sandbox: SandboxId) {
        self.0.lock().unwrap().remove(&sandbox);
    }
}

impl Keeper {
    /// Gives one question by UDP and one connection of TCP at each address back to who asks.
    fn echo_once(&self) {
        let kept = self.0.lock().unwrap();
        let sockets = kept.get(&SandboxId::NOBODY).unwrap();
        for socket in &sockets.udp {
            socket.set_nonblocking(false).unwrap();
            let mut room = [0; 64];
            let (length, asker) = socket.recv_from(&mut room).unwrap();
            socket.send_to(&room[..length], asker).unwrap();
        }
        for socket in &sockets.tcp {
            socket.set_nonblocking(false).unwrap();
            let (mut connection, _) = socket.accept().unwrap();
            let mut room = [0; 5];
            connection.read_exact(&mut room).unwrap();
            connection.write_all(&room).unwrap();
        }
    }

    fn ports(&self) -> Vec<SocketAddr> {
        let kept = self.0.lock().unwrap();
        let sockets = kept.get(&SandboxId::NOBODY).unwrap();
        let udp = sockets.udp.iter().map(|it| it.local_addr().unwrap());
        udp.chain(sockets.tcp.iter().map(|it| it.local_addr().unwrap())).collect()
    }
}

fn serving() -> (LinuxKernel, Arc<Keeper>) {
    let keeper = Arc::new(Keeper::default());
    (LinuxKernel::open_with_names(options("/var/lib/trestle"), Some(keeper.clone())).unwrap(), keeper)
}

fn name_server(namespace: Namespace, ipv6: bool) -> Plan {
    Plan::from(vec![Resource::NameServer(NameServer { namespace, sandbox: SandboxId::NOBODY, ipv6 })])
}

/// Asks at port 53 of each address by UDP, then by TCP, on connected sockets, which hear nobody else.
fn ask(addresses: &[IpAddr]) {
    for address in addresses {
        let socket = UdpSocket::bind((if address.is_ipv4() { "127.0.0.1" } else { "::1" }, 0)).unwrap();
        socket.connect((*address, 53)).unwrap();
        socket.send(b"who?").unwrap();
        let mut room = [0; 64];
        assert_eq!(socket.recv(&mut room).unwrap(), 4, "{address}");
    }
    for address in addresses {
        let mut connection = TcpStream::connect((*address, 53)).unwrap();
        connection.write_all(b"whose").unwrap();
        let mut room = [0; 5];
        connection.read_exact(&mut room).unwrap();
        assert_eq!(&room, b"whose");
    }
}

fn both() -> [IpAddr; 2] {
    [NAME_SERVER_V4.into(), NAME_SERVER_V6.into()]
}

#[test]
fn questions_to_port_53_are_answered_from_port_53_though_a_container_has_its_own_server_there() {
    on_a_host(async || {
        let (kernel, keeper) = serving();
        let plan = room(2).then(&name_server(sandbox(2), true));
        kernel.apply(&plan).await.unwrap();
        let _own = in_sandbox(&netns(2), || {
            let all = ["0.0.0.0:53", "[::1]:53"];
            (all.map(|it| UdpSocket::bind(it).unwrap()), all.map(|it| TcpListener::bind(it).unwrap()))
        });
        let answering = std::thread::spawn({
            let keeper = keeper.clone();
            move || keeper.echo_once()
        });
        in_sandbox(&netns(2), || ask(&both()));
        answering.join().unwrap();
        assert_eq!(kernel.verify(&plan).await.unwrap(), []);
    });
}

#[test]
fn a_sandbox_that_tracks_its_connections_and_drops_what_belongs_to_none_is_answered_too() {
    on_a_host(async || {
        let (kernel, keeper) = serving();
        kernel.apply(&room(2).then(&name_server(sandbox(2), true))).await.unwrap();
        for command in [
            "nft add table inet own",
            "nft add chain inet own in { type filter hook input priority 0; policy drop; }",
            "nft add rule inet own in ct state established accept",
            "nft add chain inet own out { type filter hook output priority 0; policy drop; }",
            "nft add rule inet own out ct state new,established accept",
            "nft add rule inet own in ct state new accept",
            "nft add rule inet own out ct state invalid counter drop",
        ] {
            inside(&netns(2), command).unwrap();
        }
        let answering = std::thread::spawn({
            let keeper = keeper.clone();
            move || keeper.echo_once()
        });
        in_sandbox(&netns(2), || ask(&both()));
        answering.join().unwrap();
    });
}

#[test]
fn after_a_restart_the_same_ports_are_listened_to() {
    on_a_host(async || {
        let plan = room(2).then(&name_server(sandbox(2), true));
        let (first, keeper) = serving();
        first.apply(&plan).await.unwrap();
        let before = keeper.ports();
        drop((first, keeper));
        let (second, keeper) = serving();
        let missing = second.verify(&plan).await.unwrap();
        assert_eq!(missing.iter().map(|it| it.deviation).collect::<Vec<_>>(), [Deviation::Missing]);
        second.restore(std::slice::from_ref(&plan)).await.into_iter().for_each(|it| it.unwrap());
        assert_eq!(keeper.ports(), before);
        assert_eq!(second.verify(&plan).await.unwrap(), []);
    });
}

#[test]
fn a_redirect_that_somebody_flushed_is_told_and_made_again() {
    on_a_host(async || {
        let (kernel, keeper) = serving();
        let plan = room(2).then(&name_server(sandbox(2), false));
        kernel.apply(&plan).await.unwrap();
        let before = keeper.ports();
        for command in ["nft flush ruleset", "nft flush chain inet trestle_names answers"] {
            inside(&netns(2), command).unwrap();
            let drifts = kernel.verify(&plan).await.unwrap();
            assert_eq!(drifts.len(), 1, "{drifts:?}");
            assert_eq!(drifts[0].deviation, Deviation::Altered);
            assert!(drifts[0].resource.starts_with("name server in "), "{drifts:?}");
            kernel.apply(&plan).await.unwrap();
            assert_eq!(kernel.verify(&plan).await.unwrap(), []);
        }
        assert_eq!(keeper.ports(), before, "its sockets stay");
    });
}

#[test]
fn ipv6_comes_and_goes_and_a_given_namespace_is_left_as_it_was() {
    on_a_host(async || {
        let (kernel, keeper) = serving();
        ip("netns add given");
        let path = std::path::Path::new("/run/netns/given");
        let at = Namespace::At(path.into());
        let cookie = kernel.cookie(&at).await.unwrap();
        let given = Namespace::Given { path: path.into(), cookie };
        inside(path, "ip link set lo up").unwrap();
        let state = || inside(path, "ip address").unwrap() + &inside(path, "nft list ruleset").unwrap();
        let before = state();
        let (plain, whole) = (name_server(given.clone(), false), name_server(given, true));
        kernel.apply(&plain).await.unwrap();
        assert_eq!(keeper.ports().len(), 2);
        kernel.replace(&plain, &whole).await.unwrap();
        assert_eq!(keeper.ports().len(), 4);
        assert_eq!(kernel.verify(&whole).await.unwrap(), []);
        kernel.remove(&whole).await.unwrap();
        assert_eq!(state(), before);
        assert!(keeper.0.lock().unwrap().is_empty());
        ip("netns del given");
    });
}

#[test]
fn a_program_that_answers_no_questions_refuses_name_servers() {
    on_a_host(async || {
        let refusal = kernel().apply(&room(2).then(&name_server(sandbox(2), false))).await.unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Unsupported, "{refusal}");
    });
}
