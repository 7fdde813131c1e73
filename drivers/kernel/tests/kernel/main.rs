//! The kernel layer on the real kernel. Every test host is a network namespace and a mount namespace of its own.

mod host;
mod links;
