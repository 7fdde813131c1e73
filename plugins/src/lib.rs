//! Drivers and address managers from outside: found in the plugin folders, asked over HTTP, and not trusted.
//!
//! | to find | look in |
//! |---|---|
//! | what is said on the wire, letter by letter | [`wire`] |
//! | which plugins there are | [`registry`] |
//! | how a plugin is found | [`discovery`] |
//! | a plugin as a driver, and as an address manager | [`remote`] |
//! | the other side: ours as a plugin | [`serve`] |
//! | a plugin on trial | [`conformance`] |
//! | plugins as dynamic libraries | [`dynamic`] |
//! | how a plugin is asked | [`client`] |
//!
//! Whatever a plugin answers is a stranger's word: it is read with limits, checked, and only then believed.

#![deny(unsafe_code)]

pub mod client;
pub mod conformance;
pub mod discovery;
pub mod dynamic;
pub mod registry;
pub mod remote;
pub mod serve;
pub mod wire;

#[cfg(test)]
mod testing;
