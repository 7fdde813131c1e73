//! The controller on a kernel and a store in memory, with the real drivers and the real address manager.

mod crash;
mod failure;
mod host;
mod objects;
mod routes;
