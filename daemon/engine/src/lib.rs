//! Containers: images and their layers, the OCI runtime and its monitor, volumes and logs.
//!
//! | to find | look in |
//! |---|---|
//! | what a container is asked to be, its record, its states | [`container`] |

#![forbid(unsafe_code)]

pub mod container;
