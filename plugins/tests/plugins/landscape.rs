//! Plugin folders of a test's own, with settings that are patient where a plugin answers.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use trestle_plugins::client::Limits;
use trestle_plugins::discovery::Folders;
use trestle_plugins::registry::{Plugins, Settings};

use crate::scripted::{Heard, Reaction, Scripted};

pub(crate) struct Landscape {
    folder: TempDir,
    pub(crate) plugins: Plugins,
}

impl Landscape {
    /// With all the time in the world.
    pub(crate) fn new() -> Self {
        Self::with(Duration::from_secs(60), Duration::from_secs(60))
    }

    /// With so much time for a call, and so much patience for a handshake.
    pub(crate) fn with(deadline: Duration, patience: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["run", "etc", "lib", "so"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let at = |name: &str| folder.path().join(name);
        let wait = Duration::from_millis(1);
        let settings = Settings {
            folders: Folders { sockets: vec![at("run")], specs: vec![at("etc"), at("lib")], libraries: vec![at("so")] },
            limits: Limits { deadline, largest: 1 << 16, tries: 2, first_wait: wait, longest_wait: wait },
            patience,
        };
        Self { plugins: Plugins::new(settings), folder }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A plugin that shakes hands as both kinds, and says the rest by the script: an answer, or else `{}`.
    pub(crate) fn plugin(
        &self,
        name: &str,
        script: impl Fn(&Heard) -> Option<Value> + Send + Sync + 'static,
    ) -> Scripted {
        self.reacting(name, move |_, heard| match script(heard) {
            Some(answer) => Reaction::Say(answer.to_string()),
            None => Reaction::Say("{}".into()),
        })
    }

    /// The same, with reactions.
    pub(crate) fn reacting(
        &self,
        name: &str,
        script: impl Fn(usize, &Heard) -> Reaction + Send + Sync + 'static,
    ) -> Scripted {
        Scripted::at(&self.path(&format!("run/{name}.sock")), move |before, heard| {
            let reaction = script(before, heard);
            match (heard.method.as_str(), &reaction) {
                ("Plugin.Activate", Reaction::Say(said)) if said == "{}" => {
                    Reaction::Say(json!({"Implements": ["NetworkDriver", "IpamDriver"]}).to_string())
                }
                ("NetworkDriver.GetCapabilities", Reaction::Say(said)) if said == "{}" => {
                    Reaction::Say(json!({"Scope": "local"}).to_string())
                }
                _ => reaction,
            }
        })
    }
}
