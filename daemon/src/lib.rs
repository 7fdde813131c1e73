//! The daemon `trestled` and the command line `trestle`.
//!
//! | to find | look in |
//! |---|---|
//! | what the daemon is told: flags and file | [`config`] |
//! | our own HTTP API: paths, bodies, statuses | [`api`] |
//! | the Docker Engine API | [`docker`] |
//! | connections, their listeners and their certificates | [`serve`], [`tls`] |
//! | what is counted | [`metrics`] |
//! | who is called what, and who is told of it | [`names`] |
//! | which parts make the controller and the engine | [`assemble`] |
//! | its folders, and who may enter them | [`roots`] |
//! | the life of the daemon | [`daemon`] |
//! | how a test lets it die | `failpoint` |
//! | the command line | [`cli`] |

#![forbid(unsafe_code)]

pub mod api;
pub mod assemble;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod docker;
#[cfg(feature = "failpoints")]
pub mod failpoint;
pub mod metrics;
pub mod names;
pub mod roots;
pub mod serve;
pub mod tls;
