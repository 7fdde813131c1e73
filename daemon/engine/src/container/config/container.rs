//! What runs in a container: the part of its configuration that could move to another host, and that images carry too.

use super::go::{List, Map, Nothing, Words, letter};
use super::{Healthcheck, Port};

letter! {
    /// Docker's `Config`.
    pub struct Config {
        /// The host name; empty for one made of the id.
        hostname: String = "Hostname",
        /// What stands behind the host name's first dot.
        domainname: String = "Domainname",
        /// `user[:group]`, each a name or number; empty is root.
        user: String = "User",
        /// Whether who starts it is attached to its input.
        attach_stdin: bool = "AttachStdin",
        /// Whether who starts it is attached to its output.
        attach_stdout: bool = "AttachStdout",
        /// Whether who starts it is attached to its errors.
        attach_stderr: bool = "AttachStderr",
        /// The ports its programs are said to listen on.
        exposed_ports: Map<Port, Nothing> = "ExposedPorts",
        /// Whether its streams are a terminal.
        tty: bool = "Tty",
        /// Whether its input stays open while nobody is attached.
        open_stdin: bool = "OpenStdin",
        /// Whether its input ends with that of the first who was attached to it.
        stdin_once: bool = "StdinOnce",
        /// `NAME=value`, or `NAME` to take one of the image's away.
        env: List<String> = "Env",
        /// The arguments of the entry point, or the program and its arguments where there is none.
        cmd: Words = "Cmd",
        /// How it is found out whether it is well.
        healthcheck: Option<Healthcheck> = "Healthcheck",
        /// The image as it was asked for.
        image: String = "Image",
        /// Paths that get an anonymous volume each.
        volumes: Map<String, Nothing> = "Volumes",
        /// Where its program starts; made if it is missing.
        working_dir: String = "WorkingDir",
        /// The program and its first arguments.
        entrypoint: Words = "Entrypoint",
        /// Whether it has no network at all.
        network_disabled: bool = "NetworkDisabled",
        /// The Ethernet address on its first network (until 1.43; later it is the endpoint's).
        mac_address: String = "MacAddress",
        /// What an image wants of who builds on it. Kept, and of no effect.
        on_build: List<String> = "OnBuild",
        /// The user's labels.
        labels: Map<String, String> = "Labels",
        /// What asks it to end; empty is `SIGTERM`.
        stop_signal: String = "StopSignal",
        /// How many seconds it has to end before it is killed; 10 where it is not said, -1 for ever.
        stop_timeout: Option<i64> = "StopTimeout",
        /// The shell of the image's commands. Kept, and of no effect.
        shell: List<String> = "Shell",
    }
}
