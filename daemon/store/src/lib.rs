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
//! Medians of a busy machine with two cores, for one record of 3 KB on a tmpfs (`benches/commit.rs`):
//!
//! | | us |
//! |---|---|
//! | a commit of an attachment, from the call to its answer | 55 |
//! | of which: redb's transaction (29 in an empty file, 34 beside 5,000 records) | 29 |
//! | the way to the store's thread and back | 15 to 20 |
//! | JSON | 9 |
//! | 16 such commits at the same time, each | 17 |
//! | a commit to the durable file, on ext4 | as the disk pleases: 110 to 4,000 |
//! | an append of as many bytes to a bare file on the tmpfs | 1 to 4 |
//!
//! A journal of our own for the runtime file would save some 25 us a commit, 50 of an attach of about 1,000, and would
//! want its own checksums, compaction and repair: not worth it until attaching is much quicker. redb's "none"
//! durability is no way there either, because such commits do not outlive the process. Instead the runtime file's
//! backend leaves out the syncs, which matter only when the machine dies, so that an exec root on a disk costs the same.
//! Opening checks every page and every record: 0.35 s for 5,000 attachments (36 MB).

#![forbid(unsafe_code)]

#[cfg(test)]
mod crash;
mod desk;
mod embedded;
mod envelope;
mod folder;
mod frame;
mod journal;
mod options;
mod pair;
mod record_file;
mod runtime_file;
mod writer;

pub use embedded::EmbeddedStore;
pub use options::{Options, Stamp};
pub use runtime_file::RuntimeFile;
