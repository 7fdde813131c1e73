//! The OCI runtime's commands: what is done to a container that the monitor has made.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use trestle_core::id::ContainerId;
use trestle_core::{Doing, Error, Result};

/// The runtime, and the folder of its state.
#[derive(Clone, Debug)]
pub struct Oci {
    program: PathBuf,
    root: PathBuf,
}

impl Oci {
    /// A runtime that keeps its state in a folder.
    pub fn new(program: PathBuf, root: PathBuf) -> Self {
        Self { program, root }
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The folder of its state.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Lets a container's first process begin.
    ///
    /// # Errors
    /// `Internal`, with the runtime's sentence.
    pub async fn start(&self, id: ContainerId) -> Result<()> {
        self.run(["start".as_ref(), id.to_string().as_ref()]).await.map(drop)
    }

    /// Kills what there is of a container, and forgets it. It may be gone already.
    ///
    /// # Errors
    /// `Internal`, with the runtime's sentence.
    pub async fn delete(&self, id: ContainerId) -> Result<()> {
        self.run(["delete".as_ref(), "--force".as_ref(), id.to_string().as_ref()]).await.map(drop)
    }

    /// Freezes every process of a container.
    ///
    /// # Errors
    /// `Internal`, with the runtime's sentence.
    pub async fn pause(&self, id: ContainerId) -> Result<()> {
        self.run(["pause".as_ref(), id.to_string().as_ref()]).await.map(drop)
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// `Internal`, with the runtime's sentence.
    pub async fn resume(&self, id: ContainerId) -> Result<()> {
        self.run(["resume".as_ref(), id.to_string().as_ref()]).await.map(drop)
    }

    /// Changes what a running container may use.
    ///
    /// # Errors
    /// `Internal`, with the runtime's sentence.
    pub async fn update(&self, id: ContainerId, resources: &Value) -> Result<()> {
        let mut child = self
            .command(["update".as_ref(), "--resources".as_ref(), "-".as_ref(), id.to_string().as_ref()])
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|cause| self.broken(&cause))?;
        let mut stdin = child.stdin.take().expect("it is a pipe");
        let told = stdin.write_all(resources.to_string().as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.map_err(|cause| self.broken(&cause))?;
        self.check(output).doing(|| "changing limits")?;
        told.map_err(|cause| self.broken(&cause))
    }

    /// The process ids of a container, as the host sees them.
    ///
    /// # Errors
    /// `Internal`, with the runtime's sentence.
    pub async fn processes(&self, id: ContainerId) -> Result<Vec<u32>> {
        let output = self.run(["ps".as_ref(), "--format".as_ref(), "json".as_ref(), id.to_string().as_ref()]).await?;
        let pids: Option<Vec<u32>> = serde_json::from_slice(&output.stdout)
            .map_err(|error| Error::internal(format!("{} ps: {error}", self.program.display())))?;
        Ok(pids.unwrap_or_default())
    }

    async fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<Output> {
        let output = self.command(arguments).output().await.map_err(|cause| self.broken(&cause))?;
        self.check(output)
    }

    fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a OsStr>) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root).args(arguments);
        // What the service manager told the daemon is not for the runtime, which would pass it on to the container.
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn check(&self, output: Output) -> Result<Output> {
        match output.status.success() {
            true => Ok(output),
            false => Err(Error::internal(reason(&String::from_utf8_lossy(&output.stderr)))),
        }
    }

    fn broken(&self, cause: &std::io::Error) -> Error {
        Error::internal(format!("running {}: {cause}", self.program.display()))
    }
}

/// The sentence in what a runtime complains: the last `msg="…"` of its log lines, or all of it.
pub fn reason(complaint: &str) -> String {
    let message = |line: &str| {
        let quoted = line.split_once("msg=")?.1;
        serde_json::Deserializer::from_str(quoted).into_iter::<String>().next()?.ok()
    };
    let told = complaint.lines().rev().find_map(message);
    told.unwrap_or_else(|| complaint.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_sentence_in_the_runtime_s_log() {
        let log =
            "time=\"2026\" level=warning msg=\"slow\"\ntime=\"2026\" level=error msg=\"exec: \\\"x\\\": not found\"\n";
        assert_eq!(reason(log), "exec: \"x\": not found");
        assert_eq!(reason("  plain words\n"), "plain words");
    }
}
