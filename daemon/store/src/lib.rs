//! What survives: records on disk and in the runtime directory.
//!
//! | to find | look in |
//! |---|---|
//! | the store | [`EmbeddedStore`] |
//! | who writes, and several commits as one | `writer` |
//! | two files as one, whatever is killed when | `pair` |
//! | one file | `record_file`, `backend` |
//! | a record as it is written | `envelope` |
//! | who has the store already | `folder` |
//!
//! # Two files
//! `<data root>/trestle.redb` is durable: networks, and what endpoints reserve. `<exec root>/trestle.redb` lives as
//! long as the kernel's state: attachments and sandboxes. It bears a stamp (boot, network namespace, installation) and
//! is emptied when it does not match. A record that stands in both counts as the runtime file has it.
//! A commit syncs the durable file only if what is durable changed, so attaching never waits for a disk.
//!
//! # Figures
//! One record of 3 KB on a tmpfs, on a busy machine with two cores, median: redb's commit 29 us in an empty file and
//! 34 us beside 5,000 records; an append to a bare file 1 us. A journal of our own would thus save some 30 us of an
//! attach of about 1 ms, and was not found worth its code; `benches/commit.rs` tells when that changes. redb's "none"
//! durability is no way to be quicker: such commits do not outlive the process. Instead the runtime file's backend
//! leaves out the syncs, which only matter when the machine dies, so that an exec root on a disk costs the same.

#![forbid(unsafe_code)]

mod backend;
#[cfg(test)]
mod crash;
mod embedded;
mod envelope;
mod folder;
mod pair;
mod record_file;
mod writer;

pub use embedded::{EmbeddedStore, Options, RuntimeFile, Stamp};
