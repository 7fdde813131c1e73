//! Our chains as data: where each stands, who leads to it, and the rules in it that never change.
//!
//! iptables has no maps, so what nf_tables has in a map is here a chain with a rule an entry. The rules of such a chain
//! exclude each other, and so their order says nothing.

use super::Family;

/// A table of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Table {
    Raw,
    Filter,
    Nat,
}

impl Table {
    /// In the order in which they are changed: what guards before what lets in.
    pub(super) const ALL: [Self; 3] = [Self::Raw, Self::Filter, Self::Nat];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }

    /// The one of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// How the names of all our chains begin.
pub(super) const PREFIX: &str = "TRESTLE-";

macro_rules! chains {
    ($($chain:ident = $name:literal),+ $(,)?) => {
        /// One of our chains.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(super) enum Chain {
            $($chain),+
        }

        impl Chain {
            /// Its name; iptables allows 28 letters.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$chain => concat!("TRESTLE-", $name)),+
                }
            }
        }
    };
}

chains! {
    Raw = "RAW",
    User = "USER",
    Published = "PUBLISHED",
    OpenedPorts = "OPENED-PORTS",
    Opened = "OPENED",
    Routed = "ROUTED",
    Bridges = "BRIDGES",
    Unprotected = "UNPROTECTED",
    Established = "ESTABLISHED",
    Inside = "INSIDE",
    Leaving = "LEAVING",
    Trusted = "TRUSTED",
    Entering = "ENTERING",
    Out = "OUT",
    Forward = "FORWARD",
    Relayed = "RELAYED",
    Internal = "INTERNAL",
    Input = "INPUT",
    PortsAt = "PORTS-AT",
    PortsAny = "PORTS-ANY",
    PortsRanges = "PORTS-RANGES",
    Ports = "PORTS",
    Prerouting = "PREROUTING",
    Output = "OUTPUT",
    Translated = "TRANSLATED",
    Localhost = "LOCALHOST",
    Kept = "KEPT",
    Outgoing = "OUTGOING",
    Postrouting = "POSTROUTING",
}

/// How a chain is made.
pub(super) struct Layout {
    /// Which.
    pub(super) chain: Chain,
    /// Where.
    pub(super) table: Table,
    /// The kernel's own chain that leads to it; none where only others of ours do.
    pub(super) entered_from: Option<&'static str>,
    /// What the chain holds.
    pub(super) holds: Holds,
}

/// What a chain holds.
#[derive(Clone, Copy)]
pub(super) enum Holds {
    /// These rules, in this order.
    Rules(&'static [Fixed]),
    /// A rule an entry: networks and ports.
    Entries,
    /// What people write there.
    Peoples,
}

/// A rule that never changes: the family that it is for, or both; its conditions, in iptables' own order; what is done.
pub(super) struct Fixed(pub(super) Option<Family>, pub(super) &'static str, pub(super) &'static str);

use Holds::{Entries, Rules};

const fn of(table: Table, chain: Chain, holds: Holds) -> Layout {
    Layout { chain, table, entered_from: None, holds }
}

const fn from(entered_from: &'static str, table: Table, chain: Chain, rules: &'static [Fixed]) -> Layout {
    Layout { chain, table, entered_from: Some(entered_from), holds: Rules(rules) }
}

const V4: Option<Family> = Some(Family::V4);
const V6: Option<Family> = Some(Family::V6);

/// The chains in the order in which they are written.
pub(super) const LAYOUTS: [Layout; 29] = [
    // The host's loopback stays the host's, although our bridges route it.
    from(
        "PREROUTING",
        Table::Raw,
        Chain::Raw,
        &[
            Fixed(V4, "-d 127.0.0.0/8 ! -i lo", "-j DROP"),
            // With route_localnet the kernel no longer refuses these as martians.
            Fixed(V4, "-s 127.0.0.0/8 ! -i lo", "-j DROP"),
        ],
    ),
    of(Table::Filter, Chain::User, Holds::Peoples),
    of(
        Table::Filter,
        Chain::Published,
        Rules(&[
            Fixed(None, "-m conntrack --ctstate DNAT", "-j ACCEPT"),
            // Neighbours of one bridge find each other by these; a hop limit of 255 says that no router was passed.
            Fixed(V6, "-p ipv6-icmp -m icmp6 --icmpv6-type 135 -m hl --hl-eq 255", "-j ACCEPT"),
            Fixed(V6, "-p ipv6-icmp -m icmp6 --icmpv6-type 136 -m hl --hl-eq 255", "-j ACCEPT"),
            Fixed(None, "", "-j DROP"),
        ]),
    ),
    of(Table::Filter, Chain::OpenedPorts, Entries),
    // What was opened at a container's own address, too.
    of(
        Table::Filter,
        Chain::Opened,
        Rules(&[Fixed(None, "", "-j TRESTLE-OPENED-PORTS"), Fixed(None, "", "-j TRESTLE-PUBLISHED")]),
    ),
    // Networks that others have a route to: ICMP, and what was opened.
    of(
        Table::Filter,
        Chain::Routed,
        Rules(&[
            Fixed(V4, "-p icmp", "-j ACCEPT"),
            Fixed(V6, "-p ipv6-icmp", "-j ACCEPT"),
            Fixed(None, "", "-j TRESTLE-OPENED"),
        ]),
    ),
    // Everything; from our other networks only what came through a published port.
    of(Table::Filter, Chain::Bridges, Entries),
    of(
        Table::Filter,
        Chain::Unprotected,
        Rules(&[Fixed(None, "", "-j TRESTLE-BRIDGES"), Fixed(None, "", "-j ACCEPT")]),
    ),
    of(Table::Filter, Chain::Established, Entries),
    of(Table::Filter, Chain::Inside, Entries),
    of(Table::Filter, Chain::Leaving, Entries),
    of(Table::Filter, Chain::Trusted, Entries),
    of(Table::Filter, Chain::Entering, Entries),
    of(Table::Filter, Chain::Out, Entries),
    from(
        "FORWARD",
        Table::Filter,
        Chain::Forward,
        &[
            Fixed(None, "", "-j TRESTLE-USER"),
            Fixed(None, "", "-j TRESTLE-ESTABLISHED"),
            Fixed(None, "", "-j TRESTLE-INSIDE"),
            Fixed(None, "", "-j TRESTLE-LEAVING"),
            Fixed(None, "", "-j TRESTLE-TRUSTED"),
            Fixed(None, "", "-j TRESTLE-ENTERING"),
            Fixed(None, "", "-j TRESTLE-OUT"),
        ],
    ),
    // Internal networks never reach published ports, relayed ones neither: what is not translated arrives at this host.
    of(Table::Filter, Chain::Relayed, Entries),
    of(Table::Filter, Chain::Internal, Entries),
    from("INPUT", Table::Filter, Chain::Input, &[Fixed(None, "", "-j TRESTLE-INTERNAL")]),
    of(Table::Nat, Chain::PortsAt, Entries),
    of(Table::Nat, Chain::PortsAny, Entries),
    of(Table::Nat, Chain::PortsRanges, Entries),
    of(
        Table::Nat,
        Chain::Ports,
        Rules(&[
            Fixed(None, "", "-j TRESTLE-PORTS-AT"),
            Fixed(None, "", "-j TRESTLE-PORTS-ANY"),
            Fixed(None, "", "-j TRESTLE-PORTS-RANGES"),
        ]),
    ),
    from(
        "PREROUTING",
        Table::Nat,
        Chain::Prerouting,
        &[Fixed(None, "-m addrtype --dst-type LOCAL", "-j TRESTLE-PORTS")],
    ),
    from(
        "OUTPUT",
        Table::Nat,
        Chain::Output,
        &[
            // The kernel never routes ::1 off the loopback: whoever connects there reaches the socket that holds the port.
            Fixed(V6, "-d ::1/128", "-j RETURN"),
            Fixed(None, "-m addrtype --dst-type LOCAL", "-j TRESTLE-PORTS"),
        ],
    ),
    of(Table::Nat, Chain::Translated, Entries),
    of(Table::Nat, Chain::Localhost, Entries),
    of(Table::Nat, Chain::Kept, Entries),
    of(Table::Nat, Chain::Outgoing, Entries),
    from(
        "POSTROUTING",
        Table::Nat,
        Chain::Postrouting,
        &[
            Fixed(None, "-m conntrack --ctstate DNAT", "-j TRESTLE-TRANSLATED"),
            Fixed(None, "", "-j TRESTLE-LOCALHOST"),
            Fixed(None, "", "-j TRESTLE-KEPT"),
            Fixed(None, "", "-j TRESTLE-OUTGOING"),
        ],
    ),
];

impl Layout {
    /// The fixed rules for a family: conditions, and what is done.
    pub(super) fn rules(&self, family: Family) -> impl Iterator<Item = (&'static str, &'static str)> {
        let fixed: &[Fixed] = match self.holds {
            Rules(fixed) => fixed,
            Entries | Holds::Peoples => &[],
        };
        fixed.iter().filter(move |it| it.0.is_none_or(|only| only == family)).map(|it| (it.1, it.2))
    }

    /// How the chain of that name is made.
    pub(super) fn named(table: Table, name: &str) -> Option<&'static Self> {
        LAYOUTS.iter().find(|it| it.table == table && it.chain.name() == name)
    }
}

impl Chain {
    /// The table that it stands in.
    pub(super) fn table(self) -> Table {
        LAYOUTS.iter().find(|it| it.chain == self).expect("every chain has a layout").table
    }
}

/// Something of the rules that lie in nf_tables and was changed, as a notification tells it.
pub(in crate::firewall) enum Touched {
    /// A table went.
    Table,
    /// In, or as, the chain of that name something was made.
    Made(String),
    /// Something was removed there.
    Removed(String),
}

impl Touched {
    /// Whether something of ours in this table may not be as it should be now.
    pub(in crate::firewall) fn concerns_us(&self, table: &str) -> bool {
        let Some(table) = Table::named(table) else { return false };
        match self {
            Self::Table => true,
            Self::Made(chain) => is_ours(chain),
            // What leads from one of the kernel's own chains to ours may have been it.
            Self::Removed(chain) => {
                is_ours(chain) || LAYOUTS.iter().any(|it| it.table == table && it.entered_from == Some(chain))
            }
        }
    }
}

/// Whether a chain is ours, and not people's own.
fn is_ours(chain: &str) -> bool {
    chain.starts_with(PREFIX) && chain != Chain::User.name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_has_one_layout_and_a_name_that_iptables_takes() {
        for layout in &LAYOUTS {
            assert!(layout.chain.name().len() <= 28, "{:?}", layout.chain);
            assert_eq!(LAYOUTS.iter().filter(|it| it.chain == layout.chain).count(), 1, "{:?}", layout.chain);
            assert_eq!(layout.chain.table(), layout.table);
        }
    }

    #[test]
    fn what_people_do_with_their_own_chain_is_no_news() {
        let made = |chain: &str| Touched::Made(chain.to_owned()).concerns_us("filter");
        let removed = |chain: &str| Touched::Removed(chain.to_owned()).concerns_us("filter");
        assert_eq!([made("TRESTLE-USER"), removed("TRESTLE-USER"), made("FORWARD")], [false; 3]);
        assert_eq!([made("TRESTLE-INSIDE"), removed("TRESTLE-INSIDE"), removed("FORWARD")], [true; 3]);
        assert!(!removed("PREROUTING"));
        assert!(!Touched::Table.concerns_us("mangle"));
    }
}
