//! Sandboxes made ahead: like any other for whoever gets one, and in nobody's way.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trestle_core::controller::Spares;
use trestle_tests::daemon::Daemon;
use trestle_tests::front::Setup;
use trestle_tests::landscape::{Landscape, ROUTER, hosts, listens};
use trestle_tests::library::Library;
use trestle_tests::snapshot::Snapshot;
use trestle_tests::traffic::{Protocol, Server};
use trestle_tests::{privileges, wire};

const TWO: Spares = Spares { per_network: 2, in_all: 2 };

fn two_ahead() -> Setup {
    Setup { spares: TWO, ..Setup::default() }
}

fn namespaces(land: &Landscape) -> BTreeSet<PathBuf> {
    let folder = land.router.exec_root().join("netns");
    let files = land.router.run(|| fs::read_dir(&folder).map(|files| files.map(|file| file.unwrap().path()).collect()));
    files.unwrap_or_default()
}

/// Everything of it is where it belongs, and its published port leads to it.
fn is_like_any_other(land: &Landscape, name: &str, namespace: &Path, port: u16) {
    let namespace = land.router.namespace_at(namespace);
    listens(&namespace);
    let _server = Server::start(&namespace, name, 80);
    for address in ROUTER {
        assert_eq!(land.ask(Protocol::Tcp, address, port).by(), Some(name), "{address}");
    }
}

#[test]
fn a_sandbox_made_ahead_is_like_any_other() {
    privileges::obtain(|| {
        let (router, outside) = hosts(wire::MTU);
        let library = Arc::new(Library::start_as(&router, two_ahead()));
        let land = Landscape { front: library.clone(), router, outside };
        // The first sandbox of all brings the folder of namespaces, which stays.
        land.sandbox("pioneer");
        land.front.delete_sandbox("pioneer").unwrap();
        let empty = Snapshot::of_host(&land.router);
        land.network("front");
        let first = land.front.create_attached("first", &["front"], "8080:80").unwrap();
        land.router.block_on(library.controller().refill()).unwrap();
        let ahead = namespaces(&land);
        assert_eq!(ahead.len(), 1 + TWO.per_network);
        let second = land.front.create_attached("second", &["front"], "8081:80").unwrap();
        assert!(ahead.contains(&second), "it was not made ahead");
        is_like_any_other(&land, "first", &first, 8080);
        is_like_any_other(&land, "second", &second, 8081);
        assert_eq!(land.front.verify().unwrap(), Vec::<String>::new());

        land.front.delete_sandbox("first").unwrap();
        land.front.delete_sandbox("second").unwrap();
        land.front.delete_network("front").unwrap();
        land.router.block_on(library.controller().settle());
        assert_eq!(namespaces(&land), BTreeSet::new());
        empty.is_still(&Snapshot::of_host(&land.router));
    });
}

#[test]
fn a_daemon_makes_them_by_itself_and_the_next_one_removes_them() {
    privileges::obtain(|| {
        let (router, outside) = hosts(wire::MTU);
        let daemon = Arc::new(Daemon::start_as(&router, two_ahead()));
        let land = Landscape { front: daemon.clone(), router, outside };
        land.network("front");
        land.front.create_attached("first", &["front"], "8080:80").unwrap();
        while namespaces(&land).len() < 3 {
            std::thread::yield_now();
        }
        daemon.kill();
        daemon.start_again();
        assert_eq!(land.front.verify().unwrap(), Vec::<String>::new());
        let left = namespaces(&land);
        assert_eq!(left.len(), 1, "{left:?}");
    });
}
