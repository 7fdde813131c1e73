//! A container's network namespace: made before its process, removed after it.

use std::path::PathBuf;

use trestle_core::controller::Controller;
use trestle_core::controller::request::{NetnsRequest, SandboxRequest};
use trestle_core::name::SandboxName;
use trestle_core::sandbox::SandboxNetns;
use trestle_core::{Error, ErrorKind, Result, failpoint};

use super::config::NetworkMode;
use super::record::Record;

/// Makes what a container's mode calls for; the file of its namespace, `None` for the host's.
///
/// # Errors
/// `Unsupported` for modes that can't be had yet, and what the controller says.
pub(super) async fn prepare(controller: &Controller, record: &Record) -> Result<Option<PathBuf>> {
    let netns = match &record.host_config.network_mode {
        _ if record.config.network_disabled => NetnsRequest::Make,
        NetworkMode::None => NetnsRequest::Make,
        NetworkMode::Host => return Ok(None),
        other => {
            return Err(Error::unsupported(format!(
                "this daemon can't give a container the network mode {other} yet; none and host it can"
            )));
        }
    };
    let name = SandboxName::try_from(record.id.to_string())?;
    let sandbox = controller.create_sandbox(SandboxRequest { name: Some(name), ..SandboxRequest::new(netns) }).await?;
    failpoint!("engine.sandbox-made");
    match sandbox.netns {
        SandboxNetns::Made { path } => Ok(Some(path)),
        SandboxNetns::Given { .. } | SandboxNetns::Host => Err(Error::internal("a sandbox that was made is another's")),
    }
}

/// Removes what there is of it. It may be gone already.
///
/// # Errors
/// What the controller says.
pub(super) async fn release(controller: &Controller, record: &Record) -> Result<()> {
    match controller.delete_sandbox(&record.id.to_string()).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
