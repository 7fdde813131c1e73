//! Images from registries.
//!
//! | file | what is in it |
//! |---|---|
//! | `pull` | what is fetched in which order, and what is told of it |
//! | `download` | one blob into a file: checked, and taken up again where it broke off |
//! | `session` | one repository of one registry: who we are, and where we are sent on to |
//! | `challenge`, `credentials` | how a registry asks who we are, and how we answer |
//! | `client` | one request over HTTP or HTTPS |
//!
//! Protocol: <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>, and for tokens
//! <https://distribution.github.io/distribution/spec/auth/token/>.

mod challenge;
mod client;
mod credentials;
mod download;
mod pull;
mod session;
#[cfg(test)]
mod tests;

pub use credentials::Credentials;
pub use pull::{Pull, Pulled, Tell};
