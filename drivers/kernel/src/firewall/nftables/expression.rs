//! Rules as the kernel takes them: a list of expressions that work on registers.

use super::attribute::Attributes;
use super::statement::{Family, Field, Rule, Statement, Verdict};
use super::uapi::*;

/// The list of expressions of a rule, to stand in `NFTA_RULE_EXPRESSIONS`.
pub(super) fn expressions(rule: &Rule, list: &mut Attributes<'_>) {
    let mut known = Known::default();
    for statement in rule.0 {
        write(statement, &mut known, list);
    }
}

/// What the rule has made sure of already: a field of a protocol's header needs that the packet has that header.
#[derive(Default)]
struct Known {
    family: bool,
    icmp6: bool,
}

/// Registers are counted in words of four bytes; the kernel has another name for every fourth.
pub(super) fn register(word: usize) -> u32 {
    let word = u32::try_from(word).expect("there are sixteen words");
    match word % 4 {
        0 => NFT_REG_1 + word / 4,
        _ => NFT_REG32_00 + word,
    }
}

pub(super) const FIRST: usize = 0;

fn write(statement: &Statement, known: &mut Known, list: &mut Attributes<'_>) {
    match *statement {
        Statement::Is(field, value) => {
            require(field, known, list);
            load(field, FIRST, list);
            compare(NFT_CMP_EQ, value.bytes, list);
        }
        Statement::IsNot(field, value) => {
            require(field, known, list);
            load(field, FIRST, list);
            compare(NFT_CMP_NEQ, value.bytes, list);
        }
        Statement::Between(field, from, to) => {
            require(field, known, list);
            load(field, FIRST, list);
            compare(NFT_CMP_GTE, from.bytes, list);
            compare(NFT_CMP_LTE, to.bytes, list);
        }
        Statement::AnyBit(field, bits, _) => {
            load(field, FIRST, list);
            mask(bits, list);
            compare(NFT_CMP_NEQ, &[0; 4], list);
        }
        Statement::In(fields, set) => {
            load_all(fields, known, list);
            lookup(set.name(), None, list);
        }
        Statement::Verdicts(fields, set) => {
            load_all(fields, known, list);
            lookup(set.name(), Some(NFT_REG_VERDICT), list);
        }
        Statement::Dnat(family, fields, set) => {
            load_all(fields, known, list);
            lookup(set.name(), Some(register(FIRST)), list);
            let with_port = set.definition().value().is_some_and(|(_, length)| length > family.address_length());
            translate(NFT_NAT_DNAT, family, with_port, list);
        }
        Statement::Snat(family, fields, set) => {
            load_all(fields, known, list);
            lookup(set.name(), Some(register(FIRST)), list);
            translate(NFT_NAT_SNAT, family, false, list);
        }
        Statement::Masquerade => expression("masq", list, |_| {}),
        Statement::Counter => expression("counter", list, |_| {}),
        Statement::Then(verdict) => expression("immediate", list, |it| {
            it.number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
            it.nest(NFTA_IMMEDIATE_DATA, |data| verdict_data(verdict, data));
        }),
    }
}

/// A verdict as data.
pub(super) fn verdict_data(verdict: Verdict, data: &mut Attributes<'_>) {
    data.nest(NFTA_DATA_VERDICT, |it| {
        let (code, chain) = match verdict {
            Verdict::Accept => (NF_ACCEPT, None),
            Verdict::Drop => (NF_DROP, None),
            Verdict::Return => (NFT_RETURN, None),
            Verdict::Jump(chain) => (NFT_JUMP, Some(chain)),
            Verdict::Goto(chain) => (NFT_GOTO, Some(chain)),
        };
        it.bytes(NFTA_VERDICT_CODE, &code.to_be_bytes());
        if let Some(chain) = chain {
            it.text(NFTA_VERDICT_CHAIN, chain.name());
        }
    });
}

impl Family {
    /// The kernel's number.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::V4 => NFPROTO_IPV4,
            Self::V6 => NFPROTO_IPV6,
        }
    }

    fn address_length(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

impl Field {
    /// The family without which the packet has no such field.
    fn family(self) -> Option<Family> {
        match self {
            Self::Source4 | Self::Destination4 | Self::Source4Net8 | Self::Destination4Net8 => Some(Family::V4),
            Self::Source6 | Self::Destination6 | Self::HopLimit | Self::Icmp6Type => Some(Family::V6),
            _ => None,
        }
    }

    fn origin(self) -> Origin {
        match self {
            Self::InLink => Origin::Meta(NFT_META_IIFNAME),
            Self::OutLink => Origin::Meta(NFT_META_OIFNAME),
            Self::Family => Origin::Meta(NFT_META_NFPROTO),
            Self::Protocol => Origin::Meta(NFT_META_L4PROTO),
            Self::Source4 | Self::Source4Net8 => Origin::Payload(NFT_PAYLOAD_NETWORK_HEADER, 12),
            Self::Destination4 | Self::Destination4Net8 => Origin::Payload(NFT_PAYLOAD_NETWORK_HEADER, 16),
            Self::Source6 => Origin::Payload(NFT_PAYLOAD_NETWORK_HEADER, 8),
            Self::Destination6 => Origin::Payload(NFT_PAYLOAD_NETWORK_HEADER, 24),
            Self::HopLimit => Origin::Payload(NFT_PAYLOAD_NETWORK_HEADER, 7),
            Self::Icmp6Type => Origin::Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0),
            Self::DestinationPort => Origin::Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2),
            Self::DestinationKind => Origin::Routing,
            Self::ConnectionState => Origin::Connection(NFT_CT_STATE),
            Self::ConnectionStatus => Origin::Connection(NFT_CT_STATUS),
        }
    }

    /// How many bytes it has.
    fn length(self) -> usize {
        match self {
            Self::Family
            | Self::Protocol
            | Self::Source4Net8
            | Self::Destination4Net8
            | Self::HopLimit
            | Self::Icmp6Type => 1,
            Self::DestinationPort => 2,
            Self::Source4
            | Self::Destination4
            | Self::DestinationKind
            | Self::ConnectionState
            | Self::ConnectionStatus => 4,
            Self::InLink | Self::OutLink | Self::Source6 | Self::Destination6 => 16,
        }
    }
}

/// Where a field is found.
enum Origin {
    /// What the kernel knows beside the packet, by its key.
    Meta(u32),
    /// In a header, at an offset.
    Payload(u32, u32),
    /// In the routing of its destination.
    Routing,
    /// In what the connection tracker knows, by its key.
    Connection(u32),
}

fn require(field: Field, known: &mut Known, list: &mut Attributes<'_>) {
    if let Some(family) = field.family().filter(|_| !known.family) {
        known.family = true;
        load(Field::Family, FIRST, list);
        compare(NFT_CMP_EQ, &[family.number()], list);
    }
    if field == Field::Icmp6Type && !known.icmp6 {
        const IPPROTO_ICMPV6: u8 = 58;
        known.icmp6 = true;
        load(Field::Protocol, FIRST, list);
        compare(NFT_CMP_EQ, &[IPPROTO_ICMPV6], list);
    }
}

fn load_all(fields: &[Field], known: &mut Known, list: &mut Attributes<'_>) {
    fields.iter().for_each(|field| require(*field, known, list));
    let mut word = FIRST;
    for field in fields {
        load(*field, word, list);
        word += field.length().div_ceil(4);
    }
}

pub(super) fn load(field: Field, word: usize, list: &mut Attributes<'_>) {
    let to = register(word);
    match field.origin() {
        Origin::Meta(key) => expression("meta", list, |it| {
            it.number(NFTA_META_KEY, key);
            it.number(NFTA_META_DREG, to);
        }),
        Origin::Payload(base, offset) => expression("payload", list, |it| {
            it.number(NFTA_PAYLOAD_DREG, to);
            it.number(NFTA_PAYLOAD_BASE, base);
            it.number(NFTA_PAYLOAD_OFFSET, offset);
            it.number(NFTA_PAYLOAD_LEN, u32::try_from(field.length()).expect("at most sixteen"));
        }),
        Origin::Routing => expression("fib", list, |it| {
            it.number(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
            it.number(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
            it.number(NFTA_FIB_DREG, to);
        }),
        Origin::Connection(key) => expression("ct", list, |it| {
            it.number(NFTA_CT_KEY, key);
            it.number(NFTA_CT_DREG, to);
        }),
    }
}

pub(super) fn compare(operation: u32, value: &[u8], list: &mut Attributes<'_>) {
    expression("cmp", list, |it| {
        it.number(NFTA_CMP_SREG, register(FIRST));
        it.number(NFTA_CMP_OP, operation);
        it.nest(NFTA_CMP_DATA, |data| data.bytes(NFTA_DATA_VALUE, value));
    });
}

fn mask(bits: u32, list: &mut Attributes<'_>) {
    expression("bitwise", list, |it| {
        it.number(NFTA_BITWISE_SREG, register(FIRST));
        it.number(NFTA_BITWISE_DREG, register(FIRST));
        it.number(NFTA_BITWISE_LEN, 4);
        it.nest(NFTA_BITWISE_MASK, |data| data.bytes(NFTA_DATA_VALUE, &bits.to_ne_bytes()));
        it.nest(NFTA_BITWISE_XOR, |data| data.bytes(NFTA_DATA_VALUE, &[0; 4]));
    });
}

fn lookup(set: &str, to: Option<u32>, list: &mut Attributes<'_>) {
    expression("lookup", list, |it| {
        it.text(NFTA_LOOKUP_SET, set);
        it.number(NFTA_LOOKUP_SREG, register(FIRST));
        if let Some(to) = to {
            it.number(NFTA_LOOKUP_DREG, to);
        }
    });
}

fn translate(direction: u32, family: Family, with_port: bool, list: &mut Attributes<'_>) {
    expression("nat", list, |it| {
        it.number(NFTA_NAT_TYPE, direction);
        it.number(NFTA_NAT_FAMILY, family.number().into());
        it.number(NFTA_NAT_REG_ADDR_MIN, register(FIRST));
        if with_port {
            it.number(NFTA_NAT_REG_PROTO_MIN, register(FIRST + family.address_length() / 4));
        }
    });
}

pub(super) fn expression(name: &str, list: &mut Attributes<'_>, fill: impl FnOnce(&mut Attributes<'_>)) {
    list.nest(NFTA_LIST_ELEM, |it| {
        it.text(NFTA_EXPR_NAME, name);
        it.nest(NFTA_EXPR_DATA, fill);
    });
}
