//! `kill -9` between any two steps of whatever is asked: the next daemon finds everything whole, and nobody else notices.
//!
//! A daemon is ordered to kill itself at the first of its failpoints that it passes, the next one at the second, and so
//! on until the whole act is done without one. Failpoints stand between any two effects (`core/src/failpoint.rs`).

#![allow(clippy::unwrap_used, reason = "a scenario is a test, and tests unwrap")]

mod acts;
mod lane;

use std::collections::BTreeSet;
use std::panic;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use acts::{ACTS, Act};
use lane::{Answer, Lane, Situation, network, place};
use serde_json::json;
use trestle_tests::daemon::Daemon;
use trestle_tests::privileges;

/// How many hosts are at it side by side.
const LANES: usize = 4;

#[test]
fn a_daemon_killed_between_any_two_steps_loses_nothing() {
    privileges::obtain(|| {
        let progress: Vec<Progress> = ACTS.iter().map(|_| Progress::default()).collect();
        let died_at = Mutex::new(BTreeSet::new());
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(|| work_off(&progress, &died_at))).collect();
            begin_in_new_hosts(&died_at);
            for lane in lanes {
                lane.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
            }
        });
        let died_at = died_at.into_inner().unwrap();
        // Those of containers have a test of their own, with containers.
        let missing = Daemon::failpoints().difference(&died_at).cloned().collect::<Vec<String>>();
        let missing: Vec<String> = missing.into_iter().filter(|name| !name.starts_with("engine.")).collect();
        assert_eq!(missing, [""; 0], "no daemon died at these");
    });
}

#[test]
fn a_daemon_killed_while_it_makes_sandboxes_ahead_or_uses_them_loses_nothing() {
    privileges::obtain(|| {
        let mut lane = Lane::unbegun_with_spares(1);
        lane.start_again().unwrap();
        lane.post("networks", network("front", 1)).unwrap();
        make_one_and_another(&mut lane).unwrap();
        remove_both(&mut lane);
        // The spare goes with its network.
        lane.delete("networks/front").unwrap();
        lane.post("networks", network("front", 1)).unwrap();
        let rest = lane.settled().unwrap();
        for number in 1.. {
            lane.daemon.order_death(number);
            let outcome = make_one_and_another(&mut lane);
            let Some(name) = lane.daemon.take_order_back() else { return outcome.unwrap() };
            let place = format!("killed at {name}, its failpoint {number}");
            println!("{place}");
            lane.start_again().unwrap_or_else(|failure| panic!("{place}: {failure}"));
            lane.nothing_is_amiss();
            remove_both(&mut lane);
            is_so(&mut lane, &rest, &place);
        }
    });
}

fn remove_both(lane: &mut Lane) {
    ["sandboxes/first", "sandboxes/second"].into_iter().for_each(|it| lane.delete_if_there(it));
    lane.settled().unwrap();
}

/// The first is made from nothing and calls for a spare, which the second takes.
fn make_one_and_another(lane: &mut Lane) -> Answer {
    for (name, ports) in [("first", ["8081:80/tcp"]), ("second", ["8082:80/tcp"])] {
        let endpoint = json!({ "network": "front", "ports": ports });
        lane.post("sandboxes", json!({ "name": name, "endpoints": [endpoint] }))?;
        let links = if name == "first" { 2 } else { 3 };
        while lane.land.router.ip("-o link show type veth").lines().filter(|it| it.contains(" veth")).count() < links {
            lane.records()?;
        }
    }
    Ok(())
}

/// How far the lanes are with an act.
#[derive(Default)]
struct Progress {
    /// The last failpoint that a daemon was ordered to die at.
    last: AtomicU64,
    /// Whether the act was done before one of them was reached.
    is_done: AtomicBool,
}

/// Takes part in every act, in a host of its own.
fn work_off(progress: &[Progress], died_at: &Mutex<BTreeSet<String>>) {
    let mut lane = Lane::new();
    let rest = lane.settled().unwrap();
    for (act, progress) in ACTS.iter().zip(progress) {
        let mut expected = None;
        while !progress.is_done.load(Ordering::SeqCst) {
            let expected = expected.get_or_insert_with(|| undisturbed(&mut lane, act, &rest));
            let number = progress.last.fetch_add(1, Ordering::SeqCst) + 1;
            match die(&mut lane, act, number, expected) {
                Some(name) => drop(died_at.lock().unwrap().insert(name)),
                None => progress.is_done.store(true, Ordering::SeqCst),
            }
            (act.undo)(&mut lane);
            is_so(&mut lane, &rest, &format!("after all of {}, {number}", act.name));
        }
    }
    lane.witness_is_well();
}

/// Where everything happens for the first time: files are begun, and the firewall's table, and the folder of namespaces.
fn begin_in_new_hosts(died_at: &Mutex<BTreeSet<String>>) {
    let mut undisturbed = Lane::unbegun();
    begin(&mut undisturbed).unwrap();
    let begun = undisturbed.settled().unwrap();
    end(&mut undisturbed);
    let ended = undisturbed.settled().unwrap();
    for number in 1.. {
        let mut lane = Lane::unbegun();
        lane.daemon.order_death(number);
        let outcome = begin(&mut lane);
        let Some(name) = lane.daemon.take_order_back() else { return outcome.unwrap() };
        let place = format!("beginning, killed at {name}, its failpoint {number}");
        begin(&mut lane).unwrap_or_else(|failure| panic!("again after {place}: {failure}"));
        lane.nothing_is_amiss();
        is_so(&mut lane, &begun, &place);
        end(&mut lane);
        is_so(&mut lane, &ended, &place);
        died_at.lock().unwrap().insert(name);
    }
}

/// Starts a daemon, and makes one of each kind, if it is not there.
fn begin(lane: &mut Lane) -> Answer {
    lane.start_again()?;
    lane.post_if_missing("networks", network("front", 1))?;
    lane.post_if_missing("sandboxes", json!({ "name": "box" }))?;
    lane.post_if_missing("sandboxes/box/connect", place("front", 1, "box", &["8080:80/tcp"]))
}

fn end(lane: &mut Lane) {
    lane.delete("sandboxes/box").unwrap();
    lane.delete("networks/front").unwrap();
}

/// What stands before an act and after it.
struct Expected {
    before: Situation,
    after: Situation,
}

fn undisturbed(lane: &mut Lane, act: &Act, rest: &Situation) -> Expected {
    let done = |outcome: Answer| outcome.unwrap_or_else(|failure| panic!("{}: {failure}", act.name));
    done((act.prepare)(lane));
    let before = lane.settled().unwrap();
    done((act.act)(lane));
    let after = lane.settled().unwrap();
    (act.undo)(lane);
    is_so(lane, rest, &format!("after {} undisturbed", act.name));
    Expected { before, after }
}

/// Lets the daemon die at that failpoint of an act, and its successor do the act, if it is not done. The failpoint's
/// name; `None` if there are not so many.
fn die(lane: &mut Lane, act: &Act, number: u64, expected: &Expected) -> Option<String> {
    (act.prepare)(lane).unwrap_or_else(|failure| panic!("before {}: {failure}", act.name));
    lane.settled().unwrap();
    lane.daemon.order_death(number);
    let outcome = (act.act)(lane).and_then(|()| lane.settled().map(drop));
    let Some(name) = lane.daemon.take_order_back() else {
        outcome.unwrap_or_else(|failure| panic!("{}: {failure}", act.name));
        is_so(lane, &expected.after, act.name);
        return None;
    };
    let place = format!("{}, killed at {name}, its failpoint {number}", act.name);
    println!("{place}");
    lane.witness_is_well();
    lane.start_again().unwrap_or_else(|failure| panic!("{place}: the next daemon did not start: {failure}"));
    lane.witness_is_well();
    lane.nothing_is_amiss();
    let found = lane.settled().unwrap();
    if found.records != expected.after.records {
        if !act.in_parts {
            is_so(lane, &expected.before, &place);
        }
        (act.act)(lane).unwrap_or_else(|failure| panic!("again after {place}: {failure}"));
    }
    is_so(lane, &expected.after, &place);
    lane.witness_is_well();
    Some(name)
}

#[track_caller]
fn is_so(lane: &mut Lane, expected: &Situation, place: &str) {
    let found = lane.settled().unwrap_or_else(|failure| panic!("{place}: {failure}"));
    let difference = found.difference(expected);
    assert!(difference.is_empty(), "{place} (- expected, + found):\n{difference}");
}
