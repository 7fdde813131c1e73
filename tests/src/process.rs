//! A program that a test runs in a host, and ends by its process id.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

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

    /// Kills it, and keeps it from going: it holds what it held, as one does that has much to tidy up.
    #[allow(unsafe_code, reason = "there is no other way to stop a process in its end")]
    pub(crate) fn kill_slowly(self) -> Dying {
        const NOTHING: *const libc::c_void = std::ptr::null();
        let pid = self.pid().cast_signed();
        let ask = move |what, how: libc::c_int| {
            // SAFETY: nothing is read or written by way of these arguments.
            let answer =
                unsafe { libc::ptrace(what, pid, NOTHING, NOTHING.wrapping_add(how.cast_unsigned() as usize)) };
            assert_eq!(answer, 0, "tracing a process of ours: {}", std::io::Error::last_os_error());
        };
        let ((stopped, is_stopped), (release, released)) = (channel(), channel());
        // Only the thread that traces it can let it go, and does so when it ends.
        let tracer = thread::spawn(move || {
            ask(libc::PTRACE_SEIZE, libc::PTRACE_O_TRACEEXIT);
            kill_process(Pid::from_raw(pid).expect("it has a number"), Signal::KILL).expect("it can be killed");
            // SAFETY: no status is asked for.
            let waited = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
            assert_eq!(waited, pid, "{}", std::io::Error::last_os_error());
            stopped.send(()).expect("somebody waits");
            if released.recv().is_ok() {
                ask(libc::PTRACE_CONT, 0);
            }
        });
        is_stopped.recv().expect("it can be stopped in its end");
        Dying { process: self, tracer, release }
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

/// A process that was killed and is not gone.
pub struct Dying {
    // First, so that it goes when this is dropped, and can be waited for then.
    release: Sender<()>,
    tracer: JoinHandle<()>,
    process: Process,
}

impl Dying {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Lets it go.
    pub fn release(self) {
        self.release.send(()).expect("the tracer waits");
        self.tracer.join().expect("the tracer does not panic");
        self.process.wait();
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
