//! What survives: records on disk and in the runtime directory.
//!
//! | to find | look in |
//! |---|---|
//! | the store | [`EmbeddedStore`] |
//! | who writes: the caller or a thread | `desk` |
//! | what stands, and several commits as one | `writer` |
//! | two files as one, whatever is killed when | `pair` |
//! | the durable file | `record_file` |
//! | the runtime file, and whose it is | `journal`, `frame`, `runtime_file` |
//! | a record as it is written | `envelope` |
//! | who has the store already | `folder` |
//!
//! # Two files
//! `<data root>/trestle.redb` is durable: networks, and what endpoints reserve. `<exec root>/trestle.journal` lives as
//! long as the kernel's state: attachments and sandboxes. It bears a stamp (boot, network namespace, installation),
//! which stands in `trestle.stamp` beside it too, and is begun anew when that does not match. If it matches and the
//! journal can't be read, opening refuses. A record that stands in both files counts as the runtime file has it.
//! A commit syncs the durable file only if what is durable changed. One that leaves that file alone is one write to the
//! journal on its caller's thread, unless a commit to the durable file is under way: then it waits its turn.
//!
//! # Why a journal of our own
//! The runtime file was a redb file once. Side by side in a loop, that looked good enough (the first column), but an
//! attach commits four times, each time after it waited for something else, and there redb's page writes, the way to
//! the store's thread and back, and JSON cost 500 to 640 us together: half of all that we add to the kernel's own time.
//! A journal needs checksums, compaction and rules for damage of its own, and is worth them for that reason alone.
//! The durable file has to survive the machine's death, where redb's care is what is wanted.
//!
//! Medians of a busy machine with two cores, for one record of 3 KB on a tmpfs (`benches/commit.rs`), in us:
//!
//! | | redb | journal |
//! |---|---|---|
//! | a commit of an attachment, from the call to its answer | 69 | 9 |
//! | the same beside 5,000 records | 128 | 11 |
//! | 16 such commits at the same time, each | 32 | 11 |
//! | the same of a reserved endpoint | 89 | 9 |
//! | an append of as many bytes to a bare file | 2 | 1 |
//!
//! A commit to the durable file takes as long as the disk pleases: 110 to 4,000 us on ext4.
//!
//! # What the journal can't tell
//! Whoever cuts off the end of the journal takes commits away that were told to stand: what is left looks like a write
//! that was cut short by a death of this process.

#![forbid(unsafe_code)]

mod commit;
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
