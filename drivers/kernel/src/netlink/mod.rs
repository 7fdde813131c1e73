//! Talking rtnetlink: the messages, the socket that sends them in batches, and what the kernel answers.

pub(crate) mod message;
pub(crate) mod observed;
mod refusal;
mod socket;

pub(crate) use observed::Link;
pub(crate) use refusal::Refusal;
pub(crate) use socket::{Answer, Request, Socket, split};
