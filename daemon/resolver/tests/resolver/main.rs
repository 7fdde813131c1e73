//! The server on the loopback, asked by packets of hickory's making.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod files;
mod packets;
mod upstream;
mod world;
