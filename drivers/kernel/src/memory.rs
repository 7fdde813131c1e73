//! Memory that was needed once goes back to the system.

use trestle_core::{Error, Result};

/// Has the C library give large blocks of memory back as soon as they are free. By itself it takes the first large
/// block that is freed as a sign that there will be others, and keeps as much from then on; a daemon that published
/// thousands of ports once would stay as large as it was that moment.
///
/// # Errors
/// When the library does not know the settings.
pub fn give_memory_back() -> Result<()> {
    // Other C libraries don't keep it.
    #[cfg(target_env = "gnu")]
    for setting in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        /// From this many bytes on, a block of memory is a mapping of its own. It is where glibc starts, too.
        const LARGE: libc::c_int = 128 << 10;
        // SAFETY: it sets a number, and takes the lock of the allocator to do it.
        if unsafe { libc::mallopt(setting, LARGE) } != 1 {
            return Err(Error::unsupported("the C library does not let itself be told when to give memory back"));
        }
    }
    Ok(())
}
