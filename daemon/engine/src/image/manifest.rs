//! Manifests: which configuration and which layers an image is made of, and which image is for which platform.
//!
//! The OCI's (<https://github.com/opencontainers/image-spec/blob/main/manifest.md>, `image-index.md`) and Docker's
//! version 2, schema 2, which has the same fields by other media types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trestle_core::error::{Error, Result};

use super::digest::Digest;
use super::platform::Platform;

/// Media types of manifests of one image.
pub(super) const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// Media types of lists of manifests.
pub(super) const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// What is written for configurations and layers.
pub(super) const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The name of an image, whole: what containerd writes.
pub(super) const WHOLE_NAME: &str = "io.containerd.image.name";

/// The tag of an image, or its name: <https://github.com/opencontainers/image-spec/blob/main/annotations.md>.
pub(super) const NAME: &str = "org.opencontainers.image.ref.name";

/// The longest manifest, in bytes: what registries take (4 MiB).
pub(super) const LONGEST: u64 = 4 << 20;

/// Some content, by digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    pub(super) fn of(media_type: &str, bytes: &[u8]) -> Self {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        Self { media_type: media_type.into(), digest, size, platform: None, annotations: None }
    }
}

/// The parts of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// A list of manifests, each for a platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestIndex {
    pub(super) schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) media_type: String,
    pub(super) manifests: Vec<Descriptor>,
}

impl ManifestIndex {
    /// The first that can be taken where a platform is wanted. One that tells no platform may be any.
    pub(super) fn choose(&self, wanted: &Platform) -> Option<&Descriptor> {
        let fits = |found: &&Descriptor| found.platform.as_ref().is_some_and(|platform| wanted.accepts(platform));
        self.manifests.iter().find(fits).or_else(|| self.manifests.iter().find(|found| found.platform.is_none()))
    }
}

/// Either of the two.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AnyManifest {
    One(Manifest),
    Many(ManifestIndex),
}

impl AnyManifest {
    /// Reads one, by the media type that it tells itself, else by the one told of it, else by its looks.
    ///
    /// # Errors
    /// `Invalid`; `Unsupported` for schema 1.
    pub(super) fn parse(bytes: &[u8], told: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Looks {
            #[serde(default)]
            schema_version: u32,
            #[serde(default)]
            media_type: String,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let broken = |error: serde_json::Error| Error::invalid(format!("the manifest can't be read: {error}"));
        let looks: Looks = serde_json::from_slice(bytes).map_err(broken)?;
        if looks.schema_version != 2 {
            let cause = format!("the manifest is of schema {}, which nobody should use any more", looks.schema_version);
            return Err(Error::unsupported(cause));
        }
        let kind = if looks.media_type.is_empty() { told } else { &looks.media_type };
        let is_list = INDEXES.contains(&kind) || (!MANIFESTS.contains(&kind) && looks.manifests.is_some());
        match is_list {
            true => serde_json::from_slice(bytes).map(Self::Many).map_err(broken),
            false => serde_json::from_slice(bytes).map(Self::One).map_err(broken),
        }
    }
}
