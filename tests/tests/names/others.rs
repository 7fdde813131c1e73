//! Servers of others, as the host and the sandboxes name them.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::world::{Asker, NO_SUCH_NAME, World, play};

/// A server on the host's loopback that says to everything that the address is 192.0.2.LAST.
fn server(world: &World, at: &str, last: u8) -> Arc<AtomicUsize> {
    let socket = world.host.run(|| UdpSocket::bind((at, 53)).unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    std::thread::spawn(move || {
        let mut room = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut room) {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut answer = room[..length].to_vec();
            (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, last]);
            socket.send_to(&answer, from).unwrap();
        }
    });
    asked
}

#[test]
fn the_host_s_resolv_conf_is_followed_and_a_sandbox_s_own_servers_go_first() {
    play(|world| {
        let (first, second) = (server(world, "127.0.0.7", 7), server(world, "127.0.0.8", 8));
        let plain = world.sandbox("plain", "--network front");
        let own = world.sandbox("own", "--network front --dns 127.0.0.8 --dns-domain corp.example=127.0.0.7");
        world.host_asks("nameserver 127.0.0.7\n");
        let said = |name: &str| plain.namespace.run(|| Asker::new().ask(name).addresses[0].octets()[3]);
        assert_eq!(said("a.example"), 7);
        world.host_asks("nameserver 127.0.0.8\n");
        assert_eq!(said("b.example"), 8);
        let said = |name: &str| own.namespace.run(|| Asker::new().ask(name).addresses[0].octets()[3]);
        assert_eq!((said("c.example"), said("db.corp.example")), (8, 7));
        assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (2, 2));
    });
}

#[test]
fn a_known_name_never_leaves_the_host_and_from_an_internal_network_no_name_does() {
    play(|world| {
        let asked = server(world, "127.0.0.7", 7);
        world.host_asks("nameserver 127.0.0.7\n");
        world.trestle("network create --internal vault");
        world.sandbox("web", "--network vault");
        let client = world.sandbox("client", "--network vault");
        client.namespace.run(|| {
            let asker = Asker::new();
            assert_eq!(asker.ask("web").addresses.len(), 1);
            assert_eq!(asker.ask("example.org").code, NO_SUCH_NAME);
        });
        let (web, open) = (world.sandbox("web4", "--network front"), world.sandbox("open", "--network front"));
        open.namespace.run(|| assert_eq!(Asker::new().ask("web4").addresses.len(), 1));
        assert!(web.addresses.len() == 2 && asked.load(Ordering::SeqCst) == 0);
    });
}
