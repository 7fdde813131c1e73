//! The firewall: nf_tables over netlink, in this process.
