//! Finding plugins: files in folders say who is there and where.

mod definition;
mod folders;
mod name;
mod watch;

pub use definition::Definition;
pub use folders::Folders;
pub use name::PluginName;
pub use watch::Watch;
