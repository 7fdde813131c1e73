//! Images as files: what `docker save` writes, OCI layouts, and plain root file systems.

mod bundle;
mod load;
mod make;
mod save;
#[cfg(test)]
mod tests;

pub use make::{Commit, Import};
pub use save::Selection;
