//! A plugin as a driver of the controller's, and as an address manager: our questions in its words, its answers checked.

mod address;
mod driver;
mod ipam;
mod placement;

pub use driver::RemoteDriver;
pub use ipam::RemoteIpam;
pub(crate) use placement::check_reply;
pub use placement::{LinkRoute, MovedLink, Placement};
