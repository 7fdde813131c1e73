//! The daemon dies, or is stopped, and containers go on.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use trestle_tests::daemon::Daemon;
use trestle_tests::host::Host;
use trestle_tests::landscape::{Container, LOCALHOST, Landscape, PROTOCOLS, ROUTER, hosts};
use trestle_tests::snapshot::Snapshot;
use trestle_tests::traffic::{Conversation, Server, Stream};
use trestle_tests::{privileges, wire};

/// A daemon with two networks, three containers and traffic between all of them.
pub(crate) struct Scene {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) land: Landscape,
    web: Container,
    client: Container,
    _servers: Vec<Server>,
    streams: Vec<Stream>,
    pub(crate) conversations: Vec<Conversation>,
}

impl Scene {
    pub(crate) fn set() -> Self {
        let (router, outside) = hosts(wire::MTU);
        let daemon = Arc::new(Daemon::start(&router));
        let land = Landscape { front: daemon.clone(), router, outside };
        land.network("front");
        land.network("back");
        let mut web = land.container("web", "front", &["8080:80/tcp", "8080:80/udp"]);
        land.connect(&mut web, "back", &["8081-8083:81-83/tcp"]);
        let client = land.container("client", "front", &[]);
        let servers = vec![web.serve(80)];
        let inside = web.addresses("front").map(|address| SocketAddr::new(address, 80));
        let published = ROUTER.map(|address| SocketAddr::new(address, 8080));
        let from_inside = inside.map(|target| (client.namespace.clone(), target));
        let from_outside = published.map(|target| (land.outside.namespace().clone(), target));
        let all = || from_inside.iter().chain(&from_outside);
        let streams = all().map(|(from, target)| Stream::open(from, *target)).collect();
        let conversations = all().map(|(from, target)| Conversation::start(from, *target)).collect();
        Self { daemon, land, web, client, _servers: servers, streams, conversations }
    }

    pub(crate) fn traffic_goes_on(&mut self) {
        self.streams.iter_mut().for_each(Stream::is_alive);
        self.conversations.iter().for_each(Conversation::goes_on);
    }

    pub(crate) fn new_traffic_is_served(&self) {
        for (host, inside) in ROUTER.into_iter().zip(self.web.addresses("front")) {
            for protocol in PROTOCOLS {
                assert_eq!(self.land.ask(protocol, host, 8080).by(), Some("web"), "{protocol} {host}");
                assert_eq!(self.client.ask(protocol, inside, 80).by(), Some("web"), "{protocol} {inside}");
            }
        }
    }
}

/// Held sockets are the daemon's, and go with it.
const SOCKETS: [&str; 2] = ["socket ", "trestle.sock"];

#[test]
fn a_killed_daemon_is_not_missed_and_comes_back_to_what_it_left() {
    privileges::obtain(|| {
        let mut scene = Scene::set();
        let (before, objects) = (Snapshot::of_host(&scene.land.router), scene.land.front.objects().unwrap());
        for _ in 0..3 {
            scene.daemon.kill();
            scene.traffic_goes_on();
            scene.new_traffic_is_served();
            before.without(&SOCKETS).is_still(&Snapshot::of_host(&scene.land.router).without(&SOCKETS));
            scene.daemon.start_again();
            scene.traffic_goes_on();
            scene.new_traffic_is_served();
            scene.land.nothing_is_amiss();
            before.is_still(&Snapshot::of_host(&scene.land.router));
            assert_eq!(scene.land.front.objects().unwrap(), objects);
        }
        assert_eq!(scene.land.ask_locally(PROTOCOLS[0], LOCALHOST[1], 8080).by(), Some("web"));
        scene.conversations.into_iter().for_each(Conversation::lost_nothing);
    });
}

#[test]
fn a_start_in_the_instant_of_a_kill_waits_until_the_dead_is_gone() {
    privileges::obtain(|| {
        let host = Arc::new(Host::new("alone"));
        let daemon = Daemon::start(&host);
        let dying = daemon.kill_slowly();
        let waits = format!("waiting for a dying process to be gone process={}", dying.pid());
        thread::scope(|scope| {
            // One meets the pidfile first, the other, whose roots are elsewhere, the claim on the network namespace.
            let again = scope.spawn(|| daemon.try_start_again());
            wait_until(|| daemon.has_said("trestled", &waits), || again.is_finished());
            let rival = scope.spawn(|| daemon.start_rival(&host.folder().join("rival")));
            wait_until(|| daemon.has_said("rival", &waits), || rival.is_finished());
            dying.release();
            let (again, rival) = (again.join().unwrap(), rival.join().unwrap());
            // They live both, so one of them is refused.
            assert!(again.is_ok() != rival.is_ok(), "{again:?} {rival:?}");
        });
    });
}

fn wait_until(it_is_so: impl Fn() -> bool, it_will_never_be: impl Fn() -> bool) {
    while !it_is_so() && !it_will_never_be() {
        thread::yield_now();
    }
    assert!(it_is_so(), "it ended before");
}

#[test]
fn a_stopped_daemon_leaves_sandboxes_alone() {
    privileges::obtain(|| {
        let mut scene = Scene::set();
        let before = Snapshot::of_host(&scene.land.router);
        let status = scene.daemon.stop();
        assert!(status.success(), "{status}");
        scene.traffic_goes_on();
        scene.new_traffic_is_served();
        let words = [SOCKETS.as_slice(), &["trestled.pid"]].concat();
        before.without(&words).is_still(&Snapshot::of_host(&scene.land.router).without(&words));
        scene.daemon.start_again();
        scene.traffic_goes_on();
        before.is_still(&Snapshot::of_host(&scene.land.router));
        scene.conversations.into_iter().for_each(Conversation::lost_nothing);
    });
}

#[test]
fn a_caller_who_never_ends_his_request_keeps_no_daemon_from_stopping() {
    privileges::obtain(|| {
        let host = Arc::new(Host::new("alone"));
        let daemon = Daemon::start(&host);
        let socket = host.exec_root().join("trestle.sock");
        let caller = host.run(|| {
            let mut caller = UnixStream::connect(socket).unwrap();
            let half = "POST /cnm/v1/networks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
            caller.write_all(half.as_bytes()).unwrap();
            caller
        });
        assert!(daemon.stop().success());
        drop(caller);
    });
}

#[test]
fn what_was_broken_while_the_daemon_was_dead_is_mended_at_its_start() {
    privileges::obtain(|| {
        let scene = Scene::set();
        let before = Snapshot::of_host(&scene.land.router);
        scene.daemon.kill();
        scene.land.router.nft("flush ruleset");
        let links = scene.land.router.ip("-o link show type veth");
        let veth = links.split_whitespace().find(|word| word.starts_with("veth")).unwrap();
        scene.land.router.ip(&format!("link delete {}", veth.split('@').next().unwrap()));
        scene.daemon.start_again();
        scene.land.nothing_is_amiss();
        before.is_still(&Snapshot::of_host(&scene.land.router));
        scene.new_traffic_is_served();
    });
}
