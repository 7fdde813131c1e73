//! Drivers and address managers from outside: found in the plugin folders, asked over HTTP, and not trusted.
//!
//! | to find | look in |
//! |---|---|
//! | what is said on the wire, letter by letter | [`wire`] |
//! | how a plugin is asked | [`client`] |
//!
//! Whatever a plugin answers is a stranger's word: it is read with limits, checked, and only then believed.

#![forbid(unsafe_code)]

pub mod client;
pub mod wire;

#[cfg(test)]
mod testing;
