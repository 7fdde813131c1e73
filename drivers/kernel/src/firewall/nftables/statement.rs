//! What a rule consists of, as data: from it come the kernel's expressions (`expression.rs`) and, here, nft's words.

use std::fmt;

use super::set::Set;

/// A chain of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "`ruleset.rs` says of each what it does")]
pub(super) enum Chain {
    Admin,
    PublishedOnly,
    OpenedOnly,
    Routed,
    Unprotected,
    MasqueradeOut,
    Ports,
    FromInternal,
    RawPrerouting,
    Forward,
    Input,
    NatPrerouting,
    NatOutput,
    NatPostrouting,
}

impl Chain {
    /// Its name in the kernel.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::PublishedOnly => "published_only",
            Self::OpenedOnly => "opened_only",
            Self::Routed => "routed",
            Self::Unprotected => "unprotected",
            Self::MasqueradeOut => "masquerade_out",
            Self::Ports => "ports",
            Self::FromInternal => "from_internal",
            Self::RawPrerouting => "raw_prerouting",
            Self::Forward => "forward",
            Self::Input => "input",
            Self::NatPrerouting => "nat_prerouting",
            Self::NatOutput => "nat_output",
            Self::NatPostrouting => "nat_postrouting",
        }
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It may pass this hook.
    Accept,
    /// It is gone.
    Drop,
    /// Back to the chain that jumped here; in a base chain, to its policy.
    Return,
    /// Through another chain, then on here.
    Jump(Chain),
    /// Through another chain, and not back.
    Goto(Chain),
}

/// Something of a packet that a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The link that it came by.
    InLink,
    /// The link that it leaves by.
    OutLink,
    /// IPv4 or IPv6.
    Family,
    /// The transport protocol.
    Protocol,
    /// The destination port of TCP, UDP or SCTP: the same place in all of them.
    DestinationPort,
    /// The IPv4 source.
    Source4,
    /// The IPv4 destination.
    Destination4,
    /// The first byte of the IPv4 source: its /8.
    Source4Net8,
    /// The first byte of the IPv4 destination: its /8.
    Destination4Net8,
    /// The IPv6 source.
    Source6,
    /// The IPv6 destination.
    Destination6,
    /// How many routers it may still pass.
    HopLimit,
    /// The kind of an ICMPv6 message.
    Icmp6Type,
    /// What the host's routing says the destination is: local, broadcast, unicast …
    DestinationKind,
    /// What the connection tracker says the packet is to its connection; bits.
    ConnectionState,
    /// What has been done to the connection; bits.
    ConnectionStatus,
}

/// A value with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// The bytes that the field is compared with.
    pub bytes: &'static [u8],
    /// How nft writes them.
    pub text: &'static str,
}

/// One step of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// Go on if the field has this value.
    Is(Field, Literal),
    /// Go on if the field has another value.
    IsNot(Field, Literal),
    /// Go on if the field lies between these, both included.
    Between(Field, Literal, Literal),
    /// Go on if one of these bits is set.
    AnyBit(Field, u32, &'static str),
    /// Go on if the fields together are in a set.
    In(&'static [Field], Set),
    /// Do what a map says for the fields together; go on if it says nothing.
    Verdicts(&'static [Field], Set),
    /// Send the packet where a map says for the fields together; go on if it says nothing.
    Dnat(Family, &'static [Field], Set),
    /// Let the packet bear the address that a map says for the fields together; go on if it says nothing.
    Snat(Family, &'static [Field], Set),
    /// Let the packet bear the address of the link that it leaves by.
    Masquerade,
    /// Count packets and bytes.
    Counter,
    /// Decide.
    Then(Verdict),
}

/// Statements one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule(pub &'static [Statement]);

impl Family {
    /// The word before an address's fields: `ip daddr`.
    fn word(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {}", chain.name()),
            Self::Goto(chain) => write!(f, "goto {}", chain.name()),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InLink => "iifname",
            Self::OutLink => "oifname",
            Self::Family => "meta nfproto",
            Self::Protocol => "meta l4proto",
            Self::DestinationPort => "th dport",
            Self::Source4 | Self::Source4Net8 => "ip saddr",
            Self::Destination4 | Self::Destination4Net8 => "ip daddr",
            Self::Source6 => "ip6 saddr",
            Self::Destination6 => "ip6 daddr",
            Self::HopLimit => "ip6 hoplimit",
            Self::Icmp6Type => "icmpv6 type",
            Self::DestinationKind => "fib daddr type",
            Self::ConnectionState => "ct state",
            Self::ConnectionStatus => "ct status",
        })
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(field, value) => write!(f, "{field} {}", value.text),
            Self::IsNot(field, value) => write!(f, "{field} != {}", value.text),
            Self::Between(field, from, to) => write!(f, "{field} {}-{}", from.text, to.text),
            Self::AnyBit(field, _, names) => write!(f, "{field} {names}"),
            Self::In(fields, set) => write!(f, "{} @{}", joined(fields), set.name()),
            Self::Verdicts(fields, set) => write!(f, "{} vmap @{}", joined(fields), set.name()),
            Self::Dnat(family, fields, set) => {
                write!(f, "dnat {} to {} map @{}", family.word(), joined(fields), set.name())
            }
            Self::Snat(family, fields, set) => {
                write!(f, "snat {} to {} map @{}", family.word(), joined(fields), set.name())
            }
            Self::Masquerade => f.write_str("masquerade"),
            Self::Counter => f.write_str("counter"),
            Self::Then(verdict) => verdict.fmt(f),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Statement::to_string).collect::<Vec<_>>().join(" "))
    }
}

fn joined(fields: &[Field]) -> String {
    fields.iter().map(Field::to_string).collect::<Vec<_>>().join(" . ")
}
