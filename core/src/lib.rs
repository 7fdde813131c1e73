//! The nouns, the contracts and the controller of Trestle.
//!
//! The one idea: **a driver answers with a [`Plan`]; the controller makes it so.**
//!
//! | to find | look in |
//! |---|---|
//! | the nouns | [`network`], [`endpoint`], [`sandbox`], [`port`], [`name`], [`dns`], [`mac`], [`id`] |
//! | what may be in the kernel | [`resource`], [`plan`] |
//! | the contracts | [`driver`], [`ipam`], [`registry`], [`kernel`], [`name_service`], [`store`], [`witness`], [`surroundings`] |
//! | where tests let the process die | [`mod@failpoint`] |
//!
//! Absent here: I/O, netlink, a tokio runtime, the time of day, randomness. They are arguments.

#![forbid(unsafe_code)]

pub mod controller;
pub mod dns;
pub mod driver;
pub mod endpoint;
pub mod entropy;
pub mod error;
pub mod event;
pub mod facts;
pub mod failpoint;
#[cfg(feature = "fake")]
pub mod fake;
pub mod id;
pub mod ipam;
pub mod kernel;
pub mod mac;
pub mod name;
pub mod name_service;
pub mod network;
pub mod plan;
pub mod port;
pub mod registry;
pub mod resource;
mod run;
pub mod sandbox;
pub mod store;
pub mod surroundings;
pub mod witness;

pub use error::{Doing, Error, ErrorKind, Result};
pub use plan::Plan;
