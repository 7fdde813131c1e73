//! Who may make namespaces, and what is done when the user may not.
//!
//! Root simply may. Anybody else gets a user namespace first, in which he is root over what is made there: the test's
//! program is started again in it, for that one test. Where that is not allowed either, or a tool is missing, the
//! test fails and says what to do.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs, io, thread};

use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

use crate::namespace::try_unshare;

/// Set for a program that was started again, so that it is not a third time.
const AGAIN: &str = "TRESTLE_TESTS_IN_USER_NAMESPACE";

/// The tools that tests run, with Debian's package.
const TOOLS: [(&str, &str); 4] =
    [("ip", "iproute2"), ("nft", "nftables"), ("iptables", "iptables"), ("conntrack", "conntrack")];

/// What a person without the right to namespaces can do.
pub const ADVICE: &str = "These tests make network namespaces. Run them as root, or allow user namespaces: \
`sysctl -w user.max_user_namespaces=10000`, on Debian also `sysctl -w kernel.unprivileged_userns_clone=1`, \
on Ubuntu also `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`; in a container, `--privileged`.";

/// Runs the body of the calling test with the right to make namespaces.
///
/// # Panics
/// With what to install or to enable, when it can't be had. Otherwise as the body does.
pub fn obtain(body: impl FnOnce()) {
    require_tools();
    if may_make_namespaces() {
        return body();
    }
    assert!(env::var_os(AGAIN).is_none(), "even in a user namespace no network namespace can be made. {ADVICE}");
    let test = thread::current().name().expect("the test runner names its threads after the tests").to_owned();
    let program = env::current_exe().expect("a program can find itself");
    let status = in_user_namespace(Command::new(program).args(["--exact", &test, "--nocapture"])).status();
    let status = status.unwrap_or_else(|error| panic!("making a user namespace: {error}. {ADVICE}"));
    assert!(status.success(), "{test} failed in its user namespace: {status}");
}

/// The command, in a user namespace where it is root.
#[allow(unsafe_code, reason = "what happens between fork and exec is marked unsafe")]
pub fn in_user_namespace(command: &mut Command) -> &mut Command {
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {} 1", geteuid().as_raw())),
        ("/proc/self/gid_map", format!("0 {} 1", getegid().as_raw())),
    ];
    let enter = move || {
        try_unshare(UnshareFlags::NEWUSER)?;
        maps.iter()
            .try_for_each(|(path, text)| fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes()))
    };
    // SAFETY: between fork and exec it makes system calls only; the paths are short enough not to be allocated.
    unsafe { command.env(AGAIN, "1").pre_exec(enter) }
}

/// Whether namespaces can be made right here: it is tried.
pub fn may_make_namespaces() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| {
        let tried = thread::spawn(|| try_unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS));
        match tried.join().expect("trying does not panic") {
            Ok(()) => true,
            Err(error) if error == rustix::io::Errno::PERM => false,
            Err(error) => panic!("making namespaces: {error}. {ADVICE}"),
        }
    })
}

/// Every tool is there.
///
/// # Panics
/// With the packages that hold the missing ones.
fn require_tools() {
    static MISSING: OnceLock<Vec<&str>> = OnceLock::new();
    let missing = MISSING.get_or_init(|| {
        let lacks = |tool: &str| {
            let tried = Command::new(tool).arg("--version").output();
            matches!(tried, Err(error) if error.kind() == io::ErrorKind::NotFound)
        };
        TOOLS.iter().filter(|(tool, _)| lacks(tool)).map(|(_, package)| *package).collect()
    });
    assert!(missing.is_empty(), "tests need tools that are not here. On Debian: apt-get install {}", missing.join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_user_namespace_can_make_network_namespaces() {
        let mut command = Command::new("ip");
        let output = in_user_namespace(command.arg("link")).output();
        let output = output.unwrap_or_else(|error| panic!("making a user namespace: {error}. {ADVICE}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
