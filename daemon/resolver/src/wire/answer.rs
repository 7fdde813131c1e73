//! The answer that we give ourselves.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR, SRV};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::question::Question;
use super::{LARGEST_MESSAGE, OUR_LIMIT};

/// How long an answer of ours may be kept, in seconds: not at all, for the next container may have the name by then, and
/// who asks again is answered at once.
const TTL: u32 = 0;

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The name has this address.
    Address(IpAddr),
    /// The address has this name.
    Name(String),
    /// The service is at this port of the name, which has these addresses.
    Service {
        /// The port.
        port: u16,
        /// The name.
        target: String,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
}

/// Writes an answer: the code, and the facts. What does not fit into `limit` bytes is left out, and the asker is told.
///
/// `None` if it can't be written, which no question and no fact of ours is the cause of.
pub fn write(question: &Question, code: ResponseCode, facts: &[Fact], limit: usize) -> Option<Vec<u8>> {
    let mut message = Message::response(question.header.metadata.id, OpCode::Query);
    message.metadata = Metadata::response_from_request(&question.header.metadata);
    message.metadata.recursion_available = true;
    message.metadata.authoritative = code == ResponseCode::NoError;
    message.metadata.response_code = code;
    message.add_query(question.query.clone());
    for fact in facts {
        tell(&mut message, question.query.name(), fact)?;
    }
    if let Some(told) = question.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(OUR_LIMIT).set_version(0).set_dnssec_ok(told.dnssec);
        message.set_edns(edns);
    }
    let whole = encode(&message)?;
    match whole.len() <= limit {
        true => Some(whole),
        false => encode(&message.truncate()),
    }
}

/// Tells what is wrong with a packet that could not be read further than its id.
pub fn write_fault(id: u16, code: ResponseCode) -> Option<Vec<u8>> {
    encode(&Message::error_msg(id, OpCode::Query, code))
}

fn tell(message: &mut Message, asked: &Name, fact: &Fact) -> Option<()> {
    match fact {
        Fact::Address(address) => {
            message.add_answer(address_record(asked.clone(), *address));
        }
        Fact::Name(name) => {
            message.add_answer(Record::from_rdata(asked.clone(), TTL, RData::PTR(PTR(absolute(name)?))));
        }
        Fact::Service { port, target, addresses } => {
            let target = absolute(target)?;
            let service = SRV::new(0, 0, *port, target.clone());
            message.add_answer(Record::from_rdata(asked.clone(), TTL, RData::SRV(service)));
            for address in addresses {
                message.add_additional(address_record(target.clone(), *address));
            }
        }
    }
    Some(())
}

fn address_record(name: Name, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(name, TTL, data)
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_labels(name.split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn encode(message: &Message) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(256);
    let mut encoder = BinEncoder::new(&mut bytes);
    message.emit(&mut encoder).ok()?;
    (bytes.len() <= LARGEST_MESSAGE).then_some(bytes)
}
