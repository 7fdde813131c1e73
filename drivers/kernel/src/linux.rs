//! The kernel layer's face: what it promises is in [`trestle_core::kernel::Kernel`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use trestle_core::facts::Facts;
use trestle_core::kernel::{Disturbance, Drift, Kernel};
use trestle_core::name_service::NameService;
use trestle_core::resource::Namespace;
use trestle_core::{Plan, Result};

use crate::announce::Announcer;
use crate::carrier::Carrier;
use crate::claim::Claim;
use crate::firewall::conntrack::ConnectionTracker;
use crate::firewall::{self, Backend, Firewall};
use crate::mark::Instance;
use crate::names::NameServers;
use crate::namespace::Namespaces;
use crate::netlink::Socket;
use crate::nursery::Nursery;
use crate::ports::Ports;
use crate::reaper::Reaper;
use crate::remembered::Remembered;
use crate::repeat::Repeats;
use crate::thread::Thread;
use crate::watch::{Expectations, Watch};
use crate::worker::Worker;

/// How the kernel layer is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The mark of everything that it makes.
    pub instance: Instance,
    /// Where the namespaces that it makes get their names.
    pub netns_folder: PathBuf,
    /// What programs the packet filter.
    pub firewall: Backend,
    /// What a second controller in this namespace is told about the first, such as its data root.
    pub description: String,
}

/// Linux, as the network namespace of the thread that opened it.
///
/// One thread changes the kernel, for all changes of links take one lock of the kernel anyway; another deletes links,
/// for that makes the caller wait for every processor; a third listens for what others change.
pub struct LinuxKernel {
    worker: Thread<Worker>,
    reaper: Thread<Reaper>,
    nursery: Nursery,
    watch: Watch,
    _claim: Claim,
}

impl LinuxKernel {
    /// Claims the calling thread's network namespace and gets ready to work in it. What is relayed on behalf of held
    /// ports is relayed by the tokio runtime in which this is called; it announces addresses again, too.
    ///
    /// # Errors
    /// `Conflict` if another controller has this namespace, naming it.
    pub fn open(options: Options) -> Result<Self> {
        Self::open_with_names(options, None)
    }

    /// The same, and hands the sockets at which sandboxes ask for names to who answers them. Without anybody, plans with
    /// a name server are `Unsupported`.
    ///
    /// # Errors
    /// As [`LinuxKernel::open`].
    pub fn open_with_names(options: Options, names: Option<Arc<dyn NameService>>) -> Result<Self> {
        let claim = Claim::take(&options.description)?;
        let expected = Arc::new(Expectations::default());
        let firewall = Firewall::open_with(options.firewall, options.instance)?;
        let watch = Watch::start(options.instance, expected.clone(), firewall::watch(&firewall)?)?;
        let nursery = Nursery::default();
        let worker = Worker {
            instance: options.instance,
            host: Socket::open()?,
            bridges: BTreeMap::new(),
            firewall,
            connections: ConnectionTracker::open()?,
            namespaces: Namespaces::new(options.netns_folder, nursery.clone()),
            ports: Ports::open()?,
            names: NameServers::new(names),
            announcer: Announcer::open()?,
            repeats: Repeats::start()?,
            remembered: Remembered::default(),
            unannounced: Vec::new(),
            carrier: Carrier::open()?,
            expected,
        };
        let reaper = Reaper::open(options.instance)?;
        Ok(Self {
            worker: Thread::start("trestle-kernel", worker)?,
            reaper: Thread::start("trestle-reaper", reaper)?,
            nursery,
            watch,
            _claim: claim,
        })
    }
}

#[async_trait]
impl Kernel for LinuxKernel {
    async fn facts(&self) -> Result<Facts> {
        self.worker.run(Worker::facts).await?
    }

    async fn cookie(&self, namespace: &Namespace) -> Result<u64> {
        let namespace = namespace.clone();
        self.worker.run(move |worker| worker.cookie(&namespace)).await?
    }

    fn expect_namespace(&self) {
        self.nursery.begin();
    }

    async fn replace(&self, from: &Plan, to: &Plan) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.worker.run(move |worker| worker.replace(&from, &to)).await?
    }

    async fn reap(&self, gone: &[Plan]) -> Result<()> {
        let gone = gone.to_vec();
        self.reaper.run(move |reaper| reaper.reap(&gone)).await?
    }

    async fn restore(&self, plans: &[Plan]) -> Vec<Result<()>> {
        let (count, plans) = (plans.len(), plans.to_vec());
        match self.worker.run(move |worker| worker.restore(&plans)).await {
            Ok(results) => results,
            Err(error) => (0..count).map(|_| Err(trestle_core::Error::internal(error.to_string()))).collect(),
        }
    }

    async fn verify(&self, plan: &Plan) -> Result<Vec<Drift>> {
        let plan = plan.clone();
        self.worker.run(move |worker| worker.verify(&plan)).await?
    }

    async fn strays(&self, keep: &[Plan]) -> Result<Vec<String>> {
        let keep = keep.to_vec();
        self.worker.run(move |worker| worker.strays(&keep)).await?
    }

    async fn sweep(&self, keep: &[Plan]) -> Result<Vec<String>> {
        let keep = keep.to_vec();
        let swept = self.worker.run(move |worker| worker.sweep(&keep)).await??;
        self.reaper.run(|reaper| reaper.reap(&[])).await??;
        Ok(swept)
    }

    async fn disturbed(&self) -> Option<Disturbance> {
        self.watch.next().await
    }
}
