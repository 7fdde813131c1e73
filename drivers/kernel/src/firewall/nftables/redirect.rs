//! The redirect of a sandbox's questions for names, in a table of the sandbox's own namespace.
//!
//! Ports are rewritten in the packets themselves, on their way out and on the answers', without the connection tracker:
//! nobody in the sandbox pays for being tracked, and no tracked flow leads to the sockets of a daemon that died. The
//! questions are rewritten before the tracker may see them, the answers after it did, so that where a container tracks
//! its connections by rules of its own, it sees one whole connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use trestle_core::error::{Doing, Error, Result};
use trestle_core::port::Protocol;

use super::attribute::Attributes;
use super::expression::{FIRST, compare, expression, load, register};
use super::message::{Batch, Subject, nftables};
use super::refusal::sentence;
use super::socket::{Outcome, Socket};
use super::statement::{Family, Field};
use super::transaction::user_data;
use super::uapi::*;

/// The table's name: another one than the firewall's, for a sandbox may be another daemon's host.
const TABLE: &str = "trestle_names";

/// What the comment of our table begins with.
const MARK: &str = "trestle names";

/// Where programs ask for names.
const NAMES_PORT: u16 = 53;

/// Where the answers come from in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    pub(crate) protocol: Protocol,
    pub(crate) socket: SocketAddr,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.socket, self.protocol)
    }
}

impl Door {
    fn parse(text: &str) -> Option<Self> {
        let (socket, protocol) = text.split_once('/')?;
        Some(Self { protocol: protocol.parse().ok()?, socket: socket.parse().ok()? })
    }
}

/// The redirects of the network namespace of the thread that opened it.
pub(crate) struct Redirects(Socket);

impl Redirects {
    /// Closing it may take the kernel ten milliseconds, if something was taken away by it.
    pub(crate) fn open() -> Result<Self> {
        Socket::open().map(Self)
    }

    /// Where questions are led to now; nothing if nobody leads them anywhere, or not all of it stands.
    pub(crate) fn read(&mut self) -> Result<Vec<Door>> {
        let mut told = None;
        let named = |it: &mut Attributes<'_>| it.text(NFTA_TABLE_NAME, TABLE);
        self.0.ask(nftables(NFT_MSG_GETTABLE), 0, NFPROTO_INET, named, |message| {
            let attributes = message.attributes();
            let awake = attributes.get(NFTA_TABLE_FLAGS).is_none_or(|it| it.number() == 0);
            let comment = attributes.get(NFTA_TABLE_USERDATA).and_then(|it| super::dump::comment(it.value));
            told = comment.filter(|_| awake);
        })?;
        let Some(told) = told else { return Ok(Vec::new()) };
        let Some(listed) = told.strip_prefix(MARK) else { return Ok(Vec::new()) };
        let Some(doors) = listed.split_whitespace().map(Door::parse).collect::<Option<Vec<Door>>>() else {
            return Ok(Vec::new());
        };
        let of_table = |it: &mut Attributes<'_>| it.text(NFTA_RULE_TABLE, TABLE);
        let rules = self.0.dump(nftables(NFT_MSG_GETRULE), NFPROTO_INET, of_table, |message| {
            (message.attributes().get(NFTA_RULE_TABLE)?.text() == TABLE).then_some(())
        })?;
        let whole = rules.unwrap_or_default().len() == doors.len() * 2;
        Ok(if whole { doors } else { Vec::new() })
    }

    /// Leads questions there, and nowhere else any more.
    ///
    /// # Errors
    /// `Unsupported` if this kernel has no nf_tables.
    pub(crate) fn make(&mut self, doors: &[Door]) -> Result<()> {
        let mut batch = Batch::default();
        let listed: Vec<String> = doors.iter().map(Door::to_string).collect();
        let comment = format!("{MARK} {}", listed.join(" "));
        // The comment of a table that is there can't be changed.
        if self.exists()? {
            delete(&mut batch);
        }
        batch.message(NFT_MSG_NEWTABLE, NLM_F_CREATE, Subject::Table, |it| {
            it.text(NFTA_TABLE_NAME, TABLE);
            it.number(NFTA_TABLE_FLAGS, 0);
            it.bytes(NFTA_TABLE_USERDATA, &user_data(NFTNL_UDATA_TABLE_COMMENT, &comment));
        });
        for side in [QUESTIONS, ANSWERS] {
            chain(&mut batch, &side);
            doors.iter().for_each(|door| rule(&mut batch, &side, door));
        }
        self.transact(&mut batch).doing(|| "leading questions for names to the daemon")
    }

    /// Leads questions nowhere any more.
    pub(crate) fn remove(&mut self) -> Result<()> {
        if !self.exists()? {
            return Ok(());
        }
        let mut batch = Batch::default();
        delete(&mut batch);
        self.transact(&mut batch).doing(|| "leading questions for names to the daemon no more")
    }

    fn exists(&mut self) -> Result<bool> {
        let named = |it: &mut Attributes<'_>| it.text(NFTA_TABLE_NAME, TABLE);
        self.0.ask(nftables(NFT_MSG_GETTABLE), 0, NFPROTO_INET, named, |_| {})
    }

    fn transact(&mut self, batch: &mut Batch) -> Result<()> {
        /// Bound to no generation: nobody else has rules in this table.
        const ANY: u32 = 0;
        match self.0.transact(batch, ANY)? {
            Outcome::Done => Ok(()),
            Outcome::Stale => Err(Error::internal("a transaction bound to no generation can't be stale")),
            Outcome::Refused(refusals) => Err(refusals
                .first()
                .map_or_else(|| Error::internal("the kernel refused, and does not say what"), sentence)),
        }
    }
}

/// Packets on one way between asker and name server.
struct Side {
    chain: &'static str,
    hook: u32,
    priority: i32,
    /// Which address is the name server's.
    v4: Field,
    v6: Field,
    /// Where the name server's port stands in the header of TCP and UDP.
    port_at: u32,
    comes_from_server: bool,
}

const QUESTIONS: Side = Side {
    chain: "questions",
    hook: NF_INET_LOCAL_OUT,
    // Raw: before connections are tracked.
    priority: -300,
    v4: Field::Destination4,
    v6: Field::Destination6,
    port_at: 2,
    comes_from_server: false,
};

const ANSWERS: Side = Side {
    chain: "answers",
    hook: NF_INET_POST_ROUTING,
    // After sources are translated.
    priority: 300,
    v4: Field::Source4,
    v6: Field::Source6,
    port_at: 0,
    comes_from_server: true,
};

fn delete(batch: &mut Batch) {
    batch.message(NFT_MSG_DELTABLE, 0, Subject::Table, |it| it.text(NFTA_TABLE_NAME, TABLE));
}

fn chain(batch: &mut Batch, side: &Side) {
    batch.message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, Subject::Chain(side.chain), |it| {
        it.text(NFTA_CHAIN_TABLE, TABLE);
        it.text(NFTA_CHAIN_NAME, side.chain);
        it.text(NFTA_CHAIN_TYPE, "filter");
        it.bytes(NFTA_CHAIN_POLICY, &NF_ACCEPT.to_be_bytes());
        it.nest(NFTA_CHAIN_HOOK, |it| {
            it.number(NFTA_HOOK_HOOKNUM, side.hook);
            it.bytes(NFTA_HOOK_PRIORITY, &side.priority.to_be_bytes());
        });
    });
}

/// `ip daddr 127.0.0.11 udp dport 53 udp dport set 4711`, and the like.
fn rule(batch: &mut Batch, side: &Side, door: &Door) {
    let (number, checksum_at) = match door.protocol {
        Protocol::Tcp => (libc::IPPROTO_TCP, 16),
        Protocol::Udp => (libc::IPPROTO_UDP, 6),
        Protocol::Sctp => unreachable!("nobody is asked for names by SCTP"),
    };
    let number = u8::try_from(number).expect("protocols have numbers of one byte");
    let (is, shall) = match side.comes_from_server {
        true => (door.socket.port(), NAMES_PORT),
        false => (NAMES_PORT, door.socket.port()),
    };
    batch.message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, Subject::Rule(side.chain), |it| {
        it.text(NFTA_RULE_TABLE, TABLE);
        it.text(NFTA_RULE_CHAIN, side.chain);
        it.nest(NFTA_RULE_EXPRESSIONS, |list| {
            let (family, field, address) = match door.socket.ip() {
                IpAddr::V4(address) => (Family::V4, side.v4, address.octets().to_vec()),
                IpAddr::V6(address) => (Family::V6, side.v6, address.octets().to_vec()),
            };
            load(Field::Family, FIRST, list);
            compare(NFT_CMP_EQ, &[family.number()], list);
            load(field, FIRST, list);
            compare(NFT_CMP_EQ, &address, list);
            load(Field::Protocol, FIRST, list);
            compare(NFT_CMP_EQ, &[number], list);
            expression("payload", list, |it| {
                it.number(NFTA_PAYLOAD_DREG, register(FIRST));
                port(side, it);
            });
            compare(NFT_CMP_EQ, &is.to_be_bytes(), list);
            expression("immediate", list, |it| {
                it.number(NFTA_IMMEDIATE_DREG, register(FIRST));
                it.nest(NFTA_IMMEDIATE_DATA, |data| data.bytes(NFTA_DATA_VALUE, &shall.to_be_bytes()));
            });
            expression("payload", list, |it| {
                it.number(NFTA_PAYLOAD_SREG, register(FIRST));
                port(side, it);
                it.number(NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
                it.number(NFTA_PAYLOAD_CSUM_OFFSET, checksum_at);
            });
        });
    });
}

fn port(side: &Side, it: &mut Attributes<'_>) {
    it.number(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
    it.number(NFTA_PAYLOAD_OFFSET, side.port_at);
    it.number(NFTA_PAYLOAD_LEN, 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doors_of_a_table_are_told_by_its_comment() {
        for text in ["127.0.0.11:4711/udp", "[fd74:7265:7374:6c65::53]:4712/tcp"] {
            assert_eq!(Door::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Door::parse("127.0.0.11/udp"), None);
    }
}
