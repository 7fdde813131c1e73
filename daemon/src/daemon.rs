//! The life of `trestled`: from its flags to its end.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use rustix::fs::FlockOperation;
use sd_notify::NotifyState;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{RwLock, watch};
use tracing::level_filters::LevelFilter;

use trestle_core::controller::Controller;
use trestle_core::{Doing, Error, Result, failpoint};
use trestle_kernel::dying;

use crate::api::app::{About, App};
use crate::api::model::system::Version;
use crate::config::{Flags, LogLevel, Settings};
use crate::metrics::Metrics;
use crate::names::Names;
use crate::serve::Limits;
use crate::{api, assemble, docker, roots, serve, tls};

/// Runs the daemon until it is told to stop.
pub fn main(flags: Flags) -> ExitCode {
    #[cfg(feature = "failpoints")]
    {
        if flags.list_failpoints {
            crate::failpoint::list();
            return ExitCode::SUCCESS;
        }
        crate::failpoint::obey();
    }
    let validate = flags.validate;
    let settings = match Settings::load(flags).and_then(check_parts) {
        Ok(settings) => settings,
        Err(faults) => {
            for fault in faults.lines() {
                eprintln!("trestled: {fault}");
            }
            return ExitCode::from(2);
        }
    };
    if validate {
        settings.idle_notes().for_each(|note| eprintln!("trestled: {note}"));
        println!("configuration OK");
        return ExitCode::SUCCESS;
    }
    start_logging(settings.log_level);
    settings.idle_notes().for_each(|note| tracing::warn!("{note}"));
    let (runtime, relay) = match runtimes() {
        Ok(runtimes) => runtimes,
        Err(error) => {
            tracing::error!(%error, "the runtime could not be started");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(settings, relay.handle()));
    // What still hangs in a thread of its own may be why the person is impatient.
    runtime.shutdown_background();
    relay.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One thread for requests, which do little but wait for the kernel: to hand one from thread to thread would cost more
/// than it is worked on. What is relayed on behalf of held ports has threads of its own, and keeps no request waiting.
fn runtimes() -> std::io::Result<(Runtime, Runtime)> {
    let requests = Builder::new_current_thread().enable_all().build()?;
    let relay = Builder::new_multi_thread().thread_name("trestle-relay").enable_all().build()?;
    Ok((requests, relay))
}

/// What can be told of the settings' parts without starting.
fn check_parts(settings: Settings) -> Result<Settings, String> {
    settings.tls.as_ref().map(tls::server).transpose().map_err(|error| error.to_string())?;
    assemble::default_pools(&settings, 0).map_err(|error| error.to_string())?;
    Ok(settings)
}

async fn run(settings: Settings, relay: &Handle) -> Result<()> {
    let mut signals = Signals::new()?;
    roots::make(&settings, serve::socket_group(settings.group.as_deref())?)?;
    let pidfile = tokio::select! {
        claimed = claim(settings.pidfile.clone()) => claimed?,
        name = signals.next() => return Err(Error::unavailable(format!("{name}: ended before it was begun"))),
    };
    failpoint!("daemon.pidfile-claimed");
    let tls = settings.tls.as_ref().map(tls::server).transpose()?;
    // Sockets first: who calls while the kernel is put in order waits, and another daemon's socket stops us before it.
    let listeners = serve::bind(&settings, tls)?;
    let hosts: Vec<String> = listeners.iter().map(ToString::to_string).collect();
    failpoint!("daemon.sockets-bound");
    let metrics = Arc::new(Metrics::new());
    let names = assemble::names(&settings, relay, metrics.clone())?;
    let controller = assemble::controller(&settings, relay, Arc::clone(&names)).await?;
    failpoint!("daemon.controller-opened");
    names.sweep().await;

    let (stop, stopping) = watch::channel(false);
    let app = app(&settings, controller.clone(), names, metrics, stopping.clone());
    let work = Arc::clone(&app.work);
    let router = router(&settings, app).await?;
    failpoint!("daemon.engine-opened");
    let keeping = tokio::spawn(async move { controller.run().await });
    let serving = tokio::spawn(serve::serve(listeners, router, Limits::default(), stopping));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), hosts = hosts.join(" "), "ready");
    tell_manager(&[NotifyState::Ready]);

    let name = signals.next().await;
    tracing::info!("{name}: stopping; sandboxes stay as they are");
    tell_manager(&[NotifyState::Stopping]);
    stop.send_replace(true);
    let finish = async {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the accept loops broke off");
        }
        // What was asked for by callers who hung up is under way still.
        drop(work.write().await);
    };
    let finished = tokio::select! {
        () = finish => Ok(()),
        name = signals.next() => Err(Error::unavailable(format!("{name} again: ended before everything was finished"))),
    };
    keeping.abort();
    drop(pidfile);
    finished
}

/// Claims the pidfile on a thread that may wait.
async fn claim(pidfile: PathBuf) -> Result<Pidfile> {
    let claiming = tokio::task::spawn_blocking(move || Pidfile::claim(&pidfile));
    claiming.await.map_err(|error| Error::internal(format!("claiming the pidfile: {error}")))?
}

/// Our own API and, where containers are run, Docker's.
async fn router(settings: &Settings, app: App) -> Result<Router> {
    let (ours, _) = api::router(app.clone());
    if !settings.engine {
        return Ok(ours);
    }
    let engine = assemble::engine(settings, app.controller).await?;
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let about = docker::app::About {
        version: env!("CARGO_PKG_VERSION").into(),
        kernel: text(system.release()),
        machine: text(system.machine()),
        hostname: text(system.nodename()),
        data_root: settings.data_root.clone(),
        debug: settings.log_level == LogLevel::Debug,
    };
    let docker = docker::app::App { engine, about: Arc::new(about), stopping: app.stopping, work: app.work };
    Ok(docker::beside(ours, docker))
}

fn app(
    settings: &Settings,
    controller: Controller,
    names: Arc<Names>,
    metrics: Arc<Metrics>,
    stopping: watch::Receiver<bool>,
) -> App {
    let version = Version {
        version: env!("CARGO_PKG_VERSION").into(),
        api: "v1".into(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        architecture: std::env::consts::ARCH.into(),
        pid: std::process::id(),
        data_root: settings.data_root.display().to_string(),
        exec_root: settings.exec_root.display().to_string(),
    };
    let about =
        About { version, mtu: settings.mtu, script: assemble::script(settings.firewall), can_hold: assemble::can_hold };
    App { controller, about: Arc::new(about), names, metrics, stopping, work: Arc::new(RwLock::new(())) }
}

fn start_logging(level: LogLevel) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Fatal => LevelFilter::ERROR,
    };
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_max_level(level).with_ansi(terminal).with_writer(std::io::stderr).init();
}

/// Tells the service manager, where there is one.
fn tell_manager(news: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(news) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// The signals that stop the daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| Error::internal(format!("listening for signals: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The file that tells the daemon's process id. A lock on it says that the daemon lives: a number alone may be another
/// process's by now.
struct Pidfile {
    path: PathBuf,
    _locked: File,
}

impl Pidfile {
    /// Claims it; of a daemon that is dying the end is waited for.
    fn claim(path: &Path) -> Result<Self> {
        let doing = || format!("claiming the pidfile {}", path.display());
        let failed = |error: std::io::Error| Error::internal(error.to_string());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed).doing(doing)?;
        }
        let mut outlived = None;
        let mut file = loop {
            let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
            let file = opened.map_err(failed).doing(doing)?;
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                let other = std::fs::read_to_string(path).unwrap_or_default();
                let holder = other.trim().parse().ok();
                if let Some(process) = holder.filter(|_| holder != outlived)
                    && dying::outlive(process).map_err(failed).doing(doing)?
                {
                    outlived = holder;
                    continue;
                }
                let cause = format!(
                    "process {} holds it; stop that daemon, or give this one its own --exec-root and --data-root",
                    other.trim()
                );
                return Err(Error::conflict(cause)).doing(doing);
            }
            // Between opening and locking, its last owner may have removed it: then the lock is on nothing.
            let locked = file.metadata().map_err(failed).doing(doing)?;
            if std::fs::metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino())) {
                break file;
            }
        };
        let written = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()));
        written.map_err(failed).doing(doing)?;
        Ok(Self { path: path.to_owned(), _locked: file })
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the pidfile could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfile_has_one_owner_and_a_dead_one_is_taken_over() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("sub/x.pid");
        let first = Pidfile::claim(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), std::process::id().to_string());
        let refusal = Pidfile::claim(&path).err().unwrap().to_string();
        assert!(refusal.contains(&format!("process {} holds it", std::process::id())), "{refusal}");
        drop(first);
        assert!(!path.exists());
        std::fs::write(&path, "999999999 and more\n").unwrap();
        let second = Pidfile::claim(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), std::process::id().to_string());
        drop(second);
    }
}
