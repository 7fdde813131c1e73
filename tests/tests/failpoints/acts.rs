//! What is asked of a daemon that is to die over it.

use serde_json::{Value, json};

use crate::lane::{Answer, Lane, network, place};

/// Something that is asked, what it takes to be asked, and how to be as before.
pub(crate) struct Act {
    pub(crate) name: &'static str,
    pub(crate) prepare: fn(&mut Lane) -> Answer,
    pub(crate) act: fn(&mut Lane) -> Answer,
    pub(crate) undo: fn(&mut Lane),
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

pub(crate) const ACTS: [Act; 16] = [
    Act { name: "creating a network", prepare: nothing, act: make_network, undo: drop_network },
    Act { name: "deleting a network", prepare: make_network, act: |it| it.delete("networks/new"), undo: drop_network },
    Act { name: "making a sandbox", prepare: nothing, act: make_box, undo: drop_box },
    Act { name: "removing a sandbox", prepare: make_box, act: |it| it.delete("sandboxes/box"), undo: drop_box },
    Act { name: "attaching", prepare: make_box, act: attach, undo: drop_box },
    Act { name: "attaching another network", prepare: attached, act: attach_another, undo: drop_box },
    Act {
        name: "detaching",
        prepare: attached,
        act: |it| it.post("sandboxes/box/disconnect", json!({ "network": "front" })),
        undo: drop_box,
    },
    Act {
        name: "detaching one of two",
        prepare: attached_twice,
        act: |it| it.post("sandboxes/box/disconnect", json!({ "network": "front" })),
        undo: drop_box,
    },
    Act {
        name: "publishing",
        prepare: attached,
        act: |it| it.post("endpoints/front%2Fbox/publish", json!({ "ports": ["8082:82/tcp", "8083:83/udp"] })),
        undo: drop_box,
    },
    Act {
        name: "unpublishing",
        prepare: attached,
        act: |it| it.post("endpoints/front%2Fbox/unpublish", json!({ "ports": ["8081:80/tcp", "53:53/udp"] })),
        undo: drop_box,
    },
    Act { name: "reserving", prepare: make_box, act: reserve, undo: drop_web },
    Act { name: "joining", prepare: reserved, act: join, undo: drop_web },
    Act {
        name: "leaving",
        prepare: joined,
        act: |it| it.post("endpoints/front%2Fweb/leave", Value::Null),
        undo: drop_web,
    },
    Act {
        name: "publishing what was reserved",
        prepare: joined,
        act: |it| it.post("endpoints/front%2Fweb/publish", json!({ "ports": ["8082:82/tcp"] })),
        undo: drop_web,
    },
    Act {
        name: "deleting what was reserved",
        prepare: joined,
        act: |it| it.delete("endpoints/front%2Fweb?force=true"),
        undo: drop_web,
    },
    Act { name: "starting", prepare: attached_twice, act: start, undo: drop_box },
];
