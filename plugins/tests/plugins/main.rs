//! Plugins as they are found, asked and not trusted: each promise with a plugin that is a socket and a script.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod client;
mod conformance;
mod driver;
mod dynamic;
mod ipam;
mod landscape;
mod registry;
mod scripted;
mod serve;
mod stranger;
#[path = "../../src/testing.rs"]
mod subjects;
