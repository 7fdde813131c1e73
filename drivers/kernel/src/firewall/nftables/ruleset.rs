//! The table as data: every chain and rule of it. The rules never change while we run; networks and ports are
//! elements of its sets and maps. From here come both what the kernel is told and what a person reads.

use super::set::Set;
use super::statement::{Chain, Family, Field, Literal, Rule, Statement, Verdict};
use super::uapi::{NF_INET_FORWARD, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING, NF_INET_PRE_ROUTING};

/// The name of our table; its family is `inet`.
pub(in crate::firewall) const TABLE: &str = "trestle";

/// Where a base chain sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// The kernel's number of the hook.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// The order among chains on the hook.
    pub priority: i32,
    /// How nft names that order.
    pub priority_name: &'static str,
}

/// How a chain is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Which.
    pub chain: Chain,
    /// What it is for, shown to whoever lists the table.
    pub comment: &'static str,
    /// Where packets enter it; none where only other chains lead there.
    pub hook: Option<Hook>,
    /// Its rules.
    pub rules: &'static [Rule],
}

/// The chains in the order in which they are made: one that is led to stands before those that lead there.
pub(super) const CHAINS: [Layout; 14] = [
    Layout {
        chain: Chain::Admin,
        comment: "yours: goes first, and is never changed by trestle",
        hook: None,
        rules: &[],
    },
    Layout {
        chain: Chain::PublishedOnly,
        comment: "only what came through a published port",
        hook: None,
        rules: &[
            Rule(&[TRANSLATED, COUNTER, ACCEPT]),
            // Neighbours of one bridge find each other by these; a hop limit of 255 says that no router was passed.
            Rule(&[
                Is(Field::HopLimit, Literal { bytes: &[255], text: "255" }),
                Statement::Between(
                    Field::Icmp6Type,
                    Literal { bytes: &[135], text: "135" },
                    Literal { bytes: &[136], text: "136" },
                ),
                ACCEPT,
            ]),
            Rule(&[COUNTER, DROP]),
        ],
    },
    Layout {
        chain: Chain::OpenedOnly,
        comment: "what was opened at a container's own address, too",
        hook: None,
        rules: &[
            Rule(&[
                Statement::In(&[Field::Destination4, Field::Protocol, Field::DestinationPort], Set::Opened4),
                COUNTER,
                ACCEPT,
            ]),
            Rule(&[
                Statement::In(&[Field::Destination6, Field::Protocol, Field::DestinationPort], Set::Opened6),
                COUNTER,
                ACCEPT,
            ]),
            Rule(&[
                Statement::In(&[Field::Destination4, Field::Protocol, Field::DestinationPort], Set::OpenedRanges4),
                COUNTER,
                ACCEPT,
            ]),
            Rule(&[
                Statement::In(&[Field::Destination6, Field::Protocol, Field::DestinationPort], Set::OpenedRanges6),
                COUNTER,
                ACCEPT,
            ]),
            Rule(&[Statement::Then(Verdict::Goto(Chain::PublishedOnly))]),
        ],
    },
    Layout {
        chain: Chain::Routed,
        comment: "networks that others have a route to: ICMP, and what was opened",
        hook: None,
        rules: &[
            Rule(&[ICMP, COUNTER, ACCEPT]),
            Rule(&[ICMP6, COUNTER, ACCEPT]),
            Rule(&[Statement::Then(Verdict::Goto(Chain::OpenedOnly))]),
        ],
    },
    Layout {
        chain: Chain::Unprotected,
        comment: "everything; from our other networks only what came through a published port",
        hook: None,
        rules: &[
            Rule(&[
                Statement::In(&[Field::InLink], Set::Bridges),
                Statement::Then(Verdict::Goto(Chain::PublishedOnly)),
            ]),
            Rule(&[COUNTER, ACCEPT]),
        ],
    },
    Layout {
        chain: Chain::MasqueradeOut,
        comment: "leaves with the host's address",
        hook: None,
        rules: &[Rule(&[COUNTER, MASQUERADE])],
    },
    Layout {
        chain: Chain::Ports,
        comment: "published ports, each look-up as quick with many as with few",
        hook: None,
        rules: &[
            Rule(&[Statement::Dnat(
                Family::V4,
                &[Field::Destination4, Field::Protocol, Field::DestinationPort],
                Set::Ports4,
            )]),
            Rule(&[Statement::Dnat(
                Family::V6,
                &[Field::Destination6, Field::Protocol, Field::DestinationPort],
                Set::Ports6,
            )]),
            Rule(&[Statement::Dnat(Family::V4, &[Field::Protocol, Field::DestinationPort], Set::AnyPorts4)]),
            Rule(&[Statement::Dnat(Family::V6, &[Field::Protocol, Field::DestinationPort], Set::AnyPorts6)]),
            Rule(&[Statement::Dnat(
                Family::V4,
                &[Field::Destination4, Field::Protocol, Field::DestinationPort],
                Set::Ranges4,
            )]),
            Rule(&[Statement::Dnat(
                Family::V6,
                &[Field::Destination6, Field::Protocol, Field::DestinationPort],
                Set::Ranges6,
            )]),
        ],
    },
    Layout {
        chain: Chain::FromInternal,
        comment: "internal networks never reach published ports, relayed ones neither",
        hook: None,
        rules: &[
            Rule(&[
                Statement::In(&[Field::Family, Field::Protocol, Field::DestinationPort], Set::AnyRelayed),
                COUNTER,
                DROP,
            ]),
            Rule(&[
                Statement::In(&[Field::Destination4, Field::Protocol, Field::DestinationPort], Set::Relayed4),
                COUNTER,
                DROP,
            ]),
            Rule(&[
                Statement::In(&[Field::Destination6, Field::Protocol, Field::DestinationPort], Set::Relayed6),
                COUNTER,
                DROP,
            ]),
            Rule(&[
                Statement::In(&[Field::Destination4, Field::Protocol, Field::DestinationPort], Set::RelayedRanges4),
                COUNTER,
                DROP,
            ]),
            Rule(&[
                Statement::In(&[Field::Destination6, Field::Protocol, Field::DestinationPort], Set::RelayedRanges6),
                COUNTER,
                DROP,
            ]),
        ],
    },
    Layout {
        chain: Chain::RawPrerouting,
        comment: "the host's loopback stays the host's, although our bridges route it",
        hook: Some(Hook {
            kind: "filter",
            number: NF_INET_PRE_ROUTING,
            name: "prerouting",
            priority: -300,
            priority_name: "raw",
        }),
        rules: &[
            Rule(&[NOT_LOOPBACK, Is(Field::Destination4Net8, LOOPBACK), COUNTER, DROP]),
            // With route_localnet the kernel no longer refuses these as martians.
            Rule(&[NOT_LOOPBACK, Is(Field::Source4Net8, LOOPBACK), COUNTER, DROP]),
        ],
    },
    Layout {
        chain: Chain::Forward,
        comment: "who may talk to whom",
        hook: Some(Hook {
            kind: "filter",
            number: NF_INET_FORWARD,
            name: "forward",
            priority: 0,
            priority_name: "filter",
        }),
        rules: &[
            Rule(&[Statement::Then(Verdict::Jump(Chain::Admin))]),
            Rule(&[Statement::AnyBit(Field::ConnectionState, 0x6, "established,related"), ACCEPT]),
            Rule(&[Statement::Verdicts(&[Field::Family, Field::InLink, Field::OutLink], Set::Inside)]),
            Rule(&[Statement::Verdicts(&[Field::InLink], Set::Leaving)]),
            Rule(&[
                Statement::In(&[Field::Family, Field::InLink, Field::OutLink], Set::Trusted),
                Statement::Then(Verdict::Goto(Chain::OpenedOnly)),
            ]),
            Rule(&[Statement::Verdicts(&[Field::Family, Field::OutLink], Set::Entering)]),
        ],
    },
    Layout {
        chain: Chain::Input,
        comment: "what is not translated arrives at this host; a published port may be relayed from there",
        hook: Some(Hook {
            kind: "filter",
            number: NF_INET_LOCAL_IN,
            name: "input",
            priority: 0,
            priority_name: "filter",
        }),
        rules: &[Rule(&[Statement::Verdicts(&[Field::Family, Field::InLink], Set::Internal)])],
    },
    Layout {
        chain: Chain::NatPrerouting,
        comment: "published ports, from other hosts and from containers",
        hook: Some(Hook {
            kind: "nat",
            number: NF_INET_PRE_ROUTING,
            name: "prerouting",
            priority: -100,
            priority_name: "dstnat",
        }),
        rules: &[Rule(&[TO_THIS_HOST, Statement::Then(Verdict::Jump(Chain::Ports))])],
    },
    Layout {
        chain: Chain::NatOutput,
        comment: "published ports, from this host",
        // nft has no name for this priority on this hook.
        hook: Some(Hook {
            kind: "nat",
            number: NF_INET_LOCAL_OUT,
            name: "output",
            priority: -100,
            priority_name: "-100",
        }),
        rules: &[
            // The kernel never routes ::1 off the loopback: whoever connects there reaches the socket that holds the port.
            Rule(&[
                Is(
                    Field::Destination6,
                    Literal { bytes: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], text: "::1" },
                ),
                Statement::Then(Verdict::Return),
            ]),
            Rule(&[TO_THIS_HOST, Statement::Then(Verdict::Jump(Chain::Ports))]),
        ],
    },
    Layout {
        chain: Chain::NatPostrouting,
        comment: "whose source is changed",
        hook: Some(Hook {
            kind: "nat",
            number: NF_INET_POST_ROUTING,
            name: "postrouting",
            priority: 100,
            priority_name: "srcnat",
        }),
        rules: &[
            Rule(&[TRANSLATED, Statement::In(&[Field::Source4, Field::Destination4], Set::Hairpin4), MASQUERADE]),
            Rule(&[TRANSLATED, Statement::In(&[Field::Source6, Field::Destination6], Set::Hairpin6), MASQUERADE]),
            Rule(&[TRANSLATED, UDP, Statement::In(&[Field::Destination4], Set::MasqueradedUdp4), MASQUERADE]),
            Rule(&[TRANSLATED, UDP, Statement::In(&[Field::Destination6], Set::MasqueradedUdp6), MASQUERADE]),
            Rule(&[Statement::In(&[Field::OutLink], Set::Bridges), Is(Field::Source4Net8, LOOPBACK), MASQUERADE]),
            // The answer would go straight from one port of the bridge to the other, past the translation.
            Rule(&[TRANSLATED, Statement::In(&[Field::InLink, Field::OutLink], Set::Unfiltered), MASQUERADE]),
            // Containers see who called them.
            Rule(&[Statement::In(&[Field::OutLink], Set::Bridges), ACCEPT]),
            Rule(&[Statement::Snat(Family::V4, &[Field::InLink], Set::Source4)]),
            Rule(&[Statement::Snat(Family::V6, &[Field::InLink], Set::Source6)]),
            Rule(&[Statement::Verdicts(&[Field::Family, Field::InLink], Set::Outgoing)]),
        ],
    },
];

use Statement::Is;

const ACCEPT: Statement = Statement::Then(Verdict::Accept);
const DROP: Statement = Statement::Then(Verdict::Drop);
const COUNTER: Statement = Statement::Counter;
const MASQUERADE: Statement = Statement::Masquerade;
const LOOPBACK: Literal = Literal { bytes: &[127], text: "127.0.0.0/8" };
const NOT_LOOPBACK: Statement =
    Statement::IsNot(Field::InLink, Literal { bytes: b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", text: "\"lo\"" });
// IPS_DST_NAT (linux/netfilter/nf_conntrack_common.h).
const TRANSLATED: Statement = Statement::AnyBit(Field::ConnectionStatus, 1 << 5, "dnat");
const UDP: Statement = Statement::Is(Field::Protocol, Literal { bytes: &[17], text: "udp" });
const ICMP: Statement = Statement::Is(Field::Protocol, Literal { bytes: &[1], text: "icmp" });
const ICMP6: Statement = Statement::Is(Field::Protocol, Literal { bytes: &[58], text: "ipv6-icmp" });
// RTN_LOCAL (linux/rtnetlink.h), a number in the machine's own order.
const TO_THIS_HOST: Statement =
    Statement::Is(Field::DestinationKind, Literal { bytes: &2u32.to_ne_bytes(), text: "local" });
