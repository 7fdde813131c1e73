//! A question as it came over the wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Header, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::{LARGEST_DATAGRAM, SMALLEST_LIMIT, raw};

/// A question that can be answered.
#[derive(Clone, Debug)]
pub struct Question {
    /// The header.
    pub header: Header,
    /// What is asked for, as it was written.
    pub query: Query,
    /// The name in lower case without its closing dot; `None` if it is none that a host can have.
    pub name: Option<String>,
    /// Where the question ends in the packet.
    pub end: usize,
    /// What the asker told of itself by EDNS, if anything.
    pub edns: Option<EdnsTold>,
}

/// See [`Question::edns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdnsTold {
    /// How many bytes it takes over UDP.
    pub limit: u16,
    /// The version; there is only 0.
    pub version: u8,
    /// Whether it wants DNSSEC's records.
    pub dnssec: bool,
}

/// Why a packet is no question that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Who sent it is told nothing: it is no question, or not even has an id.
    Untold,
    /// Who sent it is told what is wrong.
    Told(u16, ResponseCode),
}

impl Question {
    /// Reads it.
    ///
    /// # Errors
    /// What becomes of a packet that is none.
    pub fn read(packet: &[u8]) -> Result<Self, Fault> {
        let mut decoder = BinDecoder::new(packet);
        let header = Header::read(&mut decoder).map_err(|_| Fault::Untold)?;
        let told = |code| Fault::Told(header.metadata.id, code);
        if header.metadata.message_type != MessageType::Query {
            return Err(Fault::Untold);
        }
        if header.metadata.op_code != OpCode::Query {
            return Err(told(ResponseCode::NotImp));
        }
        if header.counts.queries != 1 {
            return Err(told(ResponseCode::FormErr));
        }
        let query = Query::read(&mut decoder).map_err(|_| told(ResponseCode::FormErr))?;
        let edns = match header.counts.additionals {
            0 => None,
            _ => raw::opt(packet).ok_or_else(|| told(ResponseCode::FormErr))?,
        };
        let name = host_name(query.name());
        Ok(Self { header, query, name, end: decoder.index(), edns })
    }

    /// How many bytes of an answer the asker takes over UDP.
    pub fn limit(&self) -> usize {
        let limit = self.edns.map_or(SMALLEST_LIMIT, |told| told.limit.max(SMALLEST_LIMIT));
        usize::from(limit).min(LARGEST_DATAGRAM)
    }

    /// Whether it is about the internet, as all but a few are.
    pub fn is_internet(&self) -> bool {
        matches!(self.query.query_class(), DNSClass::IN | DNSClass::ANY)
    }

    /// The address whose name is asked for.
    pub fn reverse(&self) -> Option<IpAddr> {
        match self.query.query_type() {
            RecordType::PTR => reverse(self.name.as_deref()?),
            _ => None,
        }
    }

    /// The port, by number, the protocol and the name of a service that is asked for: `_80._tcp.web`.
    pub fn service(&self) -> Option<(u16, &str, &str)> {
        if self.query.query_type() != RecordType::SRV {
            return None;
        }
        let (port, rest) = self.name.as_deref()?.split_once('.')?;
        let (protocol, name) = rest.split_once('.')?;
        Some((port.strip_prefix('_')?.parse().ok()?, protocol.strip_prefix('_')?, name))
    }
}

/// A name that a host can have, as names are compared.
fn host_name(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        if !label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
    }
    (!text.is_empty()).then_some(text)
}

/// `2.0.0.10.in-addr.arpa`, and the same for IPv6 by its digits under `ip6.arpa`.
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut parts = digits.rsplit('.');
        for octet in &mut octets {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| Ipv4Addr::from(octets).into());
    }
    let mut address: u128 = 0;
    let mut count = 0;
    for digit in name.strip_suffix(".ip6.arpa")?.rsplit('.') {
        if digit.len() != 1 || count == 32 {
            return None;
        }
        address = address << 4 | u128::from(u8::from_str_radix(digit, 16).ok()?);
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from(address).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_out_of_reverse_names() {
        assert_eq!(reverse("2.0.0.10.in-addr.arpa"), Some([10, 0, 0, 2].into()));
        let v6 = format!("2{}.ip6.arpa", ".0".repeat(27) + ".0.0.d.f");
        assert_eq!(reverse(&v6), Some("fd00::2".parse().unwrap()));
        for wrong in ["0.0.10.in-addr.arpa", "1.2.0.0.10.in-addr.arpa", "x.0.0.10.in-addr.arpa", "2.0.ip6.arpa", "a.b"]
        {
            assert_eq!(reverse(wrong), None, "{wrong}");
        }
    }
}
