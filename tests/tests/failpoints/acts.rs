//! What is asked of a daemon that is to die over it.

use serde_json::{Value, json};

use crate::lane::{Answer, Lane, network, place};

/// Something that is asked, what it takes to be asked, and how to be as before.
pub(crate) struct Act {
    pub(crate) name: &'static str,
    pub(crate) prepare: fn(&mut Lane) -> Answer,
    pub(crate) act: fn(&mut Lane) -> Answer,
    pub(crate) undo: fn(&mut Lane),
    /// Whether it is several changes one after the other, and some may be done while others are not.
    pub(crate) in_parts: bool,
}

/// One change, all or nothing.
const fn whole(
    name: &'static str,
    prepare: fn(&mut Lane) -> Answer,
    act: fn(&mut Lane) -> Answer,
    undo: fn(&mut Lane),
) -> Act {
    Act { name, prepare, act, undo, in_parts: false }
}

const PORTS: [&str; 3] = ["8081:80/tcp", "53:53/udp", "9000-9002:9000-9002/tcp"];

fn nothing(_: &mut Lane) -> Answer {
    Ok(())
}

fn make_network(lane: &mut Lane) -> Answer {
    lane.post("networks", network("new", 3))
}

fn drop_network(lane: &mut Lane) {
    lane.delete_if_there("networks/new");
}

fn make_box(lane: &mut Lane) -> Answer {
    lane.post("sandboxes", json!({ "name": "box" }))
}

fn drop_box(lane: &mut Lane) {
    lane.delete_if_there("sandboxes/box");
    lane.settled().unwrap_or_else(|failure| panic!("{failure}"));
}

fn attach(lane: &mut Lane) -> Answer {
    lane.post("sandboxes/box/connect", place("front", 1, "box", &PORTS))
}

fn attach_another(lane: &mut Lane) -> Answer {
    lane.post("sandboxes/box/connect", place("back", 2, "box", &["54:53/udp"]))
}

fn attached(lane: &mut Lane) -> Answer {
    make_box(lane).and_then(|()| attach(lane))
}

fn attached_twice(lane: &mut Lane) -> Answer {
    attached(lane).and_then(|()| attach_another(lane))
}

fn reserve(lane: &mut Lane) -> Answer {
    lane.post("endpoints", place("front", 1, "web", &PORTS))
}

fn reserved(lane: &mut Lane) -> Answer {
    make_box(lane).and_then(|()| reserve(lane))
}

fn join(lane: &mut Lane) -> Answer {
    lane.post("endpoints/front%2Fweb/join", json!({ "sandbox": "box" }))
}

fn joined(lane: &mut Lane) -> Answer {
    reserved(lane).and_then(|()| join(lane))
}

fn drop_web(lane: &mut Lane) {
    lane.delete_if_there("endpoints/front%2Fweb?force=true");
    drop_box(lane);
}

/// Another start, on what the last daemon left.
fn start(lane: &mut Lane) -> Answer {
    lane.kill();
    lane.start_again()
}

/// A sandbox that comes with both of its attachments.
fn make_attached(lane: &mut Lane) -> Answer {
    let endpoints = [place("front", 1, "box", &PORTS), place("back", 2, "box", &["54:53/udp"])];
    lane.post("sandboxes", json!({ "name": "box", "endpoints": endpoints }))
}

fn disconnect(lane: &mut Lane) -> Answer {
    lane.post("sandboxes/box/disconnect", json!({ "network": "front" }))
}

fn publish(lane: &mut Lane) -> Answer {
    lane.post("endpoints/front%2Fbox/publish", json!({ "ports": ["8082:82/tcp", "8083:83/udp"] }))
}

fn unpublish(lane: &mut Lane) -> Answer {
    lane.post("endpoints/front%2Fbox/unpublish", json!({ "ports": ["8081:80/tcp", "53:53/udp"] }))
}

fn publish_reserved(lane: &mut Lane) -> Answer {
    lane.post("endpoints/front%2Fweb/publish", json!({ "ports": ["8082:82/tcp"] }))
}

pub(crate) const ACTS: [Act; 18] = [
    whole("creating a network", nothing, make_network, drop_network),
    whole("deleting a network", make_network, |it| it.delete("networks/new"), drop_network),
    whole("making a sandbox", nothing, make_box, drop_box),
    whole("removing a sandbox", make_box, |it| it.delete("sandboxes/box"), drop_box),
    whole("making a sandbox attached", nothing, make_attached, drop_box),
    Act {
        in_parts: true,
        ..whole("removing a sandbox attached", make_attached, |it| it.delete("sandboxes/box"), drop_box)
    },
    whole("attaching", make_box, attach, drop_box),
    whole("attaching another network", attached, attach_another, drop_box),
    whole("detaching", attached, disconnect, drop_box),
    whole("detaching one of two", attached_twice, disconnect, drop_box),
    whole("publishing", attached, publish, drop_box),
    whole("unpublishing", attached, unpublish, drop_box),
    whole("reserving", make_box, reserve, drop_web),
    whole("joining", reserved, join, drop_web),
    whole("leaving", joined, |it| it.post("endpoints/front%2Fweb/leave", Value::Null), drop_web),
    whole("publishing what was reserved", joined, publish_reserved, drop_web),
    whole("deleting what was reserved", joined, |it| it.delete("endpoints/front%2Fweb?force=true"), drop_web),
    whole("starting", attached_twice, start, drop_box),
];
