//! The container engine as Docker's own clients have it: a test's name is the promise.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod containers;
mod flags;
mod networks;
mod survival;
mod wrong;

use std::sync::Arc;

use trestle_tests::daemon::Daemon;
use trestle_tests::docker::Docker;
use trestle_tests::front::Setup;
use trestle_tests::host::Host;
use trestle_tests::privileges;

/// A host with a daemon that runs containers, and the docker command line.
struct Scene {
    host: Arc<Host>,
    daemon: Daemon,
    docker: Docker,
}

/// Plays a scenario on a host of its own.
fn play(scenario: impl FnOnce(&Scene) + std::panic::UnwindSafe) {
    privileges::obtain(|| {
        let host = Arc::new(Host::new("engine"));
        let daemon = Daemon::start_as(&host, Setup { engine: true, ..Setup::default() });
        let docker = Docker::on(&host);
        scenario(&Scene { host, daemon, docker });
    });
}
