//! A network namespace, and running code in it.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{panic, thread};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// A network namespace that stays as long as this does, with the mounts that code in it shall see.
///
/// A socket belongs to the namespace in which it was made, whatever thread uses it later.
#[derive(Clone, Debug)]
pub struct Namespace {
    network: Arc<OwnedFd>,
    mounts: Option<Arc<OwnedFd>>,
}

impl Namespace {
    /// That of the calling thread, mounts included.
    pub fn current() -> Self {
        let open = |kind: &str| {
            let path = format!("/proc/thread-self/ns/{kind}");
            Arc::new(File::open(path).expect("a thread's own namespaces can be opened").into())
        };
        Self { network: open("net"), mounts: Some(open("mnt")) }
    }

    /// A new one with nothing but a loopback link that is down; the mounts are whatever the user of it has.
    pub fn fresh() -> Self {
        let made = thread::spawn(|| {
            unshare(UnshareFlags::NEWNET);
            Self { mounts: None, ..Self::current() }
        });
        made.join().expect("a new network namespace can be made")
    }

    /// The one that this file stands for, with the mounts that the calling thread sees.
    pub fn at(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("opening the namespace {}: {error}", path.display()));
        Self { network: Arc::new(file.into()), mounts: None }
    }

    /// A path that stands for it in every mount namespace, as long as this value lives.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.network.as_raw_fd()).into()
    }

    /// Runs it on a thread in here, and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter();
            work()
        };
        thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(answer) => answer,
            Err(cause) => panic::resume_unwind(cause),
        })
    }

    /// Moves the calling thread in here for good.
    pub fn enter(&self) {
        if let Some(mounts) = &self.mounts {
            unshare(UnshareFlags::FS);
            move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))
                .expect("a test may enter its own mount namespaces");
        }
        move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("a test may enter its own network namespaces");
    }

    /// Runs a program in here to its end; what it printed, or what went wrong.
    pub fn try_output(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.run(|| Command::new(program).args(arguments).output());
        let output = output.map_err(|error| format!("running {program}: {error}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!(
                "{program} {}: {}: {}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    }

    /// Runs a program in here that must succeed; what it printed.
    pub fn output(&self, program: &str, arguments: &[&str]) -> String {
        self.try_output(program, arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs `ip` in here, its arguments as a person types them.
    pub fn ip(&self, arguments: &str) -> String {
        self.output("ip", &arguments.split_whitespace().collect::<Vec<_>>())
    }
}

/// Gives the calling thread namespaces of its own.
pub(crate) fn unshare(flags: UnshareFlags) {
    try_unshare(flags).unwrap_or_else(|error| panic!("making namespaces ({flags:?}): {error}"));
}

/// The same for whoever wants to know whether it may be done.
#[allow(unsafe_code, reason = "the kernel's door to namespaces is marked unsafe")]
pub(crate) fn try_unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    assert!(!flags.contains(UnshareFlags::FILES), "file descriptors are shared by all threads");
    // SAFETY: only the table of file descriptors would be unsafe to take away from a thread; see the assertion.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privileges;

    #[test]
    fn code_runs_in_the_namespace_that_it_is_sent_to() {
        privileges::obtain(|| {
            let (here, there) = (Namespace::fresh(), Namespace::fresh());
            here.ip("link add marker type bridge");
            assert!(here.try_output("ip", &["link", "show", "marker"]).is_ok());
            assert!(there.try_output("ip", &["link", "show", "marker"]).is_err());
            assert!(Namespace::at(&here.path()).try_output("ip", &["link", "show", "marker"]).is_ok());
        });
    }
}
