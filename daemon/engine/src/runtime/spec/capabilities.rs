//! What root in a container may do.

use trestle_core::{Error, Result};

/// What a container may do unless it is asked otherwise: Docker's set.
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// All there are, by their number (linux/capability.h).
const ALL: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Which capabilities a container has, of those that the daemon itself can give (a bit a number).
///
/// # Errors
/// `Invalid` for a name that is none.
pub(super) fn capabilities(add: &[String], drop: &[String], privileged: bool, given: u64) -> Result<Vec<&'static str>> {
    let add = names(add)?;
    let drop = names(drop)?;
    let wanted = |name: &&'static str| {
        let by_default = DEFAULT.contains(name) && !drop.contains(&"ALL");
        let added = add.contains(name) || add.contains(&"ALL");
        privileged || ((by_default || added) && (!drop.contains(name) || add.contains(name)))
    };
    let can_be_given = |(number, _): &(usize, &'static str)| given >> number & 1 == 1;
    Ok(ALL.into_iter().enumerate().filter(can_be_given).map(|(_, name)| name).filter(wanted).collect())
}

/// As the kernel writes them, or `ALL`.
fn names(asked: &[String]) -> Result<Vec<&'static str>> {
    asked.iter().map(|name| find(name)).collect()
}

fn find(name: &str) -> Result<&'static str> {
    let upper = name.to_uppercase();
    if upper == "ALL" {
        return Ok("ALL");
    }
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    let found = ALL.into_iter().find(|known| *known == full);
    found.ok_or_else(|| Error::invalid(format!("invalid capability: unknown capability: \"{full}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str]) -> Vec<&'static str> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        capabilities(&owned(add), &owned(drop), false, u64::MAX).unwrap()
    }

    #[test]
    fn capabilities_are_added_and_dropped_as_docker_does() {
        assert_eq!(of(&[], &[]).len(), DEFAULT.len());
        assert_eq!(of(&[], &["ALL"]), [""; 0]);
        assert_eq!(of(&["NET_ADMIN"], &["all"]), ["CAP_NET_ADMIN"]);
        assert_eq!(of(&["ALL"], &["CAP_MKNOD"]).len(), ALL.len() - 1);
        assert!(!of(&[], &["mknod"]).contains(&"CAP_MKNOD"));
        assert!(capabilities(&["FLY".into()], &[], false, u64::MAX).is_err());
    }

    #[test]
    fn what_the_daemon_has_not_it_can_not_give() {
        let some = capabilities(&[], &[], true, 0b101).unwrap();
        assert_eq!(some, ["CAP_CHOWN", "CAP_DAC_READ_SEARCH"]);
    }
}
