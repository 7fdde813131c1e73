//! A daemon on a host whose resolv.conf is the test's own, sandboxes, and who asks in them.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use rustix::mount::mount_bind;
use trestle_tests::daemon::Daemon;
use trestle_tests::host::Host;
use trestle_tests::namespace::Namespace;
use trestle_tests::privileges;

pub(crate) struct World {
    pub(crate) host: Arc<Host>,
    pub(crate) daemon: Daemon,
}

/// Plays a scenario on a host of its own, with networks `front` and `back`, both of both families.
pub(crate) fn play(scenario: impl FnOnce(&World) + Send) {
    privileges::obtain(|| {
        let host = Arc::new(Host::new("names"));
        host.ip("link set lo up");
        let conf = host.folder().join("resolv.conf");
        fs::write(&conf, "").unwrap();
        host.run(|| mount_bind(&conf, Path::new("/etc/resolv.conf")).unwrap());
        let daemon = Daemon::start(&host);
        let world = World { host, daemon };
        world.trestle("network create --ipv6 front");
        world.trestle("network create --ipv6 back");
        scenario(&world);
    });
}

impl World {
    /// What the command line prints; its arguments as a person types them.
    pub(crate) fn trestle(&self, line: &str) -> String {
        self.try_trestle(line).unwrap_or_else(|error| panic!("trestle {line}: {error}"))
    }

    pub(crate) fn try_trestle(&self, line: &str) -> Result<String, String> {
        self.daemon.trestle(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Makes a sandbox; more of the command line stands in `how`.
    pub(crate) fn sandbox(&self, name: &str, how: &str) -> Sandbox {
        self.trestle(&format!("sandbox create {how} {name}"));
        self.known(name)
    }

    pub(crate) fn known(&self, name: &str) -> Sandbox {
        let found: serde_json::Value = serde_json::from_str(&self.trestle(&format!("sandbox inspect {name}"))).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let namespace = self.host.namespace_at(Path::new(&text(&found[0]["namespace"])));
        let place = |key: &str| PathBuf::from(text(&found[0]["files"][key]));
        let address = |endpoint: &serde_json::Value, key: &str| -> Option<IpAddr> {
            endpoint[key].as_str()?.split('/').next()?.parse().ok()
        };
        let endpoints = found[0]["endpoints"].as_array().unwrap();
        let addresses = endpoints.iter().flat_map(|it| [address(it, "ipv4"), address(it, "ipv6")]).flatten().collect();
        Sandbox {
            name: name.to_owned(),
            namespace,
            addresses,
            hosts: place("hosts"),
            resolv_conf: place("resolv_conf"),
        }
    }

    /// What a command in a sandbox prints, as `trestle sandbox exec` runs it.
    pub(crate) fn exec(&self, sandbox: &Sandbox, command: &[&str]) -> Result<String, String> {
        self.daemon.trestle(&[&["sandbox", "exec", &sandbox.name, "--"], command].concat())
    }

    /// What the host's resolv.conf says from now on.
    pub(crate) fn host_asks(&self, text: &str) {
        fs::write(self.host.folder().join("resolv.conf"), text).unwrap();
    }

    /// What a file of the host's shows, in its own mount namespace.
    pub(crate) fn read(&self, path: &Path) -> String {
        self.host.run(|| fs::read_to_string(path).unwrap())
    }
}

pub(crate) struct Sandbox {
    pub(crate) name: String,
    pub(crate) namespace: Namespace,
    pub(crate) addresses: BTreeSet<IpAddr>,
    pub(crate) hosts: PathBuf,
    pub(crate) resolv_conf: PathBuf,
}

/// The addresses in some text, each word of which may be one.
pub(crate) fn addresses(text: &str) -> BTreeSet<IpAddr> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// A program that asks musl, built once.
pub(crate) fn musl() -> &'static Path {
    static PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("lookup");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/names/lookup.c");
        let built = Command::new("musl-gcc").args(["-static", "-O1", "-o"]).arg(&program).arg(source).status();
        assert!(built.expect("musl-gcc is needed; tests/setup.sh installs it").success());
        (folder, program)
    });
    program
}

/// One question by UDP for an IPv4 address, and what was said.
pub(crate) struct Asker(UdpSocket);

/// What was said to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: u8,
    pub(crate) addresses: Vec<Ipv4Addr>,
}

/// The code for names that nobody has.
pub(crate) const NO_SUCH_NAME: u8 = 3;

impl Asker {
    /// In the namespace of the calling thread.
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.11:53").unwrap();
        Self(socket)
    }

    /// Asks once and waits for the answer, which comes: a lost one would hang the test.
    pub(crate) fn ask(&self, name: &str) -> Said {
        let mut packet = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            packet.push(u8::try_from(label.len()).unwrap());
            packet.extend(label.as_bytes());
        }
        packet.extend([0, 0, 1, 0, 1]);
        self.0.send(&packet).unwrap();
        let mut room = [0; 4096];
        let length = self.0.recv(&mut room).unwrap();
        let answer = &room[..length];
        // Behind the question each record is a pointer, its kind and so on: 12 bytes, and 4 of address.
        let records = answer[packet.len()..].chunks_exact(16).take(usize::from(answer[7]));
        let address = |record: &[u8]| Ipv4Addr::new(record[12], record[13], record[14], record[15]);
        Said { code: answer[3] & 15, addresses: records.map(address).collect() }
    }
}
