//! The real `docker` command line, asking a daemon on a host.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;

use crate::host::Host;

/// The command line, with a configuration of its own.
pub struct Docker {
    host: Arc<Host>,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it printed, without the last line's end.
    pub printed: String,
    /// What it complained of.
    pub complaint: String,
}

impl Docker {
    /// One that asks the daemon on a host.
    pub fn on(host: &Arc<Host>) -> Self {
        Self { host: Arc::clone(host) }
    }

    /// Where the daemon is asked.
    pub fn socket(&self) -> PathBuf {
        self.host.exec_root().join("trestle.sock")
    }

    /// Runs it with arguments that spaces part; one in single quotes holds its spaces.
    pub fn run(&self, arguments: &str) -> Outcome {
        let mut command = Command::new("docker");
        command.args(words(arguments));
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        command.env("DOCKER_CONFIG", self.host.folder().join("docker")).env_remove("DOCKER_CONTEXT");
        let output = self.host.run(|| command.output());
        Outcome::from(output.unwrap_or_else(|error| panic!("running docker: {error}; tests/setup.sh installs it")))
    }

    /// Runs what has to succeed; what it printed.
    pub fn must(&self, arguments: &str) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, 0, "docker {arguments}: {}", outcome.complaint);
        outcome.printed
    }

    /// All about a network.
    pub fn network(&self, name: &str) -> Value {
        let text = self.must(&format!("network inspect {name}"));
        let list: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
        list[0].clone()
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            printed: text(&output.stdout),
            complaint: text(&output.stderr),
        }
    }
}

fn words(text: &str) -> Vec<String> {
    let quoted = text.split('\'').enumerate();
    let split = |(index, part): (usize, &str)| match index % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![part.to_owned()],
    };
    quoted.flat_map(split).collect()
}
