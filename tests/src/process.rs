//! A program that a test runs in a host, and ends by its process id.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

/// A running program. It is killed when this is dropped, and when the thread that started it ends, however that ends.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it on the calling thread, which has to live as long as the program shall. What it prints goes to `log`.
    #[allow(unsafe_code, reason = "what happens between fork and exec is marked unsafe")]
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a test's folder can be written");
        let again = file.try_clone().expect("a file can be held twice");
        command.stdin(Stdio::null()).stdout(file).stderr(again);
        let follow = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
        // SAFETY: between fork and exec it makes one system call and nothing else.
        unsafe { command.pre_exec(follow) };
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it printed up to now.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as a power cut would (`SIGKILL`), and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("a process of ours can be killed");
        self.child.wait().expect("a process of ours can be waited for");
    }

    /// Waits until it has ended of itself.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("a process of ours can be waited for")
    }

    /// Asks it to end (`SIGTERM`), and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("a process of ours can be signalled");
        self.child.wait().expect("a process of ours can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("process {} could not be ended: {error}", self.pid());
        }
        if thread::panicking() {
            eprintln!("--- what process {} printed:\n{}", self.pid(), self.printed());
        }
    }
}
