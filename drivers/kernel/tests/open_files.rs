//! When there are no more files to open. A test program of its own, because the limit is the whole process's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernel/host.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod host;

use host::{kernel, on_a_host};
use rustix::process::{Resource as Limited, Rlimit, getrlimit, setrlimit};
use trestle_core::Plan;
use trestle_core::error::ErrorKind;
use trestle_core::kernel::Kernel;
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{PublishedPort, Resource};

#[test]
fn too_many_ports_for_the_limit_of_open_files_are_refused_by_name_of_the_limit() {
    on_a_host(async || {
        let kernel = kernel();
        let plan = Plan::from(vec![Resource::PublishedPort(PublishedPort {
            protocol: Protocol::Tcp,
            address: None,
            host: PortRange::new(10_000, 10_999).unwrap(),
            container: PortRange::new(10_000, 10_999).unwrap(),
            to_v4: Some([10, 0, 0, 2].into()),
            to_v6: None,
        })]);
        let before = getrlimit(Limited::Nofile);
        setrlimit(Limited::Nofile, Rlimit { current: Some(256), maximum: before.maximum }).unwrap();
        let error = kernel.apply(&plan).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
        assert!(error.to_string().contains("256 files") && error.to_string().contains("LimitNOFILE"), "{error}");
        setrlimit(Limited::Nofile, Rlimit { current: Some(4096), maximum: before.maximum }).unwrap();
        // Nothing was kept of the first attempt, or these would be taken by ourselves.
        kernel.apply(&plan).await.unwrap();
        trestle_kernel::raise_file_limit().unwrap();
        assert_eq!(getrlimit(Limited::Nofile).current, before.maximum, "as many as the system allows");
        setrlimit(Limited::Nofile, before).unwrap();
    });
}
