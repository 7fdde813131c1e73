//! A host where one daemon after the other dies, and a witness who must not notice.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};
use trestle_core::controller::Spares;
use trestle_tests::api::{Api, Failure};
use trestle_tests::daemon::Daemon;
use trestle_tests::front::Setup;
use trestle_tests::landscape::{Container, Landscape, ROUTER, hosts, listens};
use trestle_tests::snapshot::Snapshot;
use trestle_tests::traffic::{Server, Stream};
use trestle_tests::wire;

pub(crate) type Answer = Result<(), Failure>;

/// A host with a daemon, and a container with connections through its published port.
pub(crate) struct Lane {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) land: Landscape,
    api: Option<Api>,
    witness: Option<Witness>,
}

struct Witness {
    streams: Vec<Stream>,
    _server: Server,
    _container: Container,
}

/// What the daemon says there is, and what is there. Names that are made of ids are left out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Situation {
    pub(crate) records: BTreeSet<String>,
    pub(crate) host: Snapshot,
}

impl Lane {
    /// With the networks `front` and `back`, and the witness on both.
    pub(crate) fn new() -> Self {
        let mut lane = Self::unbegun();
        lane.start_again().unwrap();
        for (name, number) in [("front", 1), ("back", 2)] {
            lane.post("networks", network(name, number)).unwrap();
            listens(lane.land.router.namespace());
        }
        let mut container = lane.land.container("witness", "front", &["8080:80/tcp"]);
        lane.land.connect(&mut container, "back", &[]);
        let server = container.serve(80);
        let streams = ROUTER.map(|address| Stream::open(lane.land.outside.namespace(), SocketAddr::new(address, 8080)));
        lane.witness = Some(Witness { streams: streams.into(), _server: server, _container: container });
        lane
    }

    /// Where no daemon has been yet.
    pub(crate) fn unbegun() -> Self {
        Self::unbegun_with_spares(0)
    }

    /// Where no daemon has been yet, and each will make so many sandboxes ahead for each network.
    pub(crate) fn unbegun_with_spares(spares: usize) -> Self {
        let (router, outside) = hosts(wire::MTU);
        let spares = Spares { per_network: spares, ..Spares::default() };
        let daemon = Arc::new(Daemon::unbegun_as(&router, Setup { spares, ..Setup::default() }));
        let land = Landscape { front: daemon.clone(), router, outside };
        Self { daemon, land, api: None, witness: None }
    }

    /// Asks the daemon on the connection there is, or a new one.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: Value) -> Result<Value, Failure> {
        let mut api = match self.api.take() {
            Some(api) => api,
            None => Api::connect(&self.land.router)?,
        };
        let answer = api.ask(method, path, &body);
        if !matches!(answer, Err(Failure::Gone(_))) {
            self.api = Some(api);
        }
        answer
    }

    /// On a connection of its own: one that is kept may have been closed because it was long idle.
    fn change(&mut self, method: &str, path: &str, body: Value) -> Answer {
        self.api = None;
        self.ask(method, path, body).map(drop)
    }

    pub(crate) fn post(&mut self, path: &str, body: Value) -> Answer {
        self.change("POST", path, body)
    }

    pub(crate) fn delete(&mut self, path: &str) -> Answer {
        self.change("DELETE", path, Value::Null)
    }

    /// Removes it if it is there.
    pub(crate) fn delete_if_there(&mut self, path: &str) {
        match self.delete(path) {
            Ok(()) | Err(Failure::Refused(404, _)) => {}
            Err(failure) => panic!("removing {path}: {failure}"),
        }
    }

    /// Makes it if it is not there.
    pub(crate) fn post_if_missing(&mut self, path: &str, body: Value) -> Answer {
        match self.post(path, body) {
            Err(Failure::Refused(409, message)) if message.contains("already exists") => Ok(()),
            other => other,
        }
    }

    /// Starts a daemon on what the last one left; where it ends at once, what it printed.
    pub(crate) fn start_again(&mut self) -> Answer {
        self.api = None;
        self.daemon.try_start_again().map_err(|printed| Failure::Gone(std::io::Error::other(printed)))
    }

    pub(crate) fn kill(&mut self) {
        self.api = None;
        self.daemon.kill();
    }

    /// What the witness says is heard and answered.
    pub(crate) fn witness_is_well(&mut self) {
        self.witness.iter_mut().flat_map(|it| &mut it.streams).for_each(Stream::is_alive);
    }

    /// Nothing is amiss and nothing belongs to nothing, by the daemon's own word.
    pub(crate) fn nothing_is_amiss(&mut self) {
        let drifts = self.ask("GET", "verify", Value::Null).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(drifts.to_string().contains("[]"), "{drifts}");
    }

    /// Everything as it is, when nothing is owed any more.
    pub(crate) fn settled(&mut self) -> Result<Situation, Failure> {
        let records = loop {
            let records = self.records()?;
            if !records.iter().any(|it| it.contains("detaching")) {
                break records;
            }
            thread::yield_now();
        };
        Ok(Situation { records, host: Snapshot::of_host(&self.land.router).without_ids() })
    }

    /// Every record, without its id.
    pub(crate) fn records(&mut self) -> Result<BTreeSet<String>, Failure> {
        let mut records = BTreeSet::new();
        for noun in ["networks", "endpoints", "sandboxes"] {
            let answer = self.ask("GET", noun, Value::Null)?;
            for record in answer.as_array().expect("a list") {
                records.insert(format!("{noun}: {}", without_ids(record)));
            }
        }
        Ok(records)
    }
}

impl Situation {
    /// In what it differs from what is expected; empty if in nothing.
    pub(crate) fn difference(&self, expected: &Self) -> String {
        let gone = expected.records.difference(&self.records).map(|it| format!("- {it}\n"));
        let new = self.records.difference(&expected.records).map(|it| format!("+ {it}\n"));
        gone.chain(new).collect::<String>() + &expected.host.difference(&self.host)
    }
}

fn without_ids(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !["id", "created", "mac", "namespace", "files", "endpoints"].contains(&name.as_str()));
        for inner in fields.values_mut() {
            *inner = without_ids(inner);
        }
    }
    value
}

fn subnets(number: u8) -> [String; 2] {
    [format!("10.{number}.0.0/24"), format!("fd00:{number}::/64")]
}

/// A network as it is asked for.
pub(crate) fn network(name: &str, number: u8) -> Value {
    let pools = subnets(number).map(|subnet| json!({ "subnet": subnet }));
    json!({ "name": name, "pools": pools, "ipv6": true })
}

/// A place that is always the same: number 1 is `front`, 2 `back`.
pub(crate) fn place(network: &str, number: u8, name: &str, ports: &[&str]) -> Value {
    json!({
        "network": network, "name": name, "ports": ports,
        "ipv4": format!("10.{number}.0.77"), "ipv6": format!("fd00:{number}::77"),
    })
}
