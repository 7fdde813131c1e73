//! Bodies that nobody thought of.

use std::cell::RefCell;

use axum::http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use crate::caller::{Answer, encoded};
use crate::fields::{World, path};
use crate::wrong::good;

/// Any JSON, with keys that may be fields.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..5).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        (1usize..100_000).prop_map(|length| "x".repeat(length)),
        "[a-z0-9./:-]{0,20}",
        prop::sample::select(vec!["front", "web", "spare", "10.1.0.0/24", "10.1.0.1", "fd00::1", "80:80", "../.."])
            .prop_map(str::to_owned),
    ]
}

fn key() -> impl Strategy<Value = String> {
    let fields = vec![
        "name",
        "driver",
        "ipam",
        "ipam_options",
        "pools",
        "subnet",
        "range",
        "gateway",
        "auxiliary",
        "ipv4",
        "ipv6",
        "internal",
        "options",
        "labels",
        "network",
        "mac",
        "exposed",
        "ports",
        "priority",
        "primary",
        "interface",
        "path",
        "pid",
        "host",
        "sandbox",
    ];
    prop_oneof![6 => prop::sample::select(fields).prop_map(str::to_owned), 1 => any::<String>()]
}

/// What is done to the text of a right body, so that it may be right no more.
#[derive(Clone, Debug)]
enum Harm {
    None,
    CutOff(prop::sample::Index),
    Bytes(prop::sample::Index, Vec<u8>),
    Deep(prop::sample::Index, String, usize),
    /// A key and a value come in front of all others.
    Twice(String, Value),
    Replaced(Value),
}

fn harm() -> impl Strategy<Value = Harm> {
    let huge = prop::sample::select(vec!["1e999", "-1e999", "99999999999999999999999", "0x10", "NaN", "1e-999"]);
    prop_oneof![
        Just(Harm::None),
        any::<prop::sample::Index>().prop_map(Harm::CutOff),
        (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..6))
            .prop_map(|(at, it)| Harm::Bytes(at, it)),
        (any::<prop::sample::Index>(), huge).prop_map(|(at, it)| Harm::Bytes(at, it.into())),
        (any::<prop::sample::Index>(), "[\\[{]|\\{\"name\":|\\{\"pools\":\\[", 1usize..5000)
            .prop_map(|(at, open, times)| Harm::Deep(at, open, times)),
        (key(), any_json()).prop_map(|(key, value)| Harm::Twice(key, value)),
        any_json().prop_map(Harm::Replaced),
    ]
}

impl Harm {
    fn done_to(&self, right: &Value) -> Vec<u8> {
        let mut text = right.to_string().into_bytes();
        match self {
            Self::None => {}
            Self::CutOff(at) => text.truncate(at.index(text.len())),
            Self::Bytes(at, bytes) => drop(text.splice(at.index(text.len()).., bytes.clone())),
            Self::Deep(at, open, times) => drop(text.splice(at.index(text.len()).., open.repeat(*times).into_bytes())),
            Self::Twice(key, value) => drop(text.splice(1..1, format!("{}:{value},", json!(key)).into_bytes())),
            Self::Replaced(other) => text = other.to_string().into_bytes(),
        }
        text
    }
}

/// A world that lasts for all cases, and what runs it.
fn worlds() -> (Runtime, RefCell<World>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    (runtime, RefCell::new(world))
}

#[test]
fn no_path_breaks_the_daemon() {
    let (runtime, world) = worlds();
    let operations = world.borrow().document.operations();
    let case = (prop::sample::select(operations), any::<String>(), "[!-~]{0,40}", prop::option::of("[!-~]{0,40}"));
    proptest!(ProptestConfig::with_cases(500), |((operation, name, rest, query) in case)| {
        let rest = rest.replace(['<', '>', '"', '`', '\\', '^', '{', '}', '|', '#', '?'], "%");
        let query = query.map(|query| format!("?{}", query.replace(['<', '>', '"', '#'], "%"))).unwrap_or_default();
        let named = operation.path.split('/').map(|part| if part.starts_with('{') { encoded(&name) } else { part.into() });
        let named = named.collect::<Vec<String>>().join("/");
        for path in [format!("{named}{query}"), format!("{named}{rest}{query}"), format!("/cnm/v1/{rest}{query}")] {
            // An endless stream has no body to wait for.
            let method = if path.starts_with("/cnm/v1/events") { &Method::DELETE } else { &operation.method };
            let answer = ask(&runtime, &world, method, &path, b"{".to_vec());
            prop_assert!(answer.status < 500, "{method} {path}: {answer:?}");
        }
    });
}

#[test]
fn no_bytes_break_the_daemon() {
    let (runtime, world) = worlds();
    let socket = world.borrow().daemon.socket();
    let line = prop::sample::select(vec![
        "GET /cnm/v1/version HTTP/1.1\r\n",
        "POST /cnm/v1/networks HTTP/1.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "Host: x\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Type: application/json\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: h2c\r\nConnection: upgrade\r\n",
        "\r\n",
        "5\r\n",
        "0\r\n\r\n",
        "\u{16}\u{3}\u{1}",
    ]);
    let piece = prop_oneof![
        3 => line.prop_map(|line| line.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..50),
    ];
    proptest!(ProptestConfig::with_cases(500), |(pieces in prop::collection::vec(piece, 0..10))| {
        let heard = runtime.block_on(async {
            let mut stream = UnixStream::connect(&socket).await.unwrap();
            // The daemon may hang up at any byte.
            drop(stream.write_all(&pieces.concat()).await);
            drop(stream.shutdown().await);
            let mut heard = Vec::new();
            drop(stream.read_to_end(&mut heard).await);
            String::from_utf8_lossy(&heard).into_owned()
        });
        prop_assert!(!heard.contains("HTTP/1.1 5"), "{heard}");
        ask(&runtime, &world, &Method::GET, "/cnm/v1/version", Vec::new());
    });
}

/// Asked on a connection that must outlast the answer.
fn ask(runtime: &Runtime, world: &RefCell<World>, method: &Method, path: &str, body: Vec<u8>) -> Answer {
    let mut world = world.borrow_mut();
    let caller = &mut world.caller;
    runtime.block_on(async {
        let answer = caller.ask(method, path, Some(body)).await;
        assert_eq!(caller.ask(&Method::GET, "/cnm/v1/version", None).await.status, 200);
        answer
    })
}

#[test]
fn no_body_breaks_the_daemon() {
    let (runtime, world) = worlds();
    let operations = world.borrow().document.operations();
    let operations: Vec<_> = operations.into_iter().filter(|it| it.body.is_some()).collect();
    let case = (prop::sample::select(operations), harm());
    proptest!(ProptestConfig::with_cases(1500), |((operation, harm) in case)| {
        let body = harm.done_to(&good(operation.body.as_deref().unwrap()));
        let told = String::from_utf8_lossy(&body).chars().take(200).collect::<String>();
        let answer = ask(&runtime, &world, &operation.method, &path(&operation, None), body);
        prop_assert!(answer.status < 500, "{} {told}: {answer:?}", operation.path);
        prop_assert!(answer.message().chars().count() < 1000, "{} {told}: {answer:?}", operation.path);
        prop_assert!(answer.status < 400 || answer.message().len() > 10, "{} {told}: {answer:?}", operation.path);
    });
}

#[test]
fn what_is_cut_off_or_trails_is_never_taken() {
    let (runtime, world) = worlds();
    let operations = world.borrow().document.operations();
    let operations: Vec<_> = operations.into_iter().filter(|it| it.body.is_some()).collect();
    let case = (prop::sample::select(operations), any::<prop::sample::Index>(), "[^ \t\r\n]{1,5}");
    proptest!(|((operation, at, rest) in case)| {
        let right = good(operation.body.as_deref().unwrap()).to_string();
        let cut_off = right.as_bytes()[..at.index(right.len())].to_vec();
        for (body, reason) in [(cut_off, ["cut off", "it is empty"]), (format!("{right}{rest}").into(), ["trailing", "trailing"])] {
            let answer = ask(&runtime, &world, &operation.method, &path(&operation, None), body);
            prop_assert_eq!(answer.status, 400, "{:?}", answer);
            prop_assert!(reason.iter().any(|it| answer.message().contains(it)), "{answer:?}");
            prop_assert!(!answer.message().contains('?'), "{answer:?}");
        }
    });
}
