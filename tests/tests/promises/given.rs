//! Namespaces that somebody gave us: theirs are the paths, and what is at them may change.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use trestle_core::controller::request::NetnsRequest;
use trestle_tests::daemon::Daemon;
use trestle_tests::front::Front;
use trestle_tests::host::Host;
use trestle_tests::landscape::{Landscape, hosts, network, place};
use trestle_tests::namespace::Namespace;
use trestle_tests::snapshot::Snapshot;
use trestle_tests::{privileges, wire};

on_every_front!(
    the_hosts_own_namespace_can_not_be_given,
    a_namespace_can_be_given_once_whatever_its_path,
    what_is_no_namespace_can_not_be_given,
    a_sandbox_whose_namespace_is_gone_is_removed_at_once,
);

/// A file of the host that leads to a namespace.
struct Door<'a> {
    host: &'a Host,
    path: PathBuf,
}

impl<'a> Door<'a> {
    fn new(host: &'a Host, name: &str) -> Self {
        let path = host.folder().join(name);
        std::fs::write(&path, "").unwrap();
        Self { host, path }
    }

    fn lead_to(&self, namespace: &Namespace) {
        self.run("mount", &[Path::new("--bind"), &namespace.path(), &self.path]);
    }

    fn lead_nowhere(&self) {
        self.run("umount", &[&self.path]);
    }

    fn run(&self, program: &str, arguments: &[&Path]) {
        let done = self.host.run(|| Command::new(program).args(arguments).output().unwrap());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn give(&self) -> NetnsRequest {
        NetnsRequest::Path(self.path.clone())
    }
}

fn the_hosts_own_namespace_can_not_be_given(land: &Landscape) {
    let own = Door::new(&land.router, "own");
    own.lead_to(land.router.namespace());
    let before = Snapshot::of_host(&land.router);
    for given in [own.give(), NetnsRequest::Path(land.router.namespace().path())] {
        let refusal = land.front.create_sandbox("box", &given).unwrap_err();
        assert!(refusal.contains("--host-namespace"), "{refusal}");
    }
    assert_eq!(land.front.objects().unwrap(), [""; 0]);
    before.is_still(&Snapshot::of_host(&land.router));
}

fn a_namespace_can_be_given_once_whatever_its_path(land: &Landscape) {
    let given = Namespace::fresh();
    let (one, other) = (Door::new(&land.router, "one"), Door::new(&land.router, "other"));
    one.lead_to(&given);
    other.lead_to(&given);
    land.front.create_sandbox("box", &one.give()).unwrap();
    let refusal = land.front.create_sandbox("twin", &other.give()).unwrap_err();
    assert!(refusal.contains("sandbox box"), "{refusal}");

    let made = land.sandbox("made");
    let refusal = land.front.create_sandbox("twin", &NetnsRequest::Path(made.namespace.path())).unwrap_err();
    assert!(refusal.contains("sandbox made"), "{refusal}");

    land.front.delete_sandbox("box").unwrap();
    land.front.create_sandbox("twin", &other.give()).unwrap();
}

fn what_is_no_namespace_can_not_be_given(land: &Landscape) {
    let door = Door::new(&land.router, "door");
    let mounts: PathBuf = format!("/proc/{}/ns/mnt", std::process::id()).into();
    let nowhere = land.router.folder().join("nowhere");
    for path in [door.path.clone(), mounts, nowhere] {
        let refusal = land.front.create_sandbox("box", &NetnsRequest::Path(path.clone())).unwrap_err();
        assert!(refusal.contains(&path.display().to_string()), "{refusal}");
    }
    assert_eq!(land.front.objects().unwrap(), [""; 0]);
}

fn a_sandbox_whose_namespace_is_gone_is_removed_at_once(land: &Landscape) {
    land.network("front");
    land.network("back");
    let (door, given, another) = (Door::new(&land.router, "door"), Namespace::fresh(), Namespace::fresh());
    door.lead_to(&given);
    land.front.create_sandbox("box", &door.give()).unwrap();
    for network in ["front", "back"] {
        land.front.connect("box", &place(network, &["80"])).unwrap();
    }
    // The namespace lives on, for news of its end would have the sandbox removed by itself.
    door.lead_nowhere();
    door.lead_to(&another);
    let theirs = Snapshot::of(&another);
    land.front.delete_sandbox("box").unwrap();
    for network in ["front", "back"] {
        land.front.delete_network(network).unwrap();
    }
    assert_eq!(land.front.objects().unwrap(), [""; 0]);
    theirs.is_still(&Snapshot::of(&another));
}

#[test]
fn a_namespace_that_took_the_place_of_a_given_one_is_never_furnished() {
    privileges::obtain(|| {
        let (router, _outside) = hosts(wire::MTU);
        let daemon = Arc::new(Daemon::start(&router));
        let (door, given, another) = (Door::new(&router, "door"), Namespace::fresh(), Namespace::fresh());
        door.lead_to(&given);
        daemon.create_network(&network("front")).unwrap();
        daemon.create_sandbox("box", &door.give()).unwrap();
        daemon.connect("box", &place("front", &["8080:80"])).unwrap();
        let theirs = Snapshot::of(&another);
        daemon.kill();
        door.lead_nowhere();
        door.lead_to(&another);
        daemon.start_again();
        theirs.is_still(&Snapshot::of(&another));
        assert_eq!(daemon.objects().unwrap(), ["network front"]);
        assert_eq!(daemon.verify(), Ok(Vec::new()));
    });
}
