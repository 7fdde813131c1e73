//! Devices of the host that a container may use, and how fast it may use its disks.

use std::fmt;
use std::str::FromStr;

use trestle_core::{Error, Result};

use super::go::{as_text, letter};

letter! {
    /// A device, or a folder whose devices are all meant.
    pub struct Device {
        /// The path on the host.
        path_on_host: String = "PathOnHost",
        /// The path in the container; empty is that on the host.
        path_in_container: String = "PathInContainer",
        /// What may be done with it.
        permissions: DevicePermissions = "CgroupPermissions",
    }
}

/// Any of `r` (read), `w` (write) and `m` (mknod).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicePermissions {
    /// Reading.
    pub read: bool,
    /// Writing.
    pub write: bool,
    /// Making the node.
    pub mknod: bool,
}

impl Default for DevicePermissions {
    fn default() -> Self {
        Self { read: true, write: true, mknod: true }
    }
}

impl FromStr for DevicePermissions {
    type Err = Error;

    /// Nothing is everything, as on docker's command line.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if let Some(other) = text.chars().find(|it| !"rwm".contains(*it)) {
            return Err(Error::invalid(format!("device permission {text:?}: {other:?} is none of r, w and m")));
        }
        Ok(Self { read: text.contains('r'), write: text.contains('w'), mknod: text.contains('m') })
    }
}

impl fmt::Display for DevicePermissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [(self.read, "r"), (self.write, "w"), (self.mknod, "m")];
        all.iter().filter(|(may, _)| *may).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

as_text!(DevicePermissions);

letter! {
    /// The share of a disk's time, 10 to 1000.
    pub struct WeightDevice {
        /// The disk's path on the host.
        path: String = "Path",
        /// Its weight.
        weight: u16 = "Weight",
    }
}

letter! {
    /// How much a second may be read from or written to a disk.
    pub struct ThrottleDevice {
        /// The disk's path on the host.
        path: String = "Path",
        /// Bytes, or operations, a second.
        rate: u64 = "Rate",
    }
}
