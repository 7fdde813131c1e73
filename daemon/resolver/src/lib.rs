//! Names: the DNS server inside each sandbox, and the files that tell a container who it is.
//!
//! | to find | look in |
//! |---|---|
//! | who is called what: the controller's records, followed commit by commit | [`directory`] |
//! | what a question is answered from them alone | [`answering`] |
//! | sockets, and the way of a question | [`server`], `tcp`; how much at once: [`limits`] |
//! | who else is asked, and what of their answers is kept | [`upstream`] |
//! | packets | [`wire`] |
//! | hosts, hostname and resolv.conf of each sandbox | [`files`] |
//!
//! Absent here: the kernel. Sockets are handed in, opened inside the sandboxes by who may.

#![forbid(unsafe_code)]

pub mod answering;
pub mod directory;
pub mod files;
pub mod limits;
pub mod server;
mod tcp;
pub mod upstream;
pub mod wire;

pub use directory::Directory;
pub use limits::Limits;
pub use server::Server;
