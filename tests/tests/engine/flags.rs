//! A daemon without containers.

use std::sync::Arc;

use trestle_tests::daemon::Daemon;
use trestle_tests::docker::Docker;
use trestle_tests::host::Host;
use trestle_tests::privileges;

#[test]
fn a_daemon_that_runs_no_containers_keeps_no_networks_for_them() {
    privileges::obtain(|| {
        let host = Arc::new(Host::new("engine"));
        let daemon = Daemon::start(&host);
        assert!(daemon.trestle(&["network", "ls", "--quiet"]).unwrap().is_empty());
        assert_ne!(Docker::on(&host).run("network ls").code, 0);
    });
}
