//! What the drivers promise. Nothing here needs root: a driver is asked, and its answer is looked at.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod cross_product;
mod documentation;
mod endpoint;
mod gateway_modes;
mod network;
mod options;
mod publish;
mod singles;
mod users_bridge;
mod world;
