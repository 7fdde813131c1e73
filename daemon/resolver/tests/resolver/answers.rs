//! What a sandbox hears of its own networks.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use trestle_core::endpoint::EndpointState;
use trestle_core::port::{ExposedPort, PortRange, Protocol};
use trestle_core::store::{Key, Record};
use trestle_resolver::Limits;

use crate::world::{World, addresses, endpoint, network, question, sandbox};

fn world() -> World {
    World::furnished(Vec::new(), Limits::default())
}

#[tokio::test]
async fn a_sandbox_is_known_by_name_short_id_host_name_alias_and_with_its_network() {
    let world = world();
    let mut web = sandbox(2, "Web");
    web.naming.as_mut().unwrap().hostname = Some("www".try_into().unwrap());
    web.naming.as_mut().unwrap().domain = Some("example.org".try_into().unwrap());
    let mut place = endpoint(1, &web, 2);
    place.names.aliases = vec!["store".try_into().unwrap()];
    let short = web.id.short();
    world.commit(vec![Record::Sandbox(web), Record::Endpoint(Box::new(place))]);
    for name in ["web", "WEB", "web.front", "store", "store.front", "www", "www.example.org", &short] {
        assert_eq!(
            world.addresses(name, RecordType::A).await,
            ["10.1.0.2".parse::<std::net::IpAddr>().unwrap()],
            "{name}"
        );
        assert_eq!(world.addresses(name, RecordType::AAAA).await, ["fd00:1::2".parse::<std::net::IpAddr>().unwrap()]);
    }
    assert_eq!(world.code("web.back", RecordType::A).await.0, ResponseCode::ServFail, "it is not there");
}

#[tokio::test]
async fn a_known_name_without_such_a_record_is_there_and_empty() {
    let world = world();
    for kind in [RecordType::MX, RecordType::TXT, RecordType::HTTPS, RecordType::SRV, RecordType::CNAME] {
        assert_eq!(world.code("web", kind).await, (ResponseCode::NoError, 0), "{kind}");
    }
    let mut v4_only = endpoint(1, &sandbox(2, "web"), 2);
    v4_only.lease.as_mut().unwrap().v6 = None;
    world.commit(vec![Record::Endpoint(Box::new(v4_only))]);
    assert_eq!(world.code("web", RecordType::AAAA).await, (ResponseCode::NoError, 0));
}

#[tokio::test]
async fn names_are_heard_on_shared_networks_only() {
    let world = world();
    assert_eq!(world.code("db", RecordType::A).await.0, ResponseCode::ServFail);
    assert_eq!(world.code("3.0.2.10.in-addr.arpa", RecordType::PTR).await.0, ResponseCode::ServFail);
    world.commit(vec![Record::Endpoint(Box::new(endpoint(2, &sandbox(1, "asker"), 1)))]);
    assert_eq!(world.addresses("db", RecordType::A).await.len(), 1);
    assert_eq!(world.code("3.0.2.10.in-addr.arpa", RecordType::PTR).await, (ResponseCode::NoError, 1));
}

#[tokio::test]
async fn a_name_is_right_from_the_commit_on_and_gone_with_the_next() {
    let world = world();
    let web = sandbox(2, "web");
    let mut moved = endpoint(1, &web, 2);
    moved.lease.as_mut().unwrap().v4 = Some("10.1.9.9/16".parse().unwrap());
    world.commit(vec![Record::Endpoint(Box::new(moved.clone()))]);
    let answer = world.ask("web", RecordType::A).await;
    assert_eq!(addresses(&answer), ["10.1.9.9".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(answer.answers[0].ttl, 0, "nobody may keep it");
    moved.state = EndpointState::Reserved;
    world.commit(vec![Record::Endpoint(Box::new(moved.clone()))]);
    assert_eq!(world.code("web", RecordType::A).await.0, ResponseCode::ServFail);
    world.remove(Key::Endpoint(moved.id));
    assert_eq!(world.directory.look().names(), 4, "asker and db, by name and by id");
}

#[tokio::test]
async fn several_under_one_name_are_all_told_each_first_in_its_turn() {
    let world = world();
    for number in 10..13 {
        let one = sandbox(number, &format!("one{number}"));
        let mut place = endpoint(1, &one, number);
        place.names.aliases = vec!["pool".try_into().unwrap()];
        world.commit(vec![Record::Sandbox(one), Record::Endpoint(Box::new(place))]);
    }
    let mut first = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let told = addresses(&world.ask("pool", RecordType::A).await);
        assert_eq!(told.len(), 3);
        first.insert(told[0]);
    }
    assert_eq!(first.len(), 3);
}

#[tokio::test]
async fn an_address_has_its_first_name_and_an_unknown_one_nearby_has_none() {
    let world = world();
    let answer = world.ask("2.0.1.10.in-addr.arpa", RecordType::PTR).await;
    assert!(matches!(&answer.answers[0].data, RData::PTR(name) if name.0.to_ascii() == "web.front."), "{answer:?}");
    assert_eq!(world.code("9.9.1.10.in-addr.arpa", RecordType::PTR).await, (ResponseCode::NXDomain, 0));
}

#[tokio::test]
async fn a_service_is_told_with_its_port_where_it_is_said_to_listen() {
    let world = world();
    let mut place = endpoint(1, &sandbox(2, "web"), 2);
    place.exposed = vec![ExposedPort { ports: PortRange::new(80, 81).unwrap(), protocol: Protocol::Tcp }];
    world.commit(vec![Record::Endpoint(Box::new(place))]);
    let answer = world.ask("_81._tcp.web", RecordType::SRV).await;
    let RData::SRV(service) = &answer.answers[0].data else { panic!("{answer:?}") };
    assert_eq!((service.port, service.target.to_ascii().as_str()), (81, "web.front."));
    assert_eq!(answer.additionals.len(), 2);
    assert_eq!(world.code("_82._tcp.web", RecordType::SRV).await, (ResponseCode::NoError, 0));
    assert_eq!(world.code("_81._udp.web", RecordType::SRV).await, (ResponseCode::NoError, 0));
}

#[tokio::test]
async fn a_link_is_a_name_of_the_linking_sandbox_s_own() {
    let world = world();
    let mut place = endpoint(1, &sandbox(1, "asker"), 1);
    place.names.links = vec!["web:site".parse().unwrap()];
    world.commit(vec![Record::Endpoint(Box::new(place))]);
    assert_eq!(world.addresses("site", RecordType::A).await.len(), 1);
    world.commit(vec![Record::Endpoint(Box::new(endpoint(1, &sandbox(1, "asker"), 1)))]);
    assert_eq!(world.code("site", RecordType::A).await.0, ResponseCode::ServFail);
}

#[tokio::test]
async fn on_internal_networks_nothing_else_exists() {
    let world = world();
    let mut front = network(1, "front");
    front.internal = true;
    world.commit(vec![Record::Network(front)]);
    assert_eq!(world.code("example.org", RecordType::A).await, (ResponseCode::NXDomain, 0));
    assert_eq!(world.addresses("web", RecordType::A).await.len(), 1);
}

#[tokio::test]
async fn what_does_not_fit_is_cut_and_told_whole_by_tcp_or_with_edns() {
    let world = world();
    for number in 100..200 {
        let one = sandbox(number, &format!("one{number}"));
        let mut place = endpoint(1, &one, number);
        place.names.aliases = vec!["many".try_into().unwrap()];
        world.commit(vec![Record::Sandbox(one), Record::Endpoint(Box::new(place))]);
    }
    let cut = world.send(question("many", RecordType::A, None)).await;
    assert!(cut.len() <= 512);
    assert!(Message::from_vec(&cut).unwrap().metadata.truncation);
    for whole in [
        world.send(question("many", RecordType::A, Some(4096))).await,
        world.send_by_tcp(question("many", RecordType::A, None)).await,
    ] {
        let answer = Message::from_vec(&whole).unwrap();
        assert_eq!((answer.answers.len(), answer.metadata.truncation), (100, false));
    }
}

#[tokio::test]
async fn the_words_of_a_question_come_back_in_their_case_and_edns_in_kind() {
    let world = world();
    let asked = question("wEb.FRonT", RecordType::A, Some(1400));
    let answer = Message::from_vec(&world.send(asked.clone()).await).unwrap();
    assert_eq!(answer.queries[0].name().to_ascii(), "wEb.FRonT.");
    assert_eq!(answer.answers[0].name.to_ascii(), "wEb.FRonT.");
    assert!(answer.edns.is_some());
    assert!(world.ask("web", RecordType::A).await.edns.is_none());
    let mut newer = Message::from_vec(&asked).unwrap();
    newer.edns.as_mut().unwrap().set_version(1);
    let refusal = Message::from_vec(&world.send(newer.to_vec().unwrap()).await).unwrap();
    assert_eq!(u16::from(refusal.metadata.response_code), u16::from(ResponseCode::BADVERS));
}
