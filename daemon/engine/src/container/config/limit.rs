//! What a container's processes may use of what the kernel counts a process.

use super::go::letter;

letter! {
    /// A resource limit (`setrlimit(2)`).
    pub struct Ulimit {
        /// The name without `RLIMIT_`, in small letters.
        name: String = "Name",
        /// What may be raised by the process itself, up to this; -1 is without limit.
        hard: i64 = "Hard",
        /// What holds; -1 is without limit.
        soft: i64 = "Soft",
    }
}

impl Ulimit {
    /// The limit's name for the kernel (`RLIMIT_NOFILE`), if there is one of that name.
    pub fn kernel_name(&self) -> Option<String> {
        const KNOWN: [&str; 15] = [
            "core",
            "cpu",
            "data",
            "fsize",
            "locks",
            "memlock",
            "msgqueue",
            "nice",
            "nofile",
            "nproc",
            "rss",
            "rtprio",
            "rttime",
            "sigpending",
            "stack",
        ];
        KNOWN.contains(&self.name.as_str()).then(|| format!("RLIMIT_{}", self.name.to_uppercase()))
    }
}
