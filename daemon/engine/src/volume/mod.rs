//! Volumes: folders that outlive the containers that have them.
//!
//! On the disk, below the folder that [`Volumes::open`] is given:
//!
//! ```text
//! <name>/volume.json   what was asked for: driver, labels, options, when; never changed
//! <name>/_data         what containers see, or where it is mounted
//! .…                   what is being made or deleted; emptied at start
//! ```
//!
//! A volume is made beside its place and renamed into it, and renamed away before it is deleted: it is there whole or
//! not at all. Which containers have it is known to these alone; they tell it again after each start.

mod local;
mod record;
mod store;
#[cfg(test)]
mod tests;

pub use record::{ANONYMOUS, Volume};
pub use store::{Asked, Volumes};
