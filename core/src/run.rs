//! Thousands of ports, one beside the other, as one in a record.
//!
//! Ports that are published together mostly follow each other, and are alike in all else. A record tells such a run by
//! its first and by how many there are: `{"protocol":"tcp","address":null,"host":"8000","container":"80","run":1000}`
//! is 8000 to 80, 8001 to 81, and so on. Each is one of its own all the same, before it is stored and after it is read.
//!
//! `#[serde(with = "crate::run")]` on a field makes it so. What is in no run is written as it would be without.

use std::iter;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde::{Deserialize as Read, Serialize as Write};

/// What may be one of a run.
pub(crate) trait InRun: Clone + PartialEq {
    /// The one that is so many ports further on; `None` if there is none, or if it never stands in a run.
    fn further(&self, ports: u16) -> Option<Self>;
}

/// A list of what may be in runs.
pub(crate) trait Listed {
    type Item: InRun;

    fn items(&self) -> &[Self::Item];
    fn of_items(items: Vec<Self::Item>) -> Self;
}

impl<T: InRun> Listed for Vec<T> {
    type Item = T;

    fn items(&self) -> &[T] {
        self
    }

    fn of_items(items: Vec<T>) -> Self {
        items
    }
}

/// A run as it is written.
#[derive(Write)]
struct Written<'a, T: Serialize> {
    #[serde(flatten)]
    first: &'a T,
    #[serde(skip_serializing_if = "is_one")]
    run: u16,
}

/// A run as it is read.
#[derive(Read)]
struct Told<T> {
    #[serde(flatten)]
    first: T,
    #[serde(default = "one")]
    run: u16,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_one(run: &u16) -> bool {
    *run == 1
}

fn one() -> u16 {
    1
}

pub(crate) fn serialize<L, S>(list: &L, serializer: S) -> Result<S::Ok, S::Error>
where
    L: Listed<Item: Serialize>,
    S: Serializer,
{
    let mut runs = serializer.serialize_seq(None)?;
    let mut rest = list.items();
    while let Some(first) = rest.first() {
        let alike = (1..=u16::MAX).zip(&rest[1..]);
        let run = 1 + alike.take_while(|(ports, next)| first.further(*ports).as_ref() == Some(next)).count();
        let run = u16::try_from(run).expect("no run is longer than there are ports");
        runs.serialize_element(&Written { first, run })?;
        rest = &rest[usize::from(run)..];
    }
    runs.end()
}

pub(crate) fn deserialize<'de, L, D>(deserializer: D) -> Result<L, D::Error>
where
    L: Listed<Item: Deserialize<'de>>,
    D: Deserializer<'de>,
{
    let mut items = Vec::new();
    for Told { first, run } in Vec::<Told<L::Item>>::deserialize(deserializer)? {
        let others: Option<Vec<L::Item>> = (1..run).map(|ports| first.further(ports)).collect();
        let others = others.filter(|_| run > 0);
        let others = others.ok_or_else(|| D::Error::custom(format!("no run of ports can have {run}")))?;
        items.extend(iter::once(first).chain(others));
    }
    Ok(L::of_items(items))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::port::{ExposedPort, PortBinding, PortRequest};
    use crate::resource::{Hairpin, OpenedPort, PublishedPort, Resource};

    #[derive(Debug, PartialEq, Read, Write)]
    struct Record {
        #[serde(with = "crate::run")]
        exposed: Vec<ExposedPort>,
        #[serde(with = "crate::run")]
        wanted: Vec<PortRequest>,
        #[serde(with = "crate::run")]
        ports: Vec<PortBinding>,
        #[serde(with = "crate::run")]
        plan: Plan,
    }

    fn record(requests: &[String]) -> Record {
        let wanted: Vec<PortRequest> = requests.iter().map(|text| text.parse().unwrap()).collect();
        let ports: Vec<PortBinding> = wanted.iter().map(PortRequest::opened).collect();
        let ports: Vec<PortBinding> =
            ports.into_iter().map(|it| PortBinding { host: Some(it.container), ..it }).collect();
        let published = |it: &PortBinding| PublishedPort {
            protocol: it.protocol,
            address: it.address,
            host: it.container,
            container: it.container,
            to_v4: Some([10, 0, 0, 2].into()),
            to_v6: None,
        };
        let hairpin = Resource::Hairpin(Hairpin { address: [10, 0, 0, 2].into() });
        let opened =
            |it: &PortBinding| OpenedPort { protocol: it.protocol, address: [10, 0, 0, 2].into(), ports: it.container };
        let resources = iter::once(hairpin)
            .chain(ports.iter().map(opened).map(Resource::OpenedPort))
            .chain(ports.iter().map(published).map(Resource::PublishedPort));
        let exposed = wanted.iter().map(|it| ExposedPort { ports: it.container, protocol: it.protocol });
        Record { exposed: exposed.collect(), plan: resources.collect(), wanted, ports }
    }

    fn there_and_back(requests: &[String]) -> serde_json::Value {
        let record = record(requests);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn ten_thousand_ports_in_a_row_are_one_in_a_record_and_ten_thousand_again_when_it_is_read() {
        for request in ["{}", "{}:{}/udp", "127.0.0.1:{}:{}"] {
            let requests: Vec<String> =
                (20_000..30_000).map(|port: u16| request.replace("{}", &port.to_string())).collect();
            let told = there_and_back(&requests);
            for list in ["exposed", "wanted", "ports"] {
                assert_eq!(told[list].as_array().unwrap().len(), 1, "{list} of {request}");
            }
            assert_eq!(told["plan"].as_array().unwrap().len(), 3, "{request}");
        }
    }

    #[test]
    fn what_does_not_follow_port_by_port_is_not_in_a_run() {
        let requests = ["80:80", "81:81/udp", "82:82", "84:84", "127.0.0.1:86:86", "85-86:85-86", "87-88:87-88", "89"];
        let told = there_and_back(&requests.map(String::from));
        for list in ["exposed", "wanted", "ports"] {
            assert_eq!(told[list].as_array().unwrap().len(), requests.len(), "{list}");
        }
        assert_eq!(told["ports"], serde_json::to_value(record(&requests.map(String::from)).ports).unwrap());
    }

    #[test]
    fn runs_reach_the_last_port_and_never_beyond() {
        let all: Vec<String> = (1..=u16::MAX).map(|port| format!("{port}:{port}")).collect();
        assert_eq!(there_and_back(&all)["ports"][0]["run"], u16::MAX);
        for run in [0, 3, 65536] {
            let text = format!(
                r#"{{"exposed":[{{"ports":"65534","protocol":"tcp","run":{run}}}],"wanted":[],"ports":[],"plan":[]}}"#
            );
            assert!(serde_json::from_str::<Record>(&text).is_err(), "{run}");
        }
        let text = r#"{"exposed":[],"wanted":[],"ports":[],"plan":[{"kind":"hairpin","address":"::1","run":2}]}"#;
        assert!(serde_json::from_str::<Record>(text).is_err());
    }
}
