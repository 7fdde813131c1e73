//! Containers: images and their layers, the OCI runtime and its monitor, volumes and logs.
//!
//! | to find | look in |
//! |---|---|
//! | what is put together at start | [`engine`] |
//! | what happened, now and a while ago | [`event`] |
//! | what a container is asked to be, its record, its states | [`container`] |

#![forbid(unsafe_code)]

pub mod container;
pub mod engine;
pub mod event;

pub use engine::Engine;
