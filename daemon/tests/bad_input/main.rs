//! Bad input: every field of every request, bodies that are no bodies, and callers who stop half-way.
//!
//! | to find | look in |
//! |---|---|
//! | which fields there are, as the served document tells | `document` |
//! | what is wrong in each | `wrong` |
//! | that it is refused, by name, and changes nothing | `fields` |
//! | bodies at random | `random` |
//! | bodies too large, half sent, too slow | `half_sent` |

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

#[path = "../fixture/mod.rs"]
mod fixture;

mod caller;
mod document;
mod fields;
mod half_sent;
mod random;
mod wrong;
