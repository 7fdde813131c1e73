//! What a question is answered from the directory alone.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use trestle_core::id::SandboxId;

use crate::directory::{Picture, Place};
use crate::wire::answer::Fact;
use crate::wire::question::Question;

/// What the directory says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// This is the answer, and nobody else is asked.
    Answer(ResponseCode, Vec<Fact>),
    /// Others may know.
    Unknown,
}

/// Answers from the directory. `turn` tells with which of several to begin.
pub fn say(picture: &Picture, sandbox: SandboxId, question: &Question, turn: usize) -> Said {
    if !question.is_internet() {
        return unknown(picture, sandbox);
    }
    if let Some(address) = question.reverse() {
        return match picture.name_of(sandbox, address) {
            Some(name) => Said::Answer(ResponseCode::NoError, vec![Fact::Name(name)]),
            None if picture.is_near(sandbox, address) => Said::Answer(ResponseCode::NXDomain, Vec::new()),
            None => unknown(picture, sandbox),
        };
    }
    let found = question.name.as_deref().and_then(|name| picture.find(sandbox, name));
    if let Some(places) = found {
        let facts = match question.query.query_type() {
            RecordType::A => addresses(&places, IpAddr::is_ipv4, turn),
            RecordType::AAAA => addresses(&places, IpAddr::is_ipv6, turn),
            RecordType::ANY => addresses(&places, |_| true, turn),
            _ => Vec::new(),
        };
        return Said::Answer(ResponseCode::NoError, facts);
    }
    if let Some((port, protocol, name)) = question.service()
        && let Some(places) = picture.find(sandbox, name)
    {
        return Said::Answer(ResponseCode::NoError, services(picture, &places, port, protocol, turn));
    }
    unknown(picture, sandbox)
}

/// Who can't reach others has nobody to ask: nothing outside is there for him, and nobody hears what he looks for.
fn unknown(picture: &Picture, sandbox: SandboxId) -> Said {
    match picture.leads_out(sandbox) {
        true => Said::Unknown,
        false => Said::Answer(ResponseCode::NXDomain, Vec::new()),
    }
}

fn addresses(places: &[&Place], fits: fn(&IpAddr) -> bool, turn: usize) -> Vec<Fact> {
    let all = places.iter().flat_map(|place| &place.addresses).filter(|address| fits(address));
    rotated(all.map(|address| Fact::Address(*address)).collect(), turn)
}

/// The places that are said to listen on the port.
fn services(picture: &Picture, places: &[&Place], port: u16, protocol: &str, turn: usize) -> Vec<Fact> {
    let listens = |place: &&&Place| {
        let fits = |it: &trestle_core::port::ExposedPort| {
            it.protocol.to_string() == protocol && it.ports.first() <= port && port <= it.ports.last()
        };
        place.exposed.iter().any(fits)
    };
    let told = places.iter().filter(listens).filter_map(|place| {
        let target = place.full_name(picture.zone(place)?);
        Some(Fact::Service { port, target, addresses: place.addresses.clone() })
    });
    rotated(told.collect(), turn)
}

fn rotated(mut facts: Vec<Fact>, turn: usize) -> Vec<Fact> {
    if facts.len() > 1 {
        let by = turn % facts.len();
        facts.rotate_left(by);
    }
    facts
}
