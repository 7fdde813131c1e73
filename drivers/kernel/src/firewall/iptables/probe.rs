//! What our rules need of the kernel and of iptables, tried one by one: only when something was refused, to tell a person
//! what is missing.

use iptables::IPTables;

use super::Family;
use super::chain::Table;

/// Where it is tried; nothing leads there.
const CHAIN: &str = "TRESTLE-PROBE";

/// Something that a rule may need: its words, and what a person calls it.
struct Need {
    family: Option<Family>,
    table: Table,
    words: &'static str,
    name: &'static str,
    module: &'static str,
}

const fn need(table: Table, words: &'static str, name: &'static str, module: &'static str) -> Need {
    Need { family: None, table, words, name, module }
}

const NEEDS: [Need; 8] = [
    need(Table::Filter, "-m comment --comment trestle", "the match comment", "xt_comment"),
    need(Table::Filter, "-m conntrack --ctstate DNAT", "the match conntrack", "xt_conntrack"),
    Need {
        family: Some(Family::V6),
        ..need(Table::Filter, "-p ipv6-icmp -m icmp6 --icmpv6-type 135 -m hl --hl-eq 255", "the match hl", "xt_hl")
    },
    need(Table::Nat, "-m addrtype --dst-type LOCAL", "the match addrtype", "xt_addrtype"),
    need(Table::Nat, "-p tcp -m tcp --dport 1 -j MASQUERADE", "the target MASQUERADE", "xt_MASQUERADE"),
    Need {
        family: Some(Family::V4),
        ..need(Table::Nat, "-p tcp -j DNAT --to-destination 192.0.2.1:1", "the target DNAT", "xt_nat")
    },
    Need {
        family: Some(Family::V6),
        ..need(Table::Nat, "-p tcp -j DNAT --to-destination [2001:db8::1]:1", "the target DNAT", "xt_nat")
    },
    need(Table::Nat, "-p sctp -m sctp --dport 1", "the match sctp", "xt_sctp"),
];

/// The first thing that is missing, as a sentence.
pub(super) fn lacking(command: &'static str, family: Family) -> Option<String> {
    missing(command, family, &NEEDS)
}

fn missing(command: &'static str, family: Family, needs: &[Need]) -> Option<String> {
    let program = IPTables { cmd: command, has_check: true, has_wait: true, is_numeric: true };
    for table in Table::ALL {
        let name = table.name();
        match program.chain_exists(name, if table == Table::Filter { "FORWARD" } else { "PREROUTING" }) {
            Ok(true) => {}
            Ok(false) => {
                let kernels = if family == Family::V4 { "iptable" } else { "ip6table" };
                return Some(format!(
                    "this kernel has no table {name} for {command} (module {kernels}_{name}, or nf_tables and \
                     nft_compat); iptables-nft and iptables-legacy can be chosen as back ends by these names"
                ));
            }
            Err(cause) => {
                tracing::debug!(%cause, command, "can't be run");
                return None;
            }
        }
    }
    for table in Table::ALL {
        let mut needs =
            needs.iter().filter(|it| it.table == table && it.family.is_none_or(|only| only == family)).peekable();
        if needs.peek().is_none() {
            continue;
        }
        if let Err(cause) = program.new_chain(table.name(), CHAIN) {
            tracing::debug!(%cause, command, "a chain to try things in can't be made; one may be left from before");
        }
        let lacking = needs.find(|need| program.append(table.name(), CHAIN, need.words).is_err());
        clean_up(&program, table);
        if let Some(need) = lacking {
            return Some(format!(
                "this kernel, or this {command}, lacks {} (module {}), which our rules need",
                need.name, need.module
            ));
        }
    }
    None
}

fn clean_up(program: &IPTables, table: Table) {
    let gone = program.flush_chain(table.name(), CHAIN).and_then(|()| program.delete_chain(table.name(), CHAIN));
    if let Err(cause) = gone {
        tracing::warn!(%cause, "the empty chain {CHAIN} of the table {} is left", table.name());
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::thread::UnshareFlags;

    use super::*;

    #[test]
    fn what_is_missing_is_told_by_its_name_and_the_attempt_leaves_nothing() {
        let probing = thread::spawn(|| {
            // SAFETY: only FILES could harm other threads, and it is not asked for.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            let absent = [need(Table::Nat, "-m absent --here", "the match absent", "xt_absent")];
            for command in ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"] {
                let family = if command.starts_with("ip6") { Family::V6 } else { Family::V4 };
                assert_eq!(lacking(command, family), None);
                let told = missing(command, family, &absent).unwrap();
                assert!(told.contains("the match absent (module xt_absent)"), "{told}");
                let program = IPTables { cmd: command, has_check: true, has_wait: true, is_numeric: true };
                for table in Table::ALL {
                    assert!(!program.chain_exists(table.name(), CHAIN).unwrap(), "{command}");
                }
            }
        });
        probing.join().unwrap();
    }
}
