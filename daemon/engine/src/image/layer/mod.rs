//! Layers on the disk, by their diff id: the digest of the uncompressed archive.
//!
//! A layer is what overlayfs takes as a lower folder, and a recipe that makes its archive again to the byte.

mod compression;
mod extract;
mod recipe;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use compression::decompressed;
pub(crate) use store::{Layers, Pin};
