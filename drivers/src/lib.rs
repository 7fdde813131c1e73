//! How each kind of network is laid out: drivers that answer with a plan.
//!
//! | to find | look in |
//! |---|---|
//! | networks of containers behind a bridge of the host | [`bridge`] |
//! | sandboxes that are the host itself, or have nothing but their loopback | [`linkless`] |
//! | how options are read, refused and documented, from one table | `label` |
//!
//! `OPTIONS.md` beside this crate lists every option; a test writes it from the tables.
//!
//! Absent here: I/O, netlink, the time of day, randomness, memory between two questions. A driver is asked and answers.

#![forbid(unsafe_code)]

use std::sync::Arc;

use trestle_core::driver::Driver;

pub mod bridge;
mod label;
pub mod linkless;

pub use bridge::Bridge;
pub use linkless::Linkless::{self, Host, Null};

/// Every driver of this crate with the name that it is registered by.
pub fn builtin() -> Vec<(&'static str, Arc<dyn Driver>)> {
    vec![("bridge", Arc::new(Bridge)), ("host", Arc::new(Host)), ("null", Arc::new(Null))]
}
