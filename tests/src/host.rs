//! A host made for one test: namespaces, mounts, settings and a runtime of its own, all gone at the end.

use std::any::Any;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::thread::UnshareFlags;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::namespace::{Namespace, unshare};
use crate::process::Process;

type Job = Box<dyn FnOnce() + Send>;

/// A host: a network namespace and a mount namespace of its own.
///
/// It has a `/run` and an `/etc/resolv.conf` that nobody else sees, a folder for what shall survive a restart, the
/// loopback link up, nothing else. One thread, the keeper, holds it all and starts its processes; when the host is
/// dropped, by a panic too, the keeper ends, its processes with it, and the kernel takes the namespaces away.
pub struct Host {
    name: String,
    namespace: Namespace,
    folder: TempDir,
    runtime: Option<Runtime>,
    jobs: Option<Sender<Job>>,
    keeper: Option<JoinHandle<()>>,
}

impl Host {
    /// Makes one. The name is for people, and for the names of its threads.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("trestle-test-").tempdir().expect("a folder can be made");
        let (jobs, inbox) = channel::<Job>();
        let (ready, made) = channel();
        let thread_name = format!("host {name}");
        let keeper = thread::Builder::new().name(thread_name.clone()).spawn(move || {
            unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS);
            hide_the_machine();
            settle();
            // Its threads are born of this one, and so they are in the same namespaces.
            let runtime = Builder::new_multi_thread().worker_threads(2).thread_name(thread_name).enable_all().build();
            let told = ready.send((Namespace::current(), runtime.expect("a runtime can be made")));
            if told.is_ok() {
                inbox.iter().for_each(|job| job());
            }
        });
        let keeper = keeper.expect("a thread can be made");
        let Ok((namespace, runtime)) = made.recv() else {
            std::panic::resume_unwind(
                keeper.join().err().unwrap_or_else(|| Box::new("the keeper went") as Box<dyn Any + Send>),
            )
        };
        Self { name: name.into(), namespace, folder, runtime: Some(runtime), jobs: Some(jobs), keeper: Some(keeper) }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its code runs.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The folder that is seen from everywhere and lives as long as the host.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What shall survive a restart of the daemon: `--data-root`.
    pub fn data_root(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What lives as long as the kernel's state: `--exec-root`, on the host's own tmpfs.
    pub fn exec_root(&self) -> PathBuf {
        "/run/trestle".into()
    }

    /// Runs it on a thread in here, with the runtime of the host, and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let runtime = self.runtime.as_ref().expect("it is there until the host is dropped");
        self.namespace.run(|| {
            let _entered = runtime.enter();
            work()
        })
    }

    /// Runs a future to its end in here; tasks that it spawns go on, until the host is dropped.
    pub fn block_on<F>(&self, future: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        let runtime = self.runtime.as_ref().expect("it is there until the host is dropped");
        self.namespace.run(|| runtime.block_on(future))
    }

    /// Starts a program in here; what it prints is kept under that name in the host's folder.
    pub fn start(&self, mut command: Command, log: &str) -> Process {
        let log = self.folder.path().join(format!("{log}.log"));
        self.on_keeper(move || Process::start(&mut command, &log))
    }

    /// Runs it on the thread that lives as long as the host.
    fn on_keeper<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (send, answer) = channel();
        let job = Box::new(move || {
            if send.send(work()).is_err() {
                eprintln!("nobody waited for the answer of a host's keeper");
            }
        });
        let jobs = self.jobs.as_ref().expect("it is there until the host is dropped");
        jobs.send(job).expect("the keeper lives as long as its host");
        answer.recv().expect("the keeper did the work")
    }

    /// The namespace behind a file of this host, such as a sandbox's under the exec root.
    pub fn namespace_at(&self, path: &Path) -> Namespace {
        self.run(|| Namespace::at(path))
    }

    /// Writes a setting, given by its path below `/proc/sys`.
    pub fn set(&self, key: &str, value: &str) {
        let path = Path::new("/proc/sys").join(key);
        self.run(|| fs::write(&path, value)).unwrap_or_else(|error| panic!("setting {key}: {error}"));
    }

    /// Reads a setting, given by its path below `/proc/sys`.
    pub fn setting(&self, key: &str) -> String {
        let path = Path::new("/proc/sys").join(key);
        let text = self.run(|| fs::read_to_string(&path)).unwrap_or_else(|error| panic!("reading {key}: {error}"));
        text.trim().to_owned()
    }

    /// Runs `ip` in here, its arguments as a person types them.
    pub fn ip(&self, arguments: &str) -> String {
        self.namespace.ip(arguments)
    }

    /// Loads rules in here, in the language of `nft`.
    pub fn nft(&self, rules: &str) -> String {
        self.namespace.output("nft", &[rules])
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        drop(self.jobs.take());
        if let Some(Err(cause)) = self.keeper.take().map(JoinHandle::join) {
            eprintln!("the keeper of host {} ended badly: {cause:?}", self.name);
        }
    }
}

/// Mounts of its own: what is mounted here is seen by nobody else, and the machine's `/run` and name servers not here.
fn hide_the_machine() {
    let everything = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", everything).expect("mounts can be made private");
    mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), Some(c"mode=755")).expect("a tmpfs can be mounted on /run");
    fs::write("/run/resolv.conf", "").expect("the new /run can be written");
    let resolv_conf = Path::new("/etc/resolv.conf");
    // A link into the hidden /run needs something to point to.
    if let Ok(target) = fs::read_link(resolv_conf) {
        let target = Path::new("/etc").join(target);
        if let Some(folder) = target.parent().filter(|_| !target.exists()) {
            fs::create_dir_all(folder).and_then(|()| fs::write(&target, "")).expect("a link leads into our /run");
        }
    }
    if resolv_conf.exists() {
        mount_bind("/run/resolv.conf", resolv_conf).expect("a file can be mounted over /etc/resolv.conf");
    }
}

/// A host as after its start: loopback up, no forwarding. Bridges don't show their packets to the firewall unless a
/// bridge is told to: fresh namespaces may have these settings on, and tests would pass by luck. Every refusal is
/// sent: by default the kernel sends a few ICMP errors a second and is silent then.
fn settle() {
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.is_ok_and(|status| status.success()), "the loopback link can't be set up");
    for (key, value) in [
        ("net/bridge/bridge-nf-call-iptables", "0"),
        ("net/bridge/bridge-nf-call-ip6tables", "0"),
        ("net/ipv4/icmp_ratelimit", "0"),
        ("net/ipv6/icmp/ratelimit", "0"),
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv6/conf/all/forwarding", "0"),
    ] {
        let path = Path::new("/proc/sys").join(key);
        if path.exists() {
            fs::write(&path, value).unwrap_or_else(|error| panic!("setting {key}: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privileges;

    #[test]
    fn a_host_has_its_own_run_links_and_name_servers() {
        privileges::obtain(|| {
            let (one, other) = (Host::new("one"), Host::new("other"));
            one.run(|| fs::write("/run/marker", "")).unwrap();
            assert!(one.run(|| Path::new("/run/marker").exists()));
            assert!(!other.run(|| Path::new("/run/marker").exists()));
            assert!(!Path::new("/run/marker").exists());
            assert_eq!(one.run(|| fs::read_to_string("/etc/resolv.conf")).unwrap_or_default(), "");
            assert_eq!(one.ip("-o link").lines().filter(|line| line.contains("UP")).count(), 1);
        });
    }

    #[test]
    fn tasks_and_blocking_work_stay_in_the_host() {
        privileges::obtain(|| {
            let host = Host::new("host");
            let here = || fs::read_link("/proc/thread-self/ns/net").unwrap();
            let expected = host.run(here);
            assert_ne!(expected, here());
            let (task, blocking) = host.block_on(async move {
                let nested = tokio::spawn(async move { tokio::task::spawn_blocking(here).await.unwrap() });
                (tokio::spawn(async move { here() }).await.unwrap(), nested.await.unwrap())
            });
            assert_eq!((&task, &blocking), (&expected, &expected));
        });
    }

    #[test]
    fn a_host_takes_its_processes_and_its_folder_with_it_even_in_a_panic() {
        privileges::obtain(|| {
            let left = std::sync::Mutex::new(None);
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let host = Host::new("host");
                let mut command = Command::new("sleep");
                command.arg("1000");
                let process = host.start(command, "sleep");
                *left.lock().unwrap() = Some((process.pid(), host.folder().to_owned()));
                std::panic::resume_unwind(Box::new("as a failed assertion would"));
            }));
            assert!(panicked.is_err());
            let (pid, folder) = left.lock().unwrap().take().unwrap();
            assert!(!Path::new(&format!("/proc/{pid}")).exists());
            assert!(!folder.exists());
        });
    }

    #[test]
    fn what_bridges_carry_is_hidden_from_the_firewall_at_first() {
        privileges::obtain(|| {
            let host = Host::new("host");
            for key in ["net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"] {
                if host.run(|| Path::new("/proc/sys").join(key).exists()) {
                    assert_eq!(host.setting(key), "0");
                }
            }
        });
    }
}
