//! How a test orders the daemon to die at a point: by a file that holds a number, which each point passed counts down.
//!
//! At the last one the file gets the point's name in the number's stead, and the process kills itself, as `kill -9`
//! would: nothing is written, tidied or answered any more. As long as there is no file, nothing happens.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};

use rustix::process::{Signal, getpid, kill_process};
use trestle_core::failpoint;

/// The environment variable with the path of the order.
pub const ORDER: &str = "TRESTLE_FAILPOINT_ORDER";

/// Follows orders, if there is a place for them.
pub fn obey() {
    if std::env::var_os(ORDER).is_some() {
        failpoint::at_each(count);
    }
}

/// Prints every point, a line each.
pub fn list() {
    failpoint::names().iter().for_each(|name| println!("{name}"));
}

fn count(name: &'static str) {
    if let Some(order) = std::env::var_os(ORDER) {
        count_down(&order, name).expect("an order can be read and written");
    }
}

/// The lock is let go by the process's death, if that is now: whoever takes the order back knows which came first.
fn count_down(order: &OsStr, name: &str) -> io::Result<()> {
    let mut order = match File::options().read(true).write(true).open(order) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    order.lock()?;
    let mut text = String::new();
    order.read_to_string(&mut text)?;
    // Taken back, or carried out by an earlier process.
    let Ok(left) = text.parse::<u64>() else { return Ok(()) };
    order.set_len(0)?;
    order.rewind()?;
    match left {
        0 | 1 => {
            order.write_all(name.as_bytes())?;
            Ok(kill_process(getpid(), Signal::KILL)?)
        }
        left => write!(order, "{}", left - 1),
    }
}
