//! How everything in the kernel that is ours can be told from everything that is not.

use std::fmt;

/// Which installation of Trestle a thing belongs to: 24 bits, drawn once for a data root and kept in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instance(u32);

impl Instance {
    /// From any number; its lowest 24 bits count.
    pub fn new(number: u32) -> Self {
        Self(number & 0x00ff_ffff)
    }

    /// The link group (`IFLA_GROUP`) of links in use.
    pub fn live_group(self) -> u32 {
        0x5400_0000 | self.0
    }

    /// The link group of links that are cut off and wait to be deleted together.
    pub fn doomed_group(self) -> u32 {
        0x5500_0000 | self.0
    }

    /// The comment in the user data of our firewall table.
    pub fn comment(self) -> String {
        format!("trestle {self}")
    }
}

/// Whether a link group is one of ours, whatever installation's.
pub(crate) fn is_any_instance_s(group: u32) -> bool {
    matches!(group >> 24, 0x54 | 0x55)
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}", self.0)
    }
}

/// Who set a route (`rtm_protocol`) or an address (`IFA_PROTO`): a number that nobody else uses (linux/rtnetlink.h).
pub const PROTOCOL: u8 = 84;
