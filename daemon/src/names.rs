//! Where names are joined: the directory follows the controller's records, the server answers from it at the sockets
//! that the kernel layer opens, and the clerk writes the files.

use std::sync::Arc;

use tokio::runtime::Handle;

use trestle_core::entropy::Entropy;
use trestle_core::id::SandboxId;
use trestle_core::name_service::NameService;
use trestle_core::store::Change;
use trestle_core::witness::Witness;
use trestle_core::{Doing, Result};
use trestle_resolver::files::{Clerk, Files, HostFiles};
use trestle_resolver::limits::Meter;
use trestle_resolver::upstream::Upstream;
use trestle_resolver::upstream::resolv_conf::HostFile;
use trestle_resolver::{Directory, Server};

use crate::config::Settings;

/// Names of everything that is attached, and who is told of them.
pub struct Names {
    directory: Directory,
    server: Arc<Server>,
    clerk: Clerk,
}

impl Names {
    /// Gets ready to answer on a runtime. Nobody has a name yet.
    ///
    /// # Errors
    /// If the thread that writes files can't be started.
    pub fn start(
        settings: &Settings,
        runtime: &Handle,
        entropy: Arc<dyn Entropy>,
        meter: Arc<dyn Meter>,
    ) -> Result<Arc<Self>> {
        let (directory, host) = (Directory::default(), HostFiles::default());
        let (defaults, limits) = (settings.names.defaults.clone(), settings.names.limits);
        let upstream = Upstream::new(
            Arc::new(HostFile::new(&host.resolv_conf)),
            defaults.clone(),
            limits,
            entropy,
            Arc::clone(&meter),
        );
        let server = Server::new(runtime.clone(), directory.clone(), Arc::new(upstream), limits, meter);
        let clerk = Clerk::start(settings.exec_root.join("files"), directory.clone(), host, defaults);
        let clerk = clerk.doing(|| "getting ready to write the files of sandboxes")?;
        Ok(Arc::new(Self { directory, server: Arc::new(server), clerk }))
    }

    /// Who answers at the sockets in sandboxes.
    pub fn service(&self) -> Arc<dyn NameService> {
        self.server.clone()
    }

    /// Where a sandbox's files are.
    pub fn files(&self, sandbox: SandboxId) -> Files {
        self.clerk.files(sandbox)
    }

    /// Waits until the files say what the records do.
    pub async fn settled(&self) {
        self.clerk.settled().await;
    }

    /// Removes the files of who is gone. Call it when all records are known.
    pub async fn sweep(&self) {
        self.clerk.sweep().await;
    }

    /// How many names there are, each counted once a network.
    pub fn count(&self) -> usize {
        self.directory.look().names()
    }
}

impl Witness for Names {
    fn committed(&self, changes: &[Change]) {
        self.directory.committed(changes);
        self.clerk.committed(changes);
    }
}
