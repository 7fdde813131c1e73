//! Which address: pools and leases, without any I/O.
//!
//! | to find | look in |
//! |---|---|
//! | the manager that networks have unless they ask for another | [`DefaultIpam`] |
//! | where subnets of its own choice come from | [`DefaultPools`] |
//! | the manager of networks without addresses | [`NullIpam`] |
//! | which subnets and addresses there can't be | `subnet` |
//! | the addresses of one pool | `pool` |
//! | which of them are leased | `leased` |
//! | numbers that stand together | `runs` |
//!
//! Nothing here enumerates: what is kept is what is leased, so that a /64 costs what a /24 costs, and the next free
//! address is found by two look-ups however full the pool is.
//!
//! Nothing here is stored: the controller stores leases with their owners, and asks for each again when it starts.

#![forbid(unsafe_code)]

mod default;
mod default_pools;
mod leased;
mod null;
mod pool;
mod runs;
mod span;
mod subnet;

pub use default::{DefaultIpam, SERIAL_OPTION};
pub use default_pools::{AddressPool, DefaultPools};
pub use null::NullIpam;
