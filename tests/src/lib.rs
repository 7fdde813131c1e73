//! Black-box tests on the real kernel, and what they stand on. Every host is a network namespace.
//!
//! | to find | look in |
//! |---|---|
//! | who may make namespaces, and what is done when the user may not | [`privileges`] |
//! | a network namespace, and running code in it | [`namespace`] |
//! | a host made for one test, its processes, the wires between hosts | [`host`], [`process`], [`wire`] |
//! | servers that tell whom they saw, and clients that tell what came back | [`traffic`] |
//! | everything in a namespace, to compare before and after | [`snapshot`] |
//! | what may be asked of Trestle, through the library and through the daemon | [`front`], [`library`], [`daemon`] |
//! | the daemon as docker's command line has it | [`engine`] |
//! | the daemon's own API, a request at a time | [`api`] |
//! | the real docker command line | [`docker`] |
//! | networks for the drivers' golden files | [`golden_cases`] |
//! | what every kernel layer promises | [`contract`] |
//! | hosts, wires and a front, ready for a scenario | [`landscape`] |
//!
//! Absent here: anything that touches the machine's own namespace, and any test that passes by being skipped.

#![deny(unsafe_code)]

pub mod api;
pub mod contract;
pub mod daemon;
pub mod docker;
pub mod engine;
pub mod front;
pub mod golden_cases;
pub mod host;
pub mod landscape;
pub mod library;
pub mod namespace;
pub mod privileges;
pub mod process;
pub mod snapshot;
pub mod traffic;
pub mod wire;
