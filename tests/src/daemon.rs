//! The daemon as its users have it: the process `trestled`, asked by the command line `trestle`.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ipnet::IpNet;
use rustix::process::Signal;
use serde_json::Value;
use trestle_core::controller::request::{EndpointRequest, NetnsRequest, NetworkRequest};
use trestle_kernel::firewall::Backend;

use crate::front::{Front, Place, Result, Setup};
use crate::host::Host;
use crate::landscape::Container;
use crate::process::{Dying, Process};

/// The exit code of `trestle verify` when something is not as it should be.
const AMISS: i32 = 6;

/// A daemon on a host, and its command line.
pub struct Daemon {
    host: Arc<Host>,
    process: Mutex<Option<Process>>,
    setup: Mutex<Setup>,
}

impl Daemon {
    /// One that was never started.
    pub fn unbegun(host: &Arc<Host>) -> Self {
        Self::unbegun_as(host, Setup::default())
    }

    /// The same, set up so.
    pub fn unbegun_as(host: &Arc<Host>, setup: Setup) -> Self {
        Self { host: host.clone(), process: Mutex::new(None), setup: Mutex::new(setup) }
    }

    /// Starts it, and waits until it says that it is ready.
    pub fn start(host: &Arc<Host>) -> Self {
        Self::start_as(host, Setup::default())
    }

    /// The same, set up in another way.
    pub fn start_as(host: &Arc<Host>, setup: Setup) -> Self {
        let daemon = Self::unbegun_as(host, setup);
        daemon.start_again();
        daemon
    }

    /// Takes another back end of the firewall from the next start on.
    pub fn take(&self, firewall: Backend) {
        self.setup.lock().expect("nobody panics with it").firewall = firewall;
    }

    /// Starts it on what an earlier one left.
    pub fn start_again(&self) {
        let process = self.try_start().unwrap_or_else(|printed| panic!("trestled did not start:\n{printed}"));
        *self.process() = Some(process);
    }

    /// Starts it on what an earlier one left; where it ended before it was ready, what it printed.
    pub fn try_start_again(&self) -> std::result::Result<(), String> {
        let process = self.try_start()?;
        *self.process() = Some(process);
        Ok(())
    }

    /// Lets it kill itself when it, or one that is started after it, passes so many of its failpoints.
    pub fn order_death(&self, points: u64) {
        fs::write(order(&self.host), points.to_string()).expect("a test's folder can be written");
    }

    /// Takes the order back; the failpoint at which it was carried out, if it was. The process has ended then.
    pub fn take_order_back(&self) -> Option<String> {
        let path = order(&self.host);
        let read = || {
            let mut file = File::options().read(true).write(true).open(&path)?;
            // The daemon keeps the lock until it is dead.
            file.lock()?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            file.set_len(0)?;
            fs::remove_file(&path)?;
            std::io::Result::Ok(text)
        };
        let text = read().unwrap_or_else(|error| panic!("the order of death {}: {error}", path.display()));
        if text.parse::<u64>().is_ok() {
            return None;
        }
        if let Some(process) = self.process().take() {
            let status = process.wait();
            assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "it died of something else: {status}");
        }
        Some(text)
    }

    /// The names of all its failpoints.
    pub fn failpoints() -> BTreeSet<String> {
        let output = Command::new(program("trestled")).arg("--list-failpoints").output();
        let output = output.unwrap_or_else(|error| panic!("running trestled: {error}"));
        assert!(output.status.success(), "trestled was built without its failpoints: {output:?}");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Starts one more on the same host, with roots of its own; where it is refused, what it printed.
    pub fn start_rival(&self, roots: &Path) -> std::result::Result<Process, String> {
        launch(&self.host, &roots.join("data"), &roots.join("run"), self.setup(), "rival")
    }

    fn try_start(&self) -> std::result::Result<Process, String> {
        launch(&self.host, &self.host.data_root(), &self.host.exec_root(), self.setup(), "trestled")
    }

    fn setup(&self) -> Setup {
        *self.setup.lock().expect("nobody panics with it")
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        self.process().take().expect("it runs").kill();
    }

    /// Kills it, and keeps it from going.
    pub fn kill_slowly(&self) -> Dying {
        self.process().take().expect("it runs").kill_slowly()
    }

    /// Whether the one of that name (`trestled`, or `rival`) has printed so.
    pub fn has_said(&self, name: &str, words: &str) -> bool {
        let log = self.host.folder().join(format!("{name}.log"));
        fs::read_to_string(log).is_ok_and(|text| text.contains(words))
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&self) -> ExitStatus {
        self.process().take().expect("it runs").stop()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process().as_ref().expect("it runs").pid()
    }

    /// How many files it has open.
    pub fn open_files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs");
        files.count()
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().expect("nobody panics with it")
    }

    /// Runs the command line; what it printed, or what it complained of.
    pub fn trestle<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String> {
        let output = self.run(arguments)?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }

    fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Result<Output> {
        let socket = format!("unix://{}", self.host.exec_root().join("trestle.sock").display());
        let mut command = Command::new(program("trestle"));
        command.arg("--host").arg(socket).args(arguments.iter().map(AsRef::as_ref));
        self.host.run(|| command.output()).map_err(|error| format!("running trestle: {error}"))
    }

    /// All about one object.
    fn inspect(&self, noun: &str, object: &str) -> Result<Value> {
        let found = read_json(&self.trestle(&[noun, "inspect", object])?)?;
        found.get(0).cloned().ok_or_else(|| format!("{noun} {object} is not in {found}"))
    }

    /// A container that was made by its commands: a sandbox and its endpoint of the same name on a network.
    pub fn container(&self, name: &str, network: &str) -> Result<Container> {
        let namespace = self.host.namespace_at(&self.namespace_file(name)?);
        let place = self.place(&format!("{network}/{name}"), network)?;
        Ok(Container { name: name.into(), namespace, places: [(network.to_owned(), place)].into() })
    }

    fn namespace_file(&self, sandbox: &str) -> Result<PathBuf> {
        let sandbox = self.inspect("sandbox", sandbox)?;
        if sandbox["origin"] == "host" {
            return Ok("/proc/thread-self/ns/net".into());
        }
        let path = sandbox["namespace"].as_str();
        path.map(PathBuf::from).ok_or_else(|| format!("no namespace in {sandbox}"))
    }

    /// What an endpoint is like, by `NETWORK/NAME` or id.
    fn place(&self, endpoint: &str, network: &str) -> Result<Place> {
        let endpoint = self.inspect("endpoint", endpoint)?;
        let network = self.inspect("network", network)?;
        let pools = network["pools"].as_array().into_iter().flatten();
        Ok(Place {
            v4: address(&endpoint["ipv4"]).and_then(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }),
            v6: address(&endpoint["ipv6"]).and_then(|address| match address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            }),
            gateways: pools.filter_map(|pool| address(&pool["gateway"])).collect(),
            interface: endpoint["interface"].as_str().map(str::to_owned),
            ports: ports(&endpoint["published"]),
        })
    }
}

impl Front for Daemon {
    fn host(&self) -> &Arc<Host> {
        &self.host
    }

    fn create_network(&self, request: &NetworkRequest) -> Result<()> {
        self.trestle(&network_arguments("create", request)).map(drop)
    }

    fn delete_network(&self, network: &str) -> Result<()> {
        self.trestle(&["network", "rm", network]).map(drop)
    }

    fn plan_network(&self, request: &NetworkRequest) -> Result<String> {
        let mut arguments = network_arguments("create", request);
        arguments.insert(2, "--dry-run".into());
        self.trestle(&arguments)
    }

    fn create_sandbox(&self, name: &str, netns: &NetnsRequest) -> Result<PathBuf> {
        let mut arguments = vec!["sandbox".to_owned(), "create".into()];
        match netns {
            NetnsRequest::Make => {}
            NetnsRequest::Path(path) => arguments.extend(["--netns".into(), path.display().to_string()]),
            NetnsRequest::Pid(pid) => arguments.extend(["--pid".into(), pid.to_string()]),
            NetnsRequest::Host => arguments.push("--host-namespace".into()),
        }
        arguments.push(name.into());
        self.trestle(&arguments)?;
        self.namespace_file(name)
    }

    fn create_attached(&self, name: &str, networks: &[&str], port: &str) -> Result<PathBuf> {
        let mut arguments = vec!["sandbox", "create", "-p", port, name];
        networks.iter().for_each(|network| arguments.extend(["--network", network]));
        self.trestle(&arguments)?;
        self.namespace_file(name)
    }

    fn delete_sandbox(&self, sandbox: &str) -> Result<()> {
        self.trestle(&["sandbox", "rm", sandbox]).map(drop)
    }

    fn connect(&self, sandbox: &str, request: &EndpointRequest) -> Result<Place> {
        let mut arguments = vec!["connect".to_owned()];
        let mut flag = |name: &str, value: Option<String>| {
            arguments.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        flag("--name", request.name.as_ref().map(ToString::to_string));
        flag("--ip", request.v4.map(|address| address.to_string()));
        flag("--ip6", request.v6.map(|address| address.to_string()));
        flag("--mac-address", request.mac.map(|mac| mac.to_string()));
        arguments.extend(request.primary.then(|| "--primary".to_owned()));
        let mut flag = |name: &str, value: Option<String>| {
            arguments.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        flag("--interface", request.interface.as_ref().map(ToString::to_string));
        flag("--gw-priority", Some(request.priority.to_string()).filter(|_| request.priority != 0));
        request.ports.iter().for_each(|port| flag("-p", Some(port.to_string())));
        request.exposed.iter().for_each(|port| flag("--expose", Some(port.to_string())));
        request.options.iter().for_each(|(key, value)| flag("--driver-opt", Some(format!("{key}={value}"))));
        arguments.extend([request.network.clone(), sandbox.to_owned()]);
        self.trestle(&arguments)?;
        let name = request.name.as_ref().map_or_else(|| sandbox.to_owned(), ToString::to_string);
        self.place(&format!("{}/{name}", request.network), &request.network)
    }

    fn disconnect(&self, sandbox: &str, network: &str) -> Result<()> {
        self.trestle(&["disconnect", network, sandbox]).map(drop)
    }

    fn publish(&self, endpoint: &str, port: &str) -> Result<Vec<String>> {
        self.trestle(&["endpoint", "publish", endpoint, port])?;
        Ok(ports(&self.inspect("endpoint", endpoint)?["published"]))
    }

    fn unpublish(&self, endpoint: &str, port: &str) -> Result<Vec<String>> {
        self.trestle(&["endpoint", "unpublish", endpoint, port])?;
        Ok(ports(&self.inspect("endpoint", endpoint)?["published"]))
    }

    fn verify(&self) -> Result<Vec<String>> {
        let output = self.run(&["verify", "--format", "json"])?;
        if !output.status.success() && output.status.code() != Some(AMISS) {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let answer = read_json(&String::from_utf8_lossy(&output.stdout))?;
        let drifts = answer.as_array().ok_or_else(|| format!("no list: {answer}"))?;
        assert_eq!(output.status.success(), drifts.is_empty(), "the exit code tells whether something is amiss");
        Ok(drifts.iter().map(ToString::to_string).collect())
    }

    fn objects(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for noun in ["network", "endpoint", "sandbox"] {
            let list = read_json(&self.trestle(&[noun, "ls", "--format", "json"])?)?;
            for object in list.as_array().ok_or_else(|| format!("no list: {list}"))? {
                let name = object["name"].as_str().unwrap_or_default();
                names.push(match object["network"]["name"].as_str() {
                    Some(network) => format!("{noun} {network}/{name}"),
                    None => format!("{noun} {name}"),
                });
            }
        }
        names.sort();
        Ok(names)
    }
}

/// The flags of `trestle network create`, which are docker's.
fn network_arguments(verb: &str, request: &NetworkRequest) -> Vec<String> {
    let mut arguments = vec!["network".to_owned(), verb.into(), "--driver".into(), request.driver.clone()];
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    for pool in &request.pools {
        flag("--subnet", pool.subnet.to_string());
        pool.range.iter().for_each(|range| flag("--ip-range", range.to_string()));
        pool.gateway.iter().for_each(|gateway| flag("--gateway", gateway.to_string()));
        pool.auxiliary.iter().for_each(|(name, address)| flag("--aux-address", format!("{name}={address}")));
    }
    request.options.iter().for_each(|(key, value)| flag("--opt", format!("{key}={value}")));
    request.labels.iter().for_each(|(key, value)| flag("--label", format!("{key}={value}")));
    if request.ipv6 {
        arguments.push("--ipv6".into());
    }
    if !request.ipv4 {
        arguments.push("--ipv4=false".into());
    }
    if request.internal {
        arguments.push("--internal".into());
    }
    arguments.push(request.name.to_string());
    arguments
}

/// Starts a daemon and waits until it is ready; if it ends before that, what it printed.
fn launch(
    host: &Host,
    data_root: &Path,
    exec_root: &Path,
    setup: Setup,
    name: &str,
) -> std::result::Result<Process, String> {
    let notify = host.folder().join(format!("{name}.notify"));
    if notify.exists() {
        fs::remove_file(&notify).expect("a test's folder can be written");
    }
    let socket = UnixDatagram::bind(&notify).expect("a test's folder can be written");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time is set");
    let mut command = Command::new(program("trestled"));
    command.arg("--data-root").arg(data_root).arg("--exec-root").arg(exec_root);
    command.arg(format!("--spare-sandboxes={}", setup.spares.per_network));
    command.arg("--firewall-backend").arg(setup.firewall.to_string());
    command.arg(format!("--engine={}", setup.engine)).arg("--cgroup-parent").arg(crate::engine::cgroup_parent(host));
    let config = host.folder().join("daemon.json");
    fs::write(&config, "{}").expect("a test's folder can be written");
    command.arg("--config-file").arg(config).env("NOTIFY_SOCKET", &notify);
    command.env("TRESTLE_FAILPOINT_ORDER", order(host));
    command.args(["--log-level", "debug"]).env("RUST_BACKTRACE", "1");
    let mut process = host.start(command, name);
    let mut message = [0; 4096];
    loop {
        match socket.recv(&mut message) {
            Ok(length) if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1") => {
                return Ok(process);
            }
            _ if !process.is_running() => return Err(process.printed()),
            _ => {}
        }
    }
}

/// Where a daemon is ordered to die, if it has failpoints.
fn order(host: &Host) -> PathBuf {
    host.folder().join("order")
}

/// A program of this workspace, built from what it is now.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

/// Builds the programs as the running one was built, and tells their folder: that above the tests' own.
fn build() -> PathBuf {
    let itself = env::current_exe().expect("a program can find itself");
    let folder = itself.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).expect("it is in a folder");
    if env::var_os("TRESTLE_PROGRAMS_ARE_BUILT").is_some() {
        return folder.to_owned();
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "trestle", "--bins", "--features", "failpoints"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.status().unwrap_or_else(|error| panic!("running cargo: {error}"));
    assert!(status.success(), "trestled and trestle can't be built");
    folder.to_owned()
}

/// An address, with or without the length of a prefix.
fn address(value: &Value) -> Option<IpAddr> {
    let text = value.as_str()?;
    text.parse::<IpNet>().map(|net| net.addr()).or_else(|_| text.parse()).ok()
}

fn read_json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| format!("{error} in {text:?}"))
}

fn ports(published: &Value) -> Vec<String> {
    published.as_array().into_iter().flatten().filter_map(|it| it["port"].as_str().map(str::to_owned)).collect()
}
