//! The sets and maps of the table: what changes while networks and ports come and go.

use super::uapi::NFT_DATA_VERDICT;

/// A set, or a map, which to the kernel is a set whose elements have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "`definition` says of each what it holds")]
pub(super) enum Set {
    Bridges,
    Inside,
    Leaving,
    Trusted,
    Entering,
    Internal,
    Outgoing,
    Source4,
    Source6,
    Unfiltered,
    Ports4,
    Ports6,
    AnyPorts4,
    AnyPorts6,
    Ranges4,
    Ranges6,
    Relayed4,
    Relayed6,
    AnyRelayed,
    RelayedRanges4,
    RelayedRanges6,
    Opened4,
    Opened6,
    OpenedRanges4,
    OpenedRanges6,
    Hairpin4,
    Hairpin6,
    MasqueradedUdp4,
    MasqueradedUdp6,
}

/// What one part of a key or value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// An IPv4 address.
    Address4,
    /// An IPv6 address.
    Address6,
    /// A transport protocol.
    Protocol,
    /// A port.
    Port,
    /// The name of a link.
    Link,
    /// IPv4 or IPv6.
    Family,
}

impl Type {
    /// nft's number for it (its enum datatypes), by which it knows how to print keys.
    fn number(self) -> u32 {
        match self {
            Self::Family => 2,
            Self::Address4 => 7,
            Self::Address6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Link => 41,
        }
    }

    /// nft's name for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Address4 => "ipv4_addr",
            Self::Address6 => "ipv6_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
            Self::Link => "ifname",
            Self::Family => "nf_proto",
        }
    }

    /// How many bytes it has.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Protocol | Self::Family => 1,
            Self::Port => 2,
            Self::Address4 => 4,
            Self::Address6 | Self::Link => 16,
        }
    }

    /// How many bytes it takes in a key or value: every part starts at a multiple of four.
    pub(super) fn padded(self) -> usize {
        self.length().next_multiple_of(4)
    }
}

/// What elements bear beside their key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing: it is a set.
    Nothing,
    /// A verdict.
    Verdict,
    /// These.
    Values(&'static [Type]),
}

/// How a set is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// Its name in the kernel.
    pub name: &'static str,
    /// What it is for, shown to whoever lists the table.
    pub comment: &'static str,
    /// The parts of a key.
    pub key: &'static [Type],
    /// What an element bears.
    pub holds: Holds,
    /// Whether the parts of a key may be intervals.
    pub interval: bool,
}

impl Definition {
    /// The length of a key.
    pub(super) fn key_length(&self) -> usize {
        padded(self.key)
    }

    /// nft's number for the key.
    pub(super) fn key_type(&self) -> u32 {
        concatenated(self.key)
    }

    /// nft's number for the value, and its length; none for a set.
    pub(super) fn value(&self) -> Option<(u32, usize)> {
        match self.holds {
            Holds::Nothing => None,
            Holds::Verdict => Some((NFT_DATA_VERDICT, 0)),
            Holds::Values(types) => Some((concatenated(types), padded(types))),
        }
    }
}

fn padded(types: &[Type]) -> usize {
    // A lone part is not padded; only concatenations are.
    match types {
        [one] => one.length(),
        many => many.iter().map(|it| it.padded()).sum(),
    }
}

fn concatenated(types: &[Type]) -> u32 {
    types.iter().fold(0, |number, it| number << 6 | it.number())
}

impl Set {
    /// All of them, in the order in which they are made and shown.
    pub(super) const ALL: [Set; 29] = [
        Self::Bridges,
        Self::Inside,
        Self::Leaving,
        Self::Trusted,
        Self::Entering,
        Self::Internal,
        Self::Outgoing,
        Self::Source4,
        Self::Source6,
        Self::Unfiltered,
        Self::Ports4,
        Self::Ports6,
        Self::AnyPorts4,
        Self::AnyPorts6,
        Self::Ranges4,
        Self::Ranges6,
        Self::Relayed4,
        Self::Relayed6,
        Self::AnyRelayed,
        Self::RelayedRanges4,
        Self::RelayedRanges6,
        Self::Opened4,
        Self::Opened6,
        Self::OpenedRanges4,
        Self::OpenedRanges6,
        Self::Hairpin4,
        Self::Hairpin6,
        Self::MasqueradedUdp4,
        Self::MasqueradedUdp6,
    ];

    /// Its name in the kernel.
    pub(super) fn name(self) -> &'static str {
        self.definition().name
    }

    /// The set of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    /// How it is made.
    pub(super) fn definition(self) -> Definition {
        use Holds::{Nothing, Values, Verdict};
        use Type::{Address4, Address6, Family, Link, Port, Protocol};
        let (name, key, holds, comment): (_, &'static [Type], _, _) = match self {
            Self::Bridges => ("bridges", &[Link], Nothing, "the links of our networks"),
            Self::Inside => ("inside", &[Family, Link, Link], Verdict, "from a network to itself"),
            Self::Leaving => ("leaving", &[Link], Verdict, "networks that nothing may leave"),
            Self::Trusted => {
                ("trusted", &[Family, Link, Link], Nothing, "links that reach what a network's containers opened")
            }
            Self::Entering => ("entering", &[Family, Link], Verdict, "what may enter a network"),
            Self::Internal => {
                ("internal", &[Family, Link], Verdict, "networks whose packets to this host are looked at")
            }
            Self::Outgoing => {
                ("outgoing", &[Family, Link], Verdict, "networks whose packets bear the host's address outside")
            }
            Self::Source4 => {
                ("source_v4", &[Link], Values(&[Address4]), "networks whose packets bear a chosen address outside")
            }
            Self::Source6 => {
                ("source_v6", &[Link], Values(&[Address6]), "networks whose packets bear a chosen address outside")
            }
            Self::Unfiltered => ("unfiltered", &[Link, Link], Nothing, "bridges whose own traffic passes no firewall"),
            Self::Ports4 => {
                ("ports_v4", &[Address4, Protocol, Port], Values(&[Address4, Port]), "published on one address")
            }
            Self::Ports6 => {
                ("ports_v6", &[Address6, Protocol, Port], Values(&[Address6, Port]), "published on one address")
            }
            Self::AnyPorts4 => {
                ("any_ports_v4", &[Protocol, Port], Values(&[Address4, Port]), "published on every address")
            }
            Self::AnyPorts6 => {
                ("any_ports_v6", &[Protocol, Port], Values(&[Address6, Port]), "published on every address")
            }
            Self::Ranges4 => {
                ("ranges_v4", &[Address4, Protocol, Port], Values(&[Address4]), "published ranges, same ports inside")
            }
            Self::Ranges6 => {
                ("ranges_v6", &[Address6, Protocol, Port], Values(&[Address6]), "published ranges, same ports inside")
            }
            Self::Relayed4 => ("relayed_v4", &[Address4, Protocol, Port], Nothing, "published on one address, relayed"),
            Self::Relayed6 => ("relayed_v6", &[Address6, Protocol, Port], Nothing, "published on one address, relayed"),
            Self::AnyRelayed => {
                ("any_relayed", &[Family, Protocol, Port], Nothing, "published on every address, relayed")
            }
            Self::RelayedRanges4 => {
                ("relayed_ranges_v4", &[Address4, Protocol, Port], Nothing, "published ranges, relayed")
            }
            Self::RelayedRanges6 => {
                ("relayed_ranges_v6", &[Address6, Protocol, Port], Nothing, "published ranges, relayed")
            }
            Self::Opened4 => ("opened_v4", &[Address4, Protocol, Port], Nothing, "opened at a container's own address"),
            Self::Opened6 => ("opened_v6", &[Address6, Protocol, Port], Nothing, "opened at a container's own address"),
            Self::OpenedRanges4 => {
                ("opened_ranges_v4", &[Address4, Protocol, Port], Nothing, "ranges opened at a container's own address")
            }
            Self::OpenedRanges6 => {
                ("opened_ranges_v6", &[Address6, Protocol, Port], Nothing, "ranges opened at a container's own address")
            }
            Self::Hairpin4 => ("hairpin_v4", &[Address4, Address4], Nothing, "containers that may reach themselves"),
            Self::Hairpin6 => ("hairpin_v6", &[Address6, Address6], Nothing, "containers that may reach themselves"),
            Self::MasqueradedUdp4 => {
                ("masqueraded_udp_v4", &[Address4], Nothing, "published UDP whose answers would take another way")
            }
            Self::MasqueradedUdp6 => {
                ("masqueraded_udp_v6", &[Address6], Nothing, "published UDP whose answers would take another way")
            }
        };
        let interval = matches!(
            self,
            Self::Ranges4
                | Self::Ranges6
                | Self::RelayedRanges4
                | Self::RelayedRanges6
                | Self::OpenedRanges4
                | Self::OpenedRanges6
        );
        Definition { name, comment, key, holds, interval }
    }
}
