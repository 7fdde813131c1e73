//! Folders from tar archives, never leaving the folder; and folders from folders.
//!
//! Whatever an archive says (absolute paths, `..`, links that point out, links through links), the kernel resolves each
//! path within the root, as it would for a process that lives in there: `openat2(2)` with `RESOLVE_IN_ROOT`.

mod copy;
mod entry;
mod inner_path;
mod root;
mod unpack;

pub use copy::copy;
pub use entry::{Header, Kind};
pub use inner_path::InnerPath;
pub use root::Root;
pub use unpack::{Moved, Unpacker, Whiteouts};
