//! The monitor: one conmon a container. It is the container's parent, holds its streams, writes its log, and tells its
//! end in a file, whether this daemon lives or not.
//!
//! Source of its protocol: <https://github.com/containers/conmon>, `src/conmon.c`, versions from 2.1.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Deserialize;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::unix::pipe::{Receiver, Sender};
use trestle_core::id::ContainerId;
use trestle_core::{Doing, Error, Result, failpoint};

use super::oci::{Oci, reason};
use crate::readiness::watched;

/// The files of conmon's protocol, which we choose the numbers of.
const SYNC: i32 = 3;
const START: i32 = 4;
const ATTACH: i32 = 5;

/// The monitor's program.
#[derive(Clone, Debug)]
pub struct Monitor {
    program: PathBuf,
    oci: Oci,
}

/// What a monitor is to make.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// The container.
    pub id: ContainerId,
    /// Its bundle, with the `config.json`. The monitor's own files lie in it too.
    pub bundle: &'a Path,
    /// Whether its streams are a terminal.
    pub terminal: bool,
    /// Whether it has an input.
    pub stdin: bool,
    /// Whether its input stays open when the one who was attached to it ends it.
    pub leave_stdin_open: bool,
    /// Where its output is kept; `None` keeps nothing.
    pub log: Option<&'a Path>,
    /// After how many bytes the log begins anew.
    pub log_size: Option<u64>,
}

/// What a monitor has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The container's first process, as the host sees it.
    pub pid: u32,
    /// The monitor's own process.
    pub monitor: u32,
}

/// What a monitor says, one object a line.
#[derive(Deserialize)]
struct Said {
    /// A process id or exit code; negative where something failed.
    data: i32,
    message: Option<String>,
}

impl Monitor {
    /// That program, for containers of this runtime.
    pub fn new(program: PathBuf, oci: Oci) -> Self {
        Self { program, oci }
    }

    /// Makes a container, which waits to be started.
    ///
    /// # Errors
    /// `Internal`, with the runtime's sentence. Something of the container may be there still.
    pub async fn create(&self, launch: &Launch<'_>) -> Result<Made> {
        let mut command = self.command(launch.id, launch.bundle);
        command.arg("--exit-dir").arg(launch.bundle).arg("--persist-dir").arg(launch.bundle);
        command.arg("--conmon-pidfile").arg(pidfile(launch.bundle)).arg("--full-attach");
        command.arg("--container-pidfile").arg(launch.bundle.join("container.pid"));
        match launch.log {
            Some(path) => command.arg("--log-path").arg(k8s_file(path)),
            None => command.arg("--log-path").arg("none"),
        };
        if let Some(bytes) = launch.log_size {
            command.arg("--log-size-max").arg(bytes.to_string());
        }
        if launch.terminal {
            command.arg("--terminal");
        }
        if launch.stdin {
            command.arg("--stdin");
        }
        if launch.stdin && launch.leave_stdin_open {
            command.arg("--leave-stdin-open");
        }
        let mut conversation = Conversation::begin(command, false).doing(|| "starting conmon")?;
        failpoint!("engine.monitor-started");
        conversation.go_on().await?;
        let pid = conversation.hear().await?;
        failpoint!("engine.container-made");
        let monitor = read_pid(&pidfile(launch.bundle))?;
        Ok(Made { pid: positive(pid)?, monitor })
    }

    /// Starts another process in a container; who shall hear it connects to the socket in `folder` once this is back.
    ///
    /// # Errors
    /// `Internal`, with the runtime's sentence.
    pub async fn exec(&self, id: ContainerId, exec: &ExecLaunch<'_>) -> Result<Executing> {
        let mut command = self.command(id, exec.folder);
        command.arg("--exec").arg("--exec-process-spec").arg(exec.process);
        command.arg("--exit-dir").arg(exec.folder).arg("--full-attach").arg("--log-path").arg("none");
        command.arg("--container-pidfile").arg(exec.folder.join("container.pid"));
        if exec.attach {
            command.arg("--exec-attach");
        }
        if exec.terminal {
            command.arg("--terminal");
        }
        if exec.stdin {
            command.arg("--stdin");
        }
        let mut conversation = Conversation::begin(command, exec.attach).doing(|| "starting conmon")?;
        conversation.go_on().await?;
        Ok(Executing { conversation })
    }

    fn command(&self, id: ContainerId, bundle: &Path) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        let id = id.to_string();
        command.args(["--api-version", "1", "--cid", &id, "--cuuid", &id, "--name", &id, "--no-new-keyring"]);
        command.arg("--runtime").arg(self.oci.program()).arg("--bundle").arg(bundle);
        command.args(["--runtime-arg", "--root", "--runtime-arg"]).arg(self.oci.root());
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
        command
    }
}

/// Another process in a container.
#[derive(Clone, Debug)]
pub struct ExecLaunch<'a> {
    /// Where the monitor's files are to lie: the socket `attach` among them.
    pub folder: &'a Path,
    /// The file that describes the process.
    pub process: &'a Path,
    /// Whether somebody attaches before it begins.
    pub attach: bool,
    /// Whether its streams are a terminal.
    pub terminal: bool,
    /// Whether it has an input.
    pub stdin: bool,
}

/// Another process in a container, on its way.
pub struct Executing {
    conversation: Conversation,
}

impl Executing {
    /// Waits until it may be attached to.
    ///
    /// # Errors
    /// `Internal` where the monitor broke off.
    pub async fn attachable(&mut self) -> Result<()> {
        self.conversation.hear_attach().await
    }

    /// Lets it begin, once whoever shall hear it is attached; its process id.
    ///
    /// # Errors
    /// `Internal`, with the runtime's sentence.
    pub async fn begin(&mut self, attached: bool) -> Result<u32> {
        if attached {
            self.conversation.go_on().await?;
        }
        positive(self.conversation.hear().await?)
    }

    /// Waits for its exit code.
    ///
    /// # Errors
    /// `Internal` where the monitor broke off.
    pub async fn end(&mut self) -> Result<i32> {
        self.conversation.hear().await
    }
}

/// A monitor's pipes: it is told when to go on, and says what it did.
struct Conversation {
    started: tokio::task::JoinHandle<io::Result<Output>>,
    start: Option<Sender>,
    sync: BufReader<Receiver>,
    attach: Option<BufReader<Receiver>>,
    complaint: Option<String>,
}

impl Conversation {
    fn begin(mut command: std::process::Command, attach: bool) -> Result<Self> {
        let broken = |cause: io::Error| Error::internal(cause.to_string());
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|cause| broken(cause.into()));
        let (sync, theirs) = pipe()?;
        let (their_start, start) = pipe()?;
        let mut files = vec![mapped(theirs, SYNC), mapped(their_start, START)];
        command.env("_OCI_SYNCPIPE", SYNC.to_string()).env("_OCI_STARTPIPE", START.to_string());
        let mut heard = None;
        if attach {
            let (ours, theirs) = pipe()?;
            files.push(mapped(theirs, ATTACH));
            command.env("_OCI_ATTACHPIPE", ATTACH.to_string());
            heard = Some(BufReader::new(Receiver::from_owned_fd(ours).map_err(broken)?));
        }
        command.fd_mappings(files).map_err(|error| Error::internal(error.to_string()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = tokio::process::Command::from(command).spawn().map_err(broken)?;
        Ok(Self {
            started: tokio::spawn(child.wait_with_output()),
            start: Some(Sender::from_owned_fd(start).map_err(broken)?),
            sync: BufReader::new(Receiver::from_owned_fd(sync).map_err(broken)?),
            attach: heard,
            complaint: None,
        })
    }

    /// The first word lets it run the runtime, the second, for exec, lets the process begin.
    async fn go_on(&mut self) -> Result<()> {
        let start = self.start.as_mut().expect("it is kept as long as the conversation");
        match start.write_all(&[0]).await {
            // It ended; what it says, or does not say, tells more.
            Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|cause| Error::internal(format!("telling conmon to go on: {cause}"))),
        }
    }

    /// The next number that it says.
    async fn hear(&mut self) -> Result<i32> {
        let mut line = String::new();
        let read = self.sync.read_line(&mut line).await;
        read.map_err(|cause| Error::internal(format!("listening to conmon: {cause}")))?;
        if line.is_empty() {
            return Err(self.silence().await);
        }
        let said: Said = serde_json::from_str(&line)
            .map_err(|error| Error::internal(format!("conmon said {line:?}, which is no message: {error}")))?;
        match said.message {
            Some(message) if said.data < 0 => Err(Error::internal(reason(&message))),
            _ => Ok(said.data),
        }
    }

    async fn hear_attach(&mut self) -> Result<()> {
        let Some(attach) = self.attach.as_mut() else { return Ok(()) };
        let mut line = String::new();
        let read = attach.read_line(&mut line).await;
        read.map_err(|cause| Error::internal(format!("listening to conmon: {cause}")))?;
        if line.is_empty() { self.hear().await.map(drop) } else { Ok(()) }
    }

    /// It ended without a word.
    async fn silence(&mut self) -> Error {
        if self.complaint.is_none() {
            self.complaint = Some(match (&mut self.started).await {
                Ok(Ok(output)) => format!("{}; {}", output.status, reason(&String::from_utf8_lossy(&output.stderr))),
                Ok(Err(cause)) => cause.to_string(),
                Err(broken) => broken.to_string(),
            });
        }
        Error::internal(format!("conmon ended without a word: {}", self.complaint.as_deref().unwrap_or_default()))
    }
}

fn mapped(parent_fd: OwnedFd, child_fd: i32) -> FdMapping {
    FdMapping { parent_fd, child_fd }
}

fn positive(pid: i32) -> Result<u32> {
    match u32::try_from(pid) {
        Ok(pid @ 1..) => Ok(pid),
        _ => Err(Error::internal(format!("conmon said {pid}, which is no process"))),
    }
}

fn k8s_file(path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from("k8s-file:");
    text.push(path);
    text
}

/// Where a monitor writes its own process id.
pub fn pidfile(bundle: &Path) -> PathBuf {
    bundle.join("monitor.pid")
}

fn read_pid(path: &Path) -> Result<u32> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|cause| Error::internal(format!("reading {}: {cause}", path.display())))?;
    text.trim().parse().map_err(|_| Error::internal(format!("{}: {text:?} is no process", path.display())))
}

/// How a container ended, as its monitor told it; `None` where it told nothing.
///
/// # Errors
/// `Internal`, with the path.
pub fn end(bundle: &Path, id: ContainerId) -> Result<Option<End>> {
    let path = bundle.join(id.to_string());
    let text = match fs::read_to_string(&path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|cause| Error::internal(format!("reading {}: {cause}", path.display())))?,
    };
    let written = fs::metadata(&path).and_then(|about| about.modified());
    let at = written.map_err(|cause| Error::internal(format!("reading {}: {cause}", path.display())))?;
    let code = text.trim().parse();
    let code = code.map_err(|_| Error::internal(format!("{}: {text:?} is no exit code", path.display())))?;
    Ok(Some(End { code, at, oom_killed: bundle.join("oom").exists() }))
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its exit code.
    pub code: i32,
    /// When.
    pub at: std::time::SystemTime,
    /// Whether it was killed for want of memory.
    pub oom_killed: bool,
}

/// A process that can't be taken for another when its number is used again.
#[derive(Debug)]
pub struct Process(AsyncFd<OwnedFd>);

impl Process {
    /// The process of that number; `None` where there is none.
    ///
    /// # Errors
    /// `Internal` where the kernel refuses.
    pub fn open(pid: u32) -> Result<Option<Self>> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(raw) = raw else { return Ok(None) };
        let refused = |cause: io::Error| Error::internal(format!("watching process {pid}: {cause}"));
        match pidfd_open(raw, PidfdFlags::NONBLOCK) {
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(cause) => Err(refused(cause.into())),
            Ok(file) => watched(file, Interest::READABLE).map(|file| Some(Self(file))).map_err(refused),
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// `Internal` where the kernel refuses.
    pub async fn ended(&self) -> Result<()> {
        let ready = self.0.readable().await;
        ready.map(drop).map_err(|cause| Error::internal(format!("watching a process: {cause}")))
    }

    /// Sends a signal; whether it was there still.
    ///
    /// # Errors
    /// `Internal` where the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        match pidfd_send_signal(self.0.as_fd(), signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(cause) => Err(Error::internal(format!("sending {signal:?}: {cause}"))),
        }
    }
}

/// Whether a process is the monitor of a container: its command line names both.
pub fn is_monitor(pid: u32, id: ContainerId) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let id = id.to_string();
    let mut words = command.split(|byte| *byte == 0);
    let is_conmon = words.next().is_some_and(|word| word.ends_with(b"conmon"));
    is_conmon && words.any(|word| word == id.as_bytes())
}

/// Ends whatever a daemon that died has left at work for a container: its monitor, and a runtime that makes it still.
///
/// # Errors
/// `Internal` where the kernel refuses.
pub async fn end_leftovers(id: ContainerId) -> Result<()> {
    let id = id.to_string();
    let processes = fs::read_dir("/proc").map_err(|cause| Error::internal(format!("reading /proc: {cause}")))?;
    for entry in processes.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(process) = Process::open(pid)? else { continue };
        // Looked at once it is held: by then the number is no other's.
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
        let is_ours =
            words.first().is_some_and(|it| [&b"conmon"[..], b"runc", b"crun"].iter().any(|name| it.ends_with(name)));
        if is_ours && words.contains(&id.as_bytes()) && process.signal(Signal::KILL)? {
            process.ended().await?;
        }
    }
    Ok(())
}
