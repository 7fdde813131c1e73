//! The daemon as docker's command line has it: containers of an image that the test makes of Debian's `busybox-static`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use trestle_core::surroundings::{Clock, Task};
use trestle_engine::image::{Images, Import, Platform};

use crate::daemon::Daemon;
use crate::front::Setup;
use crate::host::Host;

/// The name of the image that every engine under test has.
pub const IMAGE: &str = "busybox";

/// A daemon that runs containers, on a host of its own. What it ran is gone when this is dropped.
pub struct Engine {
    /// The daemon.
    pub daemon: Daemon,
    host: Arc<Host>,
}

/// What docker's command line said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

impl Engine {
    /// Starts one on a new host.
    pub fn start(name: &str) -> Self {
        let host = Arc::new(Host::new(name));
        seed(&host);
        let daemon = Daemon::start_as(&host, Setup { engine: true, ..Setup::default() });
        Self { daemon, host }
    }

    /// The host that it runs on.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// docker's command line, bound to its socket.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.host.exec_root().join("trestle.sock").display()));
        command.env("DOCKER_CONFIG", self.host.folder().join("docker")).args(arguments);
        command
    }

    /// Runs docker's command line.
    pub fn docker(&self, arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        said(self.host.run(|| command.stdin(Stdio::null()).output()))
    }

    /// The same, with something to read.
    pub fn docker_with(&self, input: &str, arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        said(self.host.run(|| {
            let mut child = command.spawn()?;
            child.stdin.take().expect("it is a pipe").write_all(input.as_bytes())?;
            child.wait_with_output()
        }))
    }

    /// What it printed, without the last newline; it has to have succeeded.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let said = self.docker(arguments);
        assert_eq!(said.code, 0, "docker {}: {}", arguments.join(" "), said.err);
        said.out.trim_end().to_owned()
    }

    /// What it complained of; it has to have failed.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let said = self.docker(arguments);
        assert_ne!(said.code, 0, "docker {} was not refused: {}", arguments.join(" "), said.out);
        said.err.trim_end().to_owned()
    }

    /// A field of a container, by docker's template.
    #[track_caller]
    pub fn inspect(&self, container: &str, field: &str) -> String {
        self.ok(&["inspect", "--format", &format!("{{{{{field}}}}}"), container])
    }

    /// Everything that containers have of this host: control groups, mounts, folders, namespaces, monitors.
    pub fn footprint(&self) -> Vec<String> {
        let mut found: Vec<String> =
            groups(&self.host).iter().flat_map(|it| children(it)).map(|it| it.display().to_string()).collect();
        let runtime = self.host.exec_root().join("containers");
        let netns = self.host.exec_root().join("netns");
        found.extend(self.host.run(|| {
            let mounts = fs::read_to_string("/proc/thread-self/mounts").expect("it can be read");
            let ours = mounts.lines().filter(|line| line.contains("overlay ") && line.contains("/containers/"));
            let mut found: Vec<String> = ours.map(str::to_owned).collect();
            for folder in [&runtime, &runtime.join("oci"), &netns] {
                let files = children(folder).into_iter().filter(|file| !file.ends_with("oci"));
                found.extend(files.map(|file| file.display().to_string()));
            }
            found
        }));
        found.sort();
        found
    }
}

fn said(output: std::io::Result<Output>) -> Said {
    let output = output.unwrap_or_else(|error| panic!("running docker: {error}; tests/setup.sh installs it"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

impl Drop for Engine {
    /// Ends every process in its control groups, and removes these.
    fn drop(&mut self) {
        let groups = groups(&self.host);
        let monitors = self.host.run(|| monitors(&self.host.exec_root().join("containers")));
        for group in groups.iter().flat_map(|it| descendants(it)) {
            let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            processes.lines().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw).for_each(kill);
        }
        monitors.into_iter().for_each(kill);
        // A group goes when its last process has gone.
        for group in groups.iter().flat_map(|it| descendants(it)) {
            while group.exists() && fs::remove_dir(&group).is_err() {
                thread::yield_now();
            }
        }
    }
}

fn kill(pid: Pid) {
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => eprintln!("process {pid:?} of a container could not be ended: {error}"),
    }
}

/// The process ids of monitors.
fn monitors(folder: &Path) -> Vec<Pid> {
    let files = children(folder).into_iter().map(|bundle| bundle.join("monitor.pid"));
    files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).filter_map(Pid::from_raw).collect()
}

/// The control group that an engine's containers lie in, in each hierarchy that has it.
fn groups(host: &Host) -> Vec<PathBuf> {
    let name = cgroup_parent(host);
    let root = Path::new("/sys/fs/cgroup");
    let roots = children(root).into_iter().chain([root.to_owned()]);
    roots.map(|root| root.join(name.trim_start_matches('/'))).filter(|group| group.is_dir()).collect()
}

/// The name of that control group.
pub fn cgroup_parent(host: &Host) -> String {
    format!("/{}", host.folder().file_name().expect("it has a name").to_string_lossy())
}

/// A group and all in it, the innermost first.
fn descendants(group: &Path) -> Vec<PathBuf> {
    let inner = children(group).into_iter().filter(|it| it.is_dir());
    inner.flat_map(|it| descendants(&it)).chain([group.to_owned()]).collect()
}

/// What is in a folder; nothing where there is none.
fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Puts the image where the daemon will find it.
fn seed(host: &Host) {
    let root = host.folder().join("busybox");
    for folder in ["bin", "etc", "tmp", "root", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(folder)).expect("a test's folder can be written");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("/bin/busybox is there; tests/setup.sh installs it");
    let applets = Command::new("/bin/busybox").arg("--list").output().expect("busybox can be run");
    for applet in String::from_utf8_lossy(&applets.stdout).lines().filter(|it| *it != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).expect("a test's folder can be written");
    }
    let users =
        [("passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/:/bin/sh\n"), ("group", "root:x:0:\nweb:x:33:\n")];
    users.iter().for_each(|(name, text)| fs::write(root.join("etc").join(name), text).expect("it can be written"));
    let tar = Command::new("tar").arg("-C").arg(&root).args(["-c", "."]).output().expect("tar can be run");
    assert!(tar.status.success(), "{tar:?}");
    let images = Images::open(host.data_root().join("image"), Arc::new(Now)).expect("images can be kept");
    let import = Import {
        platform: Platform::of_this_machine(),
        changes: vec![r#"CMD ["sh"]"#.into()],
        message: String::new(),
        name: Some(IMAGE.parse().expect("it is a name")),
    };
    images.import(&mut tar.stdout.as_slice(), import).expect("busybox is an image");
}

/// The machine's clock.
struct Now;

impl Clock for Now {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, length: Duration) -> Task {
        Box::pin(tokio::time::sleep(length))
    }
}
