//! Other servers: slow, dead, lying, cutting short, failing.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, NULL, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use trestle_resolver::Limits;
use trestle_resolver::limits::Counted;

use crate::world::{World, addresses, question};

/// A server that says to each question what it is told to; nothing where that is `None`.
fn server(say: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (at, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = asked.clone();
    std::thread::spawn(move || {
        let mut room = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut room) {
            counted.fetch_add(1, Ordering::SeqCst);
            for answer in say(&Message::from_vec(&room[..length]).unwrap()) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    (at, asked)
}

fn reply(to: &Message) -> Message {
    let mut answer = to.clone();
    answer.metadata.message_type = MessageType::Response;
    answer
}

fn address(to: &Message, last: u8) -> Message {
    let mut answer = reply(to);
    let name = to.queries[0].name().clone();
    answer.add_answer(Record::from_rdata(name, 300, RData::A(A([192, 0, 2, last].into()))));
    answer
}

fn honest(last: u8) -> (SocketAddr, Arc<AtomicUsize>) {
    server(move |to| vec![address(to, last).to_vec().unwrap()])
}

fn with(code: ResponseCode) -> (SocketAddr, Arc<AtomicUsize>) {
    server(move |to| {
        let mut answer = reply(to);
        answer.metadata.response_code = code;
        vec![answer.to_vec().unwrap()]
    })
}

fn silent() -> (SocketAddr, Arc<AtomicUsize>) {
    server(|_| Vec::new())
}

fn world(servers: &[&(SocketAddr, Arc<AtomicUsize>)]) -> World {
    let limits = Limits { head_start: Duration::from_millis(20), ..Limits::default() };
    World::furnished(servers.iter().map(|(at, _)| *at).collect(), limits)
}

#[tokio::test]
async fn a_server_that_is_silent_is_overtaken_and_asked_last_from_then_on() {
    let (first, second) = (silent(), honest(7));
    let world = world(&[&first, &second]);
    for name in ["a.example", "b.example"] {
        assert_eq!(
            addresses(&world.ask(name, RecordType::A).await),
            ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]
        );
    }
    assert_eq!(first.1.load(Ordering::SeqCst), 1, "the second question went to who had answered");
}

#[tokio::test]
async fn a_server_that_fails_or_refuses_leaves_it_to_the_next_and_no_such_name_is_an_answer() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        let (first, second) = (with(code), honest(7));
        let world = world(&[&first, &second]);
        assert_eq!(world.addresses("a.example", RecordType::A).await.len(), 1, "{code}");
    }
    let (first, second) = (with(ResponseCode::NXDomain), honest(7));
    let world = world(&[&first, &second]);
    assert_eq!(world.code("a.example", RecordType::A).await.0, ResponseCode::NXDomain);
    assert_eq!(second.1.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn when_all_fail_the_asker_is_told_so() {
    let world = World::furnished(vec![silent().0], Limits { patience: Duration::from_millis(50), ..Limits::default() });
    assert_eq!(world.code("a.example", RecordType::A).await.0, ResponseCode::ServFail);
    assert_eq!(world.counts.of(Counted::Failed), 1);
}

#[tokio::test]
async fn an_answer_to_another_question_is_none() {
    let lying = server(|to| {
        let (mut id, mut name) = (address(to, 66), address(to, 66));
        id.metadata.id ^= 1;
        name.queries[0].set_name(Name::from_ascii("other.example.").unwrap());
        let no_answer = to.clone();
        let all = [id, name, no_answer, address(to, 7)].map(|it| it.to_vec().unwrap());
        std::iter::once(b"nonsense".to_vec()).chain(all).collect()
    });
    let world = world(&[&lying]);
    assert_eq!(world.addresses("a.example", RecordType::A).await, ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]);
}

#[tokio::test]
async fn answers_are_kept_that_there_is_something_and_that_there_is_nothing() {
    let there = honest(7);
    let nothing = server(|to| {
        let mut answer = reply(to);
        answer.metadata.response_code = ResponseCode::NXDomain;
        let root = Name::root();
        let soa = SOA::new(root.clone(), root.clone(), 1, 1, 1, 1, 300);
        answer.add_authority(Record::from_rdata(root, 300, RData::SOA(soa)));
        vec![answer.to_vec().unwrap()]
    });
    for server in [&there, &nothing] {
        let world = world(&[server]);
        for name in ["a.example", "A.Example", "a.EXAMPLE"] {
            let answer = Message::from_vec(&world.send(question(name, RecordType::A, None)).await).unwrap();
            assert_eq!(answer.queries[0].name().to_ascii(), format!("{name}."), "each in his own words");
            assert_eq!(answer.metadata.id, 4711);
        }
        assert_eq!((server.1.load(Ordering::SeqCst), world.counts.of(Counted::Kept)), (1, 2));
    }
}

#[tokio::test]
async fn what_nobody_here_understands_is_handed_on_byte_for_byte() {
    let strange = server(|to| {
        let mut answer = reply(to);
        let data = RData::Unknown { code: RecordType::Unknown(65280), rdata: NULL::with(vec![1, 2, 3]) };
        answer.add_answer(Record::from_rdata(to.queries[0].name().clone(), 60, data));
        let mut bytes = answer.to_vec().unwrap();
        bytes[3] |= 0x40;
        vec![bytes]
    });
    let world = world(&[&strange]);
    let heard = world.send(question("a.example", RecordType::Unknown(65280), Some(1232))).await;
    assert!(heard.ends_with(&[0, 3, 1, 2, 3]) || heard.windows(5).any(|it| it == [0, 3, 1, 2, 3]), "{heard:?}");
    assert_eq!(heard[3] & 0x40, 0x40, "a bit without a meaning stays");
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_handed_on_so_and_not_kept() {
    let cutting = server(|to| {
        let mut answer = reply(to);
        answer.metadata.truncation = true;
        vec![answer.to_vec().unwrap()]
    });
    let world = world(&[&cutting]);
    for _ in 0..2 {
        assert!(world.ask("a.example", RecordType::A).await.metadata.truncation);
    }
    assert_eq!(cutting.1.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_names_of_ours_are_answered_all_the_same() {
    let world = World::furnished(vec![silent().0], Limits { forwards_of_one: 1, ..Limits::default() });
    let waiting = world.socket();
    waiting.send(&question("a.example", RecordType::A, None)).unwrap();
    // Answers come in no order, but this one is only sent when the first question took its place.
    while world.counts.of(Counted::Forwarded) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.code("b.example", RecordType::A).await.0, ResponseCode::Refused);
    assert_eq!(world.counts.of(Counted::Refused), 1);
    assert_eq!(world.addresses("web", RecordType::A).await.len(), 1);
}
