//! Images: what containers are made from.
//!
//! | file | what is in it |
//! |---|---|
//! | `reference`, `digest` | how images are named, by people and by content |
//! | `configuration` | what an image says of itself |
//! | `unpacked` | an image whose layers are on the disk |
//! | `store`, `index` | which images there are; finding, naming, holding them |
//! | `layer` | layers, unpacked once for all images that have them |
//! | `archive` | images as files: load, save, import, commit |
//! | `registry` | images from registries; `arriving`: who fetches what at the moment |
//! | `removal` | names, images and layers that go |
//!
//! On the disk, below the folder that [`Images::open`] is given:
//!
//! ```text
//! index.json                   which images there are, their names; the only word on it, replaced whole
//! configurations/<id>.json     each image's configuration, byte for byte; its SHA-256 is the image's id
//! layers/<diff id>/tree        a layer as overlayfs takes it as a lower folder
//!                 /recipe.zst  all of its archive but the contents of files, so that it can be written again
//!                 /attic       what a later entry of the same archive replaced, for the recipe
//!                 /measures.json
//! unfinished/                  what is being made, fetched or deleted; emptied at start
//! ```
//!
//! Layers and configurations are made below `unfinished`, synced, and then given their names; the index names them
//! last. So a process that dies at any time leaves the images of before, and leftovers that no index names. These are
//! swept at the next start. Removing goes the other way: the index first.

mod archive;
mod arriving;
mod change;
mod configuration;
mod digest;
#[cfg(test)]
pub(crate) mod fixture;
mod history;
mod index;
mod layer;
mod manifest;
mod platform;
mod progress;
mod reference;
mod registry;
mod removal;
mod store;
mod unpacked;

pub use archive::{Commit, Import, Selection};
pub use configuration::{Configuration, Empty, Healthcheck, RootFs, RunConfig, Step};
pub use digest::Digest;
pub use platform::Platform;
pub use progress::Progress;
pub use reference::{DEFAULT_REGISTRY, DEFAULT_TAG, Reference};
pub use registry::{Credentials, Pull, Pulled, Tell};
pub use removal::{Pruned, Removal, Removed};
pub use store::{Images, Known};
pub use unpacked::{Image, ImageId};
