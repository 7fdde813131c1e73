//! Real packets: servers that tell whom they saw, and clients that tell what came back.
//!
//! # How "no answer" is known without waiting
//!
//! In these hosts a packet travels by virtual links, bridges and the loopback alone, and each of these hands it on in
//! the same way: the packet goes to the end of the receive queue of the CPU that handles it, and that CPU takes the
//! queue from its front. Forwarding, filtering, a listener's SYN-ACK and a refusal are all done by the kernel while it
//! works on that queue, and their packets go to the end of the same one. So whoever puts a packet of his own into the
//! queue and gets it back knows that everything before it has gone one hop further or has been dropped; after as many
//! of these rounds as there are hops, everything that could arrive has arrived.
//!
//! [`fence`] does that for every CPU, with a packet to itself over a loopback link. [`client::ask`] sends its question,
//! sets a fence, and only then looks what came back: no answer there means no answer at all, unless somebody's
//! program takes part. Our own UDP servers do: before the second fence each of them is made to work through what
//! reached its socket. For anybody else's program (a relay in a daemon) there is [`client::ask_patiently`].
//!
//! A repetition (of a SYN, of a neighbour solicitation) is not waited for: what needs it has lost a packet, which no
//! test here allows.

pub mod client;
pub mod ear;
pub mod echo;
pub mod fence;
pub mod server;
pub mod stream;

pub use client::{Answer, Caller, ask, ask_patiently};
pub use ear::Ear;
pub use echo::echo;
pub use server::Server;
pub use stream::{Conversation, Stream};
pub use trestle_core::port::Protocol;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::host::Host;
    use crate::privileges;
    use crate::wire::{self, End};

    /// Client, router, server in a line; the router forwards.
    fn line() -> [Host; 3] {
        let [client, router, server] = ["client", "router", "server"].map(Host::new);
        let (left, right) = (["192.0.2.1/24", "2001:db8:1::1/64"], ["192.0.2.2/24", "2001:db8:1::2/64"]);
        let end = |host, link, addresses| End { host, link, addresses };
        wire::lay(end(&client, "uplink", &left), end(&router, "left", &right), wire::MTU);
        let (left, right) = (["198.51.100.1/24", "2001:db8:2::1/64"], ["198.51.100.2/24", "2001:db8:2::2/64"]);
        wire::lay(end(&router, "right", &left), end(&server, "uplink", &right), wire::MTU);
        for (host, v4, v6) in [(&client, "192.0.2.2", "2001:db8:1::2"), (&server, "198.51.100.1", "2001:db8:2::1")] {
            host.ip(&format!("route add default via {v4}"));
            host.ip(&format!("-6 route add default via {v6}"));
        }
        router.set("net/ipv4/ip_forward", "1");
        router.set("net/ipv6/conf/all/forwarding", "1");
        [client, router, server]
    }

    const TARGETS: [&str; 2] = ["198.51.100.2:80", "[2001:db8:2::2]:80"];

    #[test]
    fn a_fence_is_never_passed_by_an_answer() {
        privileges::obtain(|| {
            let [client, _router, host] = line();
            let server = Server::start(host.namespace(), "server", 80);
            // Every hop has to resolve its neighbour the first time, and each client is on whatever CPU it is on.
            for _ in 0..100 {
                for target in TARGETS.map(|target| target.parse::<SocketAddr>().unwrap()) {
                    for protocol in [Protocol::Tcp, Protocol::Udp] {
                        let answer = ask(client.namespace(), protocol, target.ip(), target.port());
                        assert_eq!(answer.by(), Some("server"), "{protocol} {target}: {answer:?}");
                    }
                }
            }
            assert_eq!(server.clients().len(), 400);
        });
    }

    #[test]
    fn each_kind_of_answer_is_told_from_the_others() {
        privileges::obtain(|| {
            let [client, router, host] = line();
            let _server = Server::start(host.namespace(), "server", 80);
            for (target, own) in TARGETS.into_iter().zip(["192.0.2.1", "2001:db8:1::1"]) {
                let target: SocketAddr = target.parse().unwrap();
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    let ask = |port| ask(client.namespace(), protocol, target.ip(), port);
                    assert_eq!(ask(80).saw(), own.parse().ok());
                    assert_eq!(ask(81), Answer::Refused);
                    router.nft("add table inet t { chain c { type filter hook forward priority 0; drop; }; }");
                    assert_eq!(ask(80), Answer::Nothing);
                    router.nft("flush chain inet t c; add rule inet t c reject with icmpx admin-prohibited");
                    let told = if protocol == Protocol::Udp { Answer::Unreachable } else { Answer::Nothing };
                    assert_eq!(ask(80), told);
                    router.nft("delete table inet t");
                    // Only the answers are dropped.
                    router.nft(
                        "add table inet t { chain c { type filter hook forward priority 0; iifname right drop; }; }",
                    );
                    assert_eq!(ask(80), Answer::Nothing);
                    router.nft("delete table inet t");
                    assert_eq!(ask(80).by(), Some("server"));
                }
            }
        });
    }

    #[test]
    fn streams_and_conversations_live_as_long_as_their_packets_pass() {
        privileges::obtain(|| {
            let [client, router, host] = line();
            let _server = Server::start(host.namespace(), "server", 80);
            for target in TARGETS.map(|target| target.parse::<SocketAddr>().unwrap()) {
                let mut stream = Stream::open(client.namespace(), target);
                let conversation = Conversation::start(client.namespace(), target);
                stream.is_alive();
                conversation.goes_on();
                conversation.lost_nothing();
                let broken = Conversation::start(client.namespace(), target);
                router
                    .nft("add table inet t { chain c { type filter hook forward priority 0; iifname left reject; }; }");
                let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    broken.goes_on();
                    broken.lost_nothing();
                }));
                assert!(lost.is_err());
                router.nft("delete table inet t");
            }
        });
    }
}
