//! The size of a terminal's window.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use trestle_core::{Error, Result};

/// conmon's word for a new size (`WIN_RESIZE_EVENT`).
const RESIZE: u8 = 1;

/// Tells the monitor whose files lie in a folder how large the window is, in letters.
///
/// # Errors
/// `Conflict` where no monitor listens.
pub fn resize(folder: &Path, height: u16, width: u16) -> Result<()> {
    let path = folder.join("ctl");
    let tell = |file: OwnedFd| File::from(file).write_all(format!("{RESIZE} {height} {width}\n").as_bytes());
    // Without a reader it would wait for one.
    match open(&path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => tell(file).map_err(|cause| Error::internal(format!("writing {}: {cause}", path.display()))),
        Err(cause) => Err(Error::conflict(format!("cannot resize: its monitor does not listen: {cause}"))),
    }
}
