//! The host's devices in a container.

use serde_json::{Value, json};

use crate::container::config::DevicePermissions;

/// A device as it stands in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The path in the container.
    pub path: String,
    /// Whether it is a block device; else a character device.
    pub block: bool,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// The permissions of the file.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// What may be done with it.
    pub permissions: DevicePermissions,
}

impl Node {
    fn kind(&self) -> &'static str {
        if self.block { "b" } else { "c" }
    }

    /// The rule of the device controller.
    pub(super) fn rule(&self) -> Value {
        json!({
            "allow": true, "type": self.kind(), "major": self.major, "minor": self.minor,
            "access": self.permissions.to_string(),
        })
    }
}

/// The nodes that the runtime makes beside those that every container has.
pub(super) fn nodes(devices: &[Node]) -> Vec<Value> {
    let node = |it: &Node| {
        json!({
            "path": it.path, "type": it.kind(), "major": it.major, "minor": it.minor,
            "fileMode": it.mode, "uid": it.uid, "gid": it.gid,
        })
    };
    devices.iter().map(node).collect()
}
