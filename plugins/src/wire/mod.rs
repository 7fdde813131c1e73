//! The plugin protocol as Docker speaks it: requests and replies as they stand on the wire.
//!
//! Every call is `POST /<Method>` with a JSON body. Texts that are not set are `""`, never `null`; whoever reads takes
//! `null` for both. Names, spelling and encodings are the protocol's, also where they differ from each other.

pub mod ipam;
pub mod network;
pub mod options;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// What a caller says it understands, in the header `Accept`; what a plugin answers with, in `Content-Type`.
pub const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// The header `Host` of calls over a unix socket.
pub const UNIX_HOST: &str = "plugin.moby.localhost";

/// The kind of a plugin that lays out networks, in [`Manifest::implements`].
pub const NETWORK_DRIVER: &str = "NetworkDriver";

/// The kind of a plugin that manages addresses.
pub const IPAM_DRIVER: &str = "IpamDriver";

/// One call: a request that knows its method and what answers it.
pub trait Call: Serialize + Send + Sync {
    /// What stands in the path.
    const METHOD: &'static str;
    /// Whether the request has a body.
    const HAS_BODY: bool = true;
    /// What a plugin answers. `null` and `{}` are an answer with nothing set.
    type Reply: DeserializeOwned + Serialize + Default + Send;
}

/// In which field of a reply a refusal stands: address managers call it otherwise than everybody else.
pub fn refusal_field(method: &str) -> &'static str {
    match method.starts_with(IPAM_DRIVER) {
        true => "Error",
        false => "Err",
    }
}

/// The handshake: what are you?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activate {}

/// The answer to the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Manifest {
    /// The kinds of plugin that it is.
    #[serde(deserialize_with = "or_nothing")]
    pub implements: Vec<String>,
}

impl Call for Activate {
    const METHOD: &'static str = "Plugin.Activate";
    const HAS_BODY: bool = false;
    type Reply = Manifest;
}

/// An answer that says nothing but that all went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// Reads `null` as what the type is when nothing is set, as Go does.
pub(crate) fn or_nothing<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
