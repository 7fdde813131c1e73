//! Processes that are on their way out: what they hold is free in a moment, and that moment can be waited for.

use std::fs;
use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// `SIGKILL` in the masks of `/proc/PID/status`. It stands there until the process is gone.
const KILLED: u64 = 1 << 8;

/// The last field of `/proc/PID/stat` counted from the one behind the name: with what it ends, as soon as that is settled.
const EXIT_CODE: usize = 49;

/// Waits until a process has ended, if it is dying already; then it holds nothing any more. Whether it has: false, at
/// once, of one that lives.
pub fn outlive(process: u32) -> io::Result<bool> {
    let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else { return Ok(false) };
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(Errno::SRCH) => return Ok(true),
        Err(cause) => return Err(cause.into()),
    };
    let mut end = [PollFd::new(&handle, PollFlags::IN)];
    // It may have ended between the two looks, and its number may be another's by then: the handle is not.
    let has_ended = poll(&mut end, Some(&rustix::event::Timespec::default()))? > 0;
    if !has_ended && !is_dying(process)? {
        return Ok(poll(&mut end, Some(&rustix::event::Timespec::default()))? > 0);
    }
    tracing::info!(process, "waiting for a dying process to be gone");
    loop {
        match poll(&mut end, None) {
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
}

fn is_dying(process: u32) -> io::Result<bool> {
    let gone = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => Ok(String::new()),
        _ => Err(error),
    };
    let status = fs::read_to_string(format!("/proc/{process}/status")).or_else(gone)?;
    let mask = |field: &str| {
        let text = status.lines().find_map(|line| line.strip_prefix(field))?;
        u64::from_str_radix(text.trim(), 16).ok()
    };
    let is_killed = ["SigPnd:", "ShdPnd:"].into_iter().filter_map(mask).any(|pending| pending & KILLED != 0);
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).or_else(gone)?;
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace());
    let exit_code = fields.and_then(|mut fields| fields.nth(EXIT_CODE)?.parse::<i32>().ok());
    Ok(is_killed || exit_code.is_some_and(|code| code != 0))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn who_lives_is_not_waited_for_and_who_is_gone_is_known_to_be() {
        assert!(!outlive(std::process::id()).unwrap());
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        assert!(!outlive(child.id()).unwrap());
        child.kill().unwrap();
        assert!(outlive(child.id()).unwrap(), "not waited for by its parent yet");
        child.wait().unwrap();
        assert!(outlive(child.id()).unwrap());
    }
}
