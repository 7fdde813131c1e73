//! Sandboxes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use trestle_core::controller::request::{NetnsRequest, SandboxRequest};
use trestle_core::sandbox::{self, SandboxNetns, SandboxState};
use trestle_core::{Doing, Error, Result};

use super::endpoint::{Endpoint, NewEndpoint, reference};
use super::naming::{Files, NamingWishes};
use super::{json, read_with, shown};

/// A sandbox to create. At most one of `path`, `pid` and `host` is given; with none, a namespace is made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSandbox {
    /// Unique among sandboxes; made from the id if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A file that a network namespace is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A process, whose namespace is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Whether the host's own namespace is used.
    #[serde(default)]
    pub host: bool,
    /// What it is told about names. Names of the networks that it is on are found in any case.
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "NamingWishes::is_empty")]
    pub naming: NamingWishes,
    /// Whether it is told nothing: it has neither a name server nor files that tell of names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_names: bool,
    /// What it is attached to from the start, in this order: all of it, or the sandbox is not made.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<NewEndpoint>,
}

impl NewSandbox {
    /// What is asked of the controller.
    ///
    /// # Errors
    /// `Invalid`, with the field's name.
    pub fn read(self) -> Result<SandboxRequest> {
        let netns = match (self.path, self.pid, self.host) {
            (None, None, false) => NetnsRequest::Make,
            (None, None, true) => NetnsRequest::Host,
            (Some(path), None, false) => NetnsRequest::Path(namespace_file(&path)?),
            (None, Some(0), false) => return Err(Error::invalid("pid: 0 is no process")),
            (None, Some(pid), false) => NetnsRequest::Pid(pid),
            (Some(_), _, _) => return Err(Error::invalid("path: it excludes pid and host")),
            (None, Some(_), true) => return Err(Error::invalid("pid: it excludes host")),
        };
        let name = read_with("name", self.name, |text| text.try_into())?;
        let endpoints = self.endpoints.into_iter().enumerate();
        let endpoints = endpoints.map(|(place, endpoint)| endpoint.read().doing(|| format!("endpoints[{place}]")));
        let naming = match (self.without_names, self.naming) {
            (true, wishes) if !wishes.is_empty() => return Err(Error::invalid("naming: it excludes without_names")),
            (true, _) => None,
            (false, wishes) => Some(wishes.read().doing(|| "naming")?),
        };
        Ok(SandboxRequest { name, netns, naming, endpoints: endpoints.collect::<Result<_>>()? })
    }
}

/// `PATH_MAX` less the closing NUL (linux/limits.h).
const LONGEST_PATH: usize = 4095;

fn namespace_file(path: &str) -> Result<PathBuf> {
    if path.contains('\0') {
        return Err(Error::invalid(format!("path: {:?} has a NUL byte in it", shown(path))));
    }
    if path.len() > LONGEST_PATH {
        return Err(Error::invalid(format!("path: it is {} bytes long, and Linux allows {LONGEST_PATH}", path.len())));
    }
    match path.starts_with('/') {
        true => Ok(path.into()),
        false => Err(Error::invalid(format!("path: {:?} is not an absolute path", shown(path)))),
    }
}

/// The network that a sandbox is to be disconnected from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisconnectFrom {
    /// Id, name, or beginning of an id.
    pub network: String,
}

impl DisconnectFrom {
    /// The network's name, which is not empty.
    pub fn read(self) -> Result<String> {
        reference("network", self.network)
    }
}

/// A sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sandbox {
    /// 64 hexadecimal digits, for ever.
    pub id: String,
    /// Unique among sandboxes.
    pub name: String,
    /// `creating`, `ready`, `changing` or `deleting`.
    pub state: String,
    /// The file that its namespace is found behind; `null` for the host's own.
    pub namespace: Option<String>,
    /// Whose namespace it is: `made` by us, `given` to us, or the `host`'s.
    pub origin: String,
    /// What it is told about names; `null` if nothing.
    pub naming: Option<NamingWishes>,
    /// The files that tell it who it is; `null` if it is told nothing.
    pub files: Option<Files>,
    /// The endpoints in it, and those on their way.
    pub endpoints: Vec<Endpoint>,
}

impl Sandbox {
    /// As the controller knows it, with its endpoints, and where its files would be.
    pub fn new(sandbox: &sandbox::Sandbox, endpoints: Vec<Endpoint>, files: trestle_resolver::files::Files) -> Self {
        let state = match sandbox.state {
            SandboxState::Creating { .. } => "creating",
            SandboxState::Ready { .. } => "ready",
            SandboxState::Changing { .. } => "changing",
            SandboxState::Deleting { .. } => "deleting",
            SandboxState::Spare { .. } => "spare",
        };
        let (namespace, origin) = match &sandbox.netns {
            SandboxNetns::Made { path } => (Some(path.display().to_string()), "made"),
            SandboxNetns::Given { path, .. } => (Some(path.display().to_string()), "given"),
            SandboxNetns::Host => (None, "host"),
        };
        Self {
            id: sandbox.id.to_string(),
            name: sandbox.name.to_string(),
            state: state.into(),
            namespace,
            origin: origin.into(),
            naming: sandbox.naming.as_deref().map(NamingWishes::of),
            files: sandbox.naming.is_some().then(|| files.into()),
            endpoints,
        }
    }
}
