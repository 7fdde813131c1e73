//! Containers: images and their layers, the OCI runtime and its monitor, volumes and logs.
//!
//! | room | what is in it |
//! |---|---|
//! | what is put together at start | [`engine`] |
//! | what happened, now and a while ago | [`event`] |
//! | the networks that containers join, and their way onto them | [`network`] |
//! | what a container is asked to be, its record, its states | [`container`] |
//! | from a record to a process: the bundle, the OCI runtime, the monitor | [`runtime`] |
//! | the layers of an image with a container's own above them | [`rootfs`] |
//! | what a container printed, prints, and is told | [`logs`], [`attach`] |
//! | more processes in a container | [`exec`] |
//! | what containers are made from: references, configurations, layers; archives | [`image`] |
//! | folders that outlive the containers that have them | [`volume`] |
//! | archives into folders, never leaving the folder | [`tree`] |
//! | files that are there whole or not at all | [`durable`] |

#![forbid(unsafe_code)]

pub mod attach;
pub mod container;
pub mod durable;
pub mod engine;
pub mod event;
pub mod exec;
pub mod image;
pub mod logs;
pub mod network;
mod readiness;
pub mod rootfs;
pub mod runtime;
pub mod tree;
pub mod volume;

pub use engine::Engine;
