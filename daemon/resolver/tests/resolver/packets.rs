//! Packets of any kind: nothing panics, nothing grows, and the next question is answered.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use trestle_resolver::Limits;
use trestle_resolver::wire::answer::{self, Fact};
use trestle_resolver::wire::question::Question;
use trestle_resolver::wire::raw;

use crate::world::{World, question};

/// A question with some bytes changed, or cut off, or with more behind.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8);
    (changes, any::<proptest::sample::Index>(), proptest::collection::vec(any::<u8>(), 0..64), any::<bool>()).prop_map(
        |(changes, end, more, cut)| {
            let mut packet = question("web.front", RecordType::A, Some(1232));
            for (at, byte) in changes {
                let at = at.index(packet.len());
                packet[at] = byte;
            }
            match cut {
                true => packet.truncate(end.index(packet.len())),
                false => packet.extend(more),
            }
            packet
        },
    )
}

fn read_all(packet: &[u8]) {
    if let Ok(question) = Question::read(packet) {
        let facts = [Fact::Address([10, 0, 0, 1].into()), Fact::Name("a.b".into())];
        for limit in [0, 12, 512, 65535] {
            let written = answer::write(&question, ResponseCode::NoError, &facts, limit);
            assert!(written.is_none_or(|bytes| Question::read(&bytes).is_err()), "an answer is no question");
        }
        let _ = (question.reverse(), question.service(), question.limit());
    }
    let mut changed = packet.to_vec();
    raw::grow_older(&mut changed, 5, 1);
    raw::set_id(&mut changed, 7);
    raw::set_words(&mut changed, packet);
    assert_eq!(changed.len(), packet.len());
    let _ = (raw::keeps_for(packet), raw::is_to(packet, packet), raw::opt(packet), raw::records(packet));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange_to_read(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
        read_all(&packet);
    }

    #[test]
    fn no_question_is_too_mangled_to_read(packet in mangled()) {
        read_all(&packet);
    }
}

#[tokio::test]
async fn ten_thousand_strange_packets_leave_nothing_behind() {
    let world = World::furnished(Vec::new(), Limits::default());
    let socket = world.socket();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for round in 0..10_000 {
        let packet = mangled().new_tree(&mut runner).unwrap().current();
        // Whoever floods the socket loses packets to the kernel, not to us.
        let _lost = socket.send(&packet);
        if round % 50 == 0 {
            assert_eq!(world.addresses("web", RecordType::A).await.len(), 1);
        }
    }
    assert_eq!(world.directory.look().names(), 6, "what it knows is what it was told");
}
