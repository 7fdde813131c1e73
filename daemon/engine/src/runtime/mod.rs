//! From a container's record to a process: the OCI runtime, its bundle, and the monitor that outlives the daemon.
//!
//! | to find | look in |
//! |---|---|
//! | what this host has: runtime, monitor, control groups | [`host`] |
//! | the bundle's `config.json`, a pure function | [`spec`] |
//! | what a runtime that was killed leaves in control groups | [`cgroup`] |
//! | who a container's user is | [`user`] |
//! | running the OCI runtime | [`oci`] |
//! | the monitor (conmon) that holds a container's streams and tells its end | [`monitor`] |

pub mod cgroup;
pub mod host;
pub mod monitor;
pub mod oci;
pub mod spec;
pub mod user;
