//! The only code that touches Linux: netlink, namespaces, nf_tables, iptables, sysctls, held ports.
//!
//! | to find | look in |
//! |---|---|
//! | the face: [`LinuxKernel`] | `linux` |
//! | in which order a plan is made so | `worker/replace` |
//! | one resource's way into the kernel | `worker/links`, `worker/addressing`, `namespace` (born in `nursery`), `sysctl`, [`firewall`], `ports` |
//! | the messages themselves | `netlink` |
//! | where sandboxes ask for names | `names` |
//! | a plan as the lines that a person would type | [`script`] |
//! | a process's way into a sandbox | `enter` |
//! | how ours is told from others' | [`mark`] |
//! | whether whoever is in the way lives | [`dying`] |
//! | memory that goes back to the system | `memory` |
//!
//! Absent here: decisions about networks, which are the drivers'; processes, but for iptables' own programs where
//! somebody chose that back end of the firewall, and once at the start where it may have been chosen before.

mod announce;
mod carrier;
mod claim;
pub mod dying;
mod enter;
pub mod firewall;
mod linux;
pub mod mark;
mod memory;
mod names;
mod namespace;
mod netlink;
mod nursery;
mod ports;
mod reaper;
mod remembered;
mod repeat;
pub mod script;
mod stamp;
mod sysctl;
mod thread;
mod watch;
mod worker;

pub use enter::{enter, renew_sys, show};
pub use linux::{LinuxKernel, Options};
pub use memory::give_memory_back;
pub use ports::{can_hold, raise_file_limit};
pub use stamp::{Stamp, stamp};
