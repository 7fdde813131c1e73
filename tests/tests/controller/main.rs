//! The controller on a kernel and a store in memory, with the real drivers and the real address manager.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod contract;
mod crash;
mod failure;
mod host;
mod objects;
mod outage;
mod outside;
mod outsider;
mod routes;
mod spares;
