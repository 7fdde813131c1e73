//! Containers: what is asked of one, what is stored of it, and what is done with it.
//!
//! | to find | look in |
//! |---|---|
//! | what a container is asked to be, in Docker's letter | [`config`] |
//! | what is stored of it | [`record`], [`records`], [`state`], [`name`] |
//! | one in memory, and all of them | [`live`], [`containers`] |
//! | making, starting, ending, removing one | [`create`], `start`, `end`, `stop`, `remove` |
//! | waiting for one, being attached to one | [`wait`], [`attach`] |
//! | what it is given of its host | `devices`, `files`, `network` |
//!
//! Whoever changes a container has its turn, and stores what he is about to do before he does it. Tearing down is one
//! function, `clear`, whatever was made.

pub mod attach;
pub mod config;
pub mod containers;
pub mod create;
mod devices;
mod end;
mod files;
pub mod live;
pub mod name;
mod network;
pub mod processes;
pub mod record;
pub mod records;
mod remove;
mod signal;
mod start;
pub mod state;
mod stop;
pub mod wait;

pub use containers::Containers;
