//! What an image says of itself: its configuration, whose digest is the image's id.
//!
//! Specification: <https://github.com/opencontainers/image-spec/blob/main/config.md>, with what Docker adds. It is read
//! as Go reads: null, missing and empty are the same.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::digest::Digest;

/// The configuration of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// When it was made, RFC 3339; empty if it tells nothing.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// Who made it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// The processor it is for, in Go's words: `amd64`.
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    /// The processor's variant: `v8`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// The system it is for: `linux`.
    #[serde(deserialize_with = "or_default")]
    pub os: String,
    /// What its containers are to run.
    #[serde(deserialize_with = "or_default")]
    pub config: RunConfig,
    /// Its layers.
    #[serde(deserialize_with = "or_default")]
    pub rootfs: RootFs,
    /// How it came about, oldest first.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Step>,
    /// A word about the last step, which Docker writes.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The program that made it, which Docker writes.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// The container that it was made from, which Docker writes.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// What else is in it.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What the containers of an image are to run, unless who makes them says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RunConfig {
    /// `user[:group]`, names or numbers.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports like `80/tcp`; the values are empty.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program; `cmd` is appended to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The arguments, or the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Whether `cmd` is escaped for Windows already.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// Paths at which each container has a volume; the values are empty.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Empty>,
    /// Where the program starts.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Words about it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to end.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds between that signal and the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// How to find out whether it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// What runs shell lines of builds and health checks.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Lines for builds that start from it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// What else is in it: older Docker writes a whole container's configuration.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How to find out whether a container is well. Lengths are nanoseconds; 0 is the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `NONE`, or `CMD` and a program, or `CMD-SHELL` and a line.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// From one check to the next.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// How long a check may take.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// How long failures don't count at first.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// From one check to the next in that time.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// How many failures in a row make it unhealthy.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// The value of what is a set in Go's JSON: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// The layers of an image, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed archives.
    #[serde(deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".into(), diff_ids: Vec::new() }
    }
}

/// One step of an image's history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// When, RFC 3339.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// By which command.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// By whom.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Why.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether it left the file system as it was, so that it has no layer.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl Step {
    /// When it was done, if it tells.
    pub fn made(&self) -> Option<SystemTime> {
        time(&self.created)
    }
}

/// Reads RFC 3339.
pub(super) fn time(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Reads null as nothing told.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_missing_and_empty_are_the_same_as_in_go() {
        let missing: Configuration = serde_json::from_str("{}").unwrap();
        let null = r#"{"created":null,"config":null,"rootfs":null,"history":null,"os":null,"architecture":null}"#;
        assert_eq!(serde_json::from_str::<Configuration>(null).unwrap(), missing);
        let config: RunConfig = serde_json::from_str(r#"{"Env":null,"ExposedPorts":null,"Cmd":null}"#).unwrap();
        assert_eq!(config, RunConfig::default());
    }

    #[test]
    fn what_it_does_not_know_stays_in_it() {
        let text = r#"{"architecture":"amd64","config":{"Cmd":["sh"],"Odd":1},"os":"linux","rootfs":{"type":"layers","diff_ids":[]},"x":{"y":2}}"#;
        let read: Configuration = serde_json::from_str(text).unwrap();
        let written: Value = serde_json::to_value(&read).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(text).unwrap());
    }
}
