//! Each field of each operation in turn is wrong; all else is right.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::caller::{Answer, Caller, encoded};
use crate::document::{Document, Operation, Parameter, is};
use crate::fixture::Daemon;
use crate::wrong::{also_called, good, mistyped, takes_any_text, texts, wrong};

/// A daemon with something of everything, and someone who asks it.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) caller: Caller,
    pub(crate) document: Document,
}

impl World {
    pub(crate) async fn new() -> Self {
        let daemon = Daemon::start().await;
        let caller = Caller::connect(&daemon.socket()).await;
        let document = Document(serde_json::from_str(&daemon.document.to_json().unwrap()).unwrap());
        let mut world = Self { daemon, caller, document };
        let pools = json!([{"subnet": "10.1.0.0/24", "auxiliary": {"nas": "10.1.0.5"}}]);
        world.make("/networks", json!({"name": "front", "pools": pools})).await;
        world.make("/networks", json!({"name": "empty", "pools": [{"subnet": "10.2.0.0/24"}]})).await;
        world.make("/sandboxes", json!({"name": "web"})).await;
        world.make("/sandboxes/web/connect", json!({"network": "front", "ports": ["8080:80"]})).await;
        let spare = json!({"network": "front", "name": "spare", "ipv4": "10.1.0.3", "mac": "02:42:0a:01:00:03"});
        world.make("/endpoints", spare).await;
        world
    }

    async fn make(&mut self, path: &str, body: Value) {
        let answer = self.post(path, &body).await;
        assert_eq!(answer.status, 201, "{path} {body}: {answer:?}");
    }

    async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.caller.ask(&Method::POST, &format!("/cnm/v1{path}"), Some(body.to_string().into())).await
    }

    /// All there is, and whether it is as it should be.
    async fn snapshot(&mut self) -> String {
        let controller = &self.daemon.controller;
        let amiss = controller.verify().await.unwrap();
        format!("{:#?}", (controller.networks(), controller.endpoints(), controller.sandboxes(), amiss))
    }
}

/// The path of an operation with names that are there, but for the given one.
pub(crate) fn path(operation: &Operation, other: Option<(&Parameter, &str)>) -> String {
    operation.parameters.iter().filter(|it| it.in_path).fold(operation.path.clone(), |path, parameter| {
        let given = other.filter(|(other, _)| other.name == parameter.name).map(|(_, value)| value);
        let right = match parameter.name.as_str() {
            "network" => "front",
            "sandbox" => "web",
            "endpoint" if operation.path.ends_with("/unpublish") => "front/web",
            "endpoint" => "front/spare",
            other => panic!("{other} is new: give it a name that is there"),
        };
        path.replace(&format!("{{{}}}", parameter.name), &encoded(given.unwrap_or(right)))
    })
}

fn body(operation: &Operation) -> Option<Vec<u8>> {
    operation.body.as_ref().map(|schema| good(schema).to_string().into())
}

/// Looks for refusals by the field's name and with the reason, that changed nothing; and gathers what is none.
struct Judge {
    before: String,
    seen: usize,
    faults: Vec<String>,
}

impl Judge {
    async fn refused(&mut self, world: &mut World, told: &str, answer: Answer, key: &str, name: &str, reason: &str) {
        let (message, after) = (answer.message().to_lowercase(), world.snapshot().await);
        let says = |word: &str| message.contains(&word.to_lowercase());
        let faults = [
            ("it is not refused", !(400..500).contains(&answer.status)),
            ("the field is not named", !also_called(key).iter().copied().chain([name]).any(says)),
            ("the reason is not told", !says(reason)),
            ("it is no sentence for a person", message.len() > 600 || says("struct ")),
            ("something changed", self.before != after),
        ];
        let faults = faults.into_iter().filter(|(_, is_so)| *is_so);
        self.faults.extend(faults.map(|(fault, _)| format!("{told}: {key} {reason:?}: {fault}: {answer:?}")));
        self.before = after;
        self.seen += 1;
    }
}

#[tokio::test]
async fn every_field_that_is_wrong_is_refused_by_name_and_changes_nothing() {
    let mut world = World::new().await;
    let mut judge = Judge { before: world.snapshot().await, seen: 0, faults: Vec::new() };
    for operation in world.document.operations() {
        wrong_parameters(&mut world, &mut judge, &operation).await;
        if let Some(schema) = &operation.body {
            wrong_fields(&mut world, &mut judge, &operation, schema).await;
        }
    }
    assert!(judge.faults.is_empty(), "{} of {}:\n{}", judge.faults.len(), judge.seen, judge.faults.join("\n"));
    assert!(judge.seen > 700, "{}", judge.seen);
}

async fn wrong_parameters(world: &mut World, judge: &mut Judge, operation: &Operation) {
    let Operation { method, .. } = operation;
    for parameter in &operation.parameters {
        let (key, name) = (parameter.key(), parameter.name.as_str());
        let mut values = wrong(&key);
        assert!(!values.is_empty(), "{method} {}: no wrong value for {key}", operation.path);
        // An empty name makes another path of it.
        values.extend(
            texts().into_iter().map(Value::from).filter(|it| !parameter.in_path || it != "").map(|it| (it, "")),
        );
        for (value, reason) in values {
            let value = value.as_str().unwrap();
            let path = match parameter.in_path {
                true => path(operation, Some((parameter, value))),
                false => format!("{}?{name}={}", path(operation, None), encoded(value)),
            };
            let answer = world.caller.ask(method, &path, body(operation)).await;
            judge.refused(world, &format!("{method} {path}"), answer, &key, name, reason).await;
        }
        if !parameter.in_path {
            let twice = format!("{}?{name}=true&{name}=true", path(operation, None));
            let answer = world.caller.ask(method, &twice, body(operation)).await;
            judge.refused(world, &format!("{method} {twice}"), answer, &key, name, "").await;
        }
    }
    let stranger = format!("{}?colour=red", path(operation, None));
    let answer = world.caller.ask(method, &stranger, body(operation)).await;
    let told = format!("{method} {stranger}");
    let known = operation.parameters.iter().find(|it| !it.in_path).map_or("no parameters", |it| it.name.as_str());
    judge.refused(world, &told, answer, "", "colour", known).await;
    if operation.body.is_none() {
        let answer = world.caller.ask(method, &path(operation, None), Some(br#"{"force": true}"#.into())).await;
        judge.refused(world, &format!("{method} {} with a body", operation.path), answer, "", "body", "none").await;
    }
}

async fn wrong_fields(world: &mut World, judge: &mut Judge, operation: &Operation, schema: &str) {
    let (method, path, right) = (&operation.method, path(operation, None), good(schema));
    let mut bodies: Vec<(String, String, Value, &str)> = Vec::new();
    for field in world.document.fields(schema, &right) {
        let told = format!("{method} {path} {}", field.pointer);
        let with = |value: Value| {
            let mut body = right.clone();
            put(&mut body, &field.pointer, value);
            body
        };
        let mut values: Vec<(Value, &str)> = Vec::new();
        if field.whole {
            values = wrong(&field.key);
            assert!(!values.is_empty(), "{told}: no wrong value for {}", field.key);
        }
        values.extend(mistyped(&field.schema).into_iter().map(|value| (value, "")));
        if is(&field.schema, "string") && !takes_any_text(&field.key) {
            values.extend(texts().map(|text| (text.into(), "")));
        }
        for (value, reason) in values {
            bodies.push((field.key.clone(), field.name.clone(), with(value), reason));
        }
        if field.required {
            let mut body = right.clone();
            let (holder, name) = field.pointer.rsplit_once('/').unwrap();
            body.pointer_mut(holder).unwrap().as_object_mut().unwrap().remove(name);
            bodies.push((field.key.clone(), field.name.clone(), body, "missing field"));
        }
    }
    let mut stranger = right.clone();
    put(&mut stranger, "/colour", json!("red"));
    bodies.push((String::new(), "colour".into(), stranger, "unknown field"));
    for whole in [json!([]), json!([1]), json!("x"), json!(5), json!(true), Value::Null] {
        bodies.push((String::new(), "body".into(), whole, "object is expected"));
    }
    for (key, name, body, reason) in bodies {
        let told = format!("{method} {path} {body}");
        let answer = world.caller.ask(method, &path, Some(body.to_string().into())).await;
        judge.refused(world, &told, answer, &key, &name, reason).await;
    }
}

/// Puts a value at a JSON pointer whose last step may be new.
fn put(body: &mut Value, pointer: &str, value: Value) {
    match body.pointer_mut(pointer) {
        Some(there) => *there = value,
        None => {
            let (holder, name) = pointer.rsplit_once('/').unwrap();
            body.pointer_mut(holder).unwrap()[name] = value;
        }
    }
}

#[tokio::test]
async fn the_bodies_that_wrong_ones_are_made_from_are_right() {
    for schema in ["NewNetwork", "NewEndpoint", "NewSandbox", "PortList", "JoinSandbox", "DisconnectFrom", "Calls"] {
        let mut world = World::new().await;
        for operation in world.document.operations().into_iter().filter(|it| it.body.as_deref() == Some(schema)) {
            let answer = world.caller.ask(&operation.method, &path(&operation, None), body(&operation)).await;
            assert!((200..300).contains(&answer.status), "{} {}: {answer:?}", operation.method, operation.path);
            world = World::new().await;
        }
    }
}

#[test]
fn every_wrong_value_is_of_a_field_that_there_is() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let document = runtime.block_on(async { World::new().await.document });
    let mut keys = BTreeSet::new();
    for operation in document.operations() {
        keys.extend(operation.parameters.iter().map(Parameter::key));
        let schema = operation.body.iter();
        keys.extend(schema.flat_map(|it| document.fields(it, &good(it))).map(|field| field.key));
    }
    let table = include_str!("wrong.rs").lines().filter(|line| line.contains("=> "));
    let named =
        table.flat_map(|line| line.split("=> ").next().unwrap().split('"')).filter(|it| it.contains(['.', ':']));
    let stale: Vec<&str> = named.filter(|it| !it.contains(' ') && !keys.contains(*it)).collect();
    assert!(stale.is_empty(), "{stale:?}");
}
