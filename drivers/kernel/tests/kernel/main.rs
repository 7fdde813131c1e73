//! The kernel layer on the real kernel. Every test host is a network namespace and a mount namespace of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../../tests/src/contract.rs"]
#[allow(unreachable_pub, reason = "it is public in the crate that keeps it")]
mod contract;
mod controller;
mod host;
mod links;
mod names;
mod real;
