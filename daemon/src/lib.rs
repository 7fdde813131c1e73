//! The daemon `trestled` and the command line `trestle`.
//!
//! | to find | look in |
//! |---|---|
//! | what the daemon is told: flags and file | [`config`] |
//! | HTTP: paths, bodies, statuses | [`api`] |
//! | what is counted | [`metrics`] |

#![forbid(unsafe_code)]

pub mod api;
pub mod config;
pub mod metrics;
