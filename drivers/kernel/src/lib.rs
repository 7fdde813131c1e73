//! The only code that touches Linux: netlink, namespaces, nf_tables, sysctls, held ports.

pub mod firewall;
pub mod mark;
