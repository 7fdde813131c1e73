//! Other people's chains that may drop our containers' packets: an accept of ours can't override them.

use trestle_core::error::{Doing, Result};

use super::nftables::TABLE;
use super::nftables::attribute::{Attribute, Reader};
use super::nftables::message::{Message, nftables};
use super::nftables::socket::Socket;
use super::uapi::*;
use super::{Firewall, Rules};

/// A chain on the forward hook that is not ours.
struct Foreign {
    family: u8,
    table: String,
    chain: String,
    drops_by_policy: bool,
}

/// How a rule drops packets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Drops {
    /// Those that meet its conditions.
    Some,
    /// All that come to it.
    All,
}

impl Firewall {
    /// Other people's chains on the forward hook that drop packets by their policy or by a rule, each told in a
    /// sentence with the way to let our networks pass. Rules of iptables' legacy kind can't be seen here.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn foreign_drops(&mut self) -> Result<Vec<String>> {
        let told = match &mut self.rules {
            Rules::NfTables(rules) => told(rules.netfilter_mut(), |_| false),
            Rules::IpTables(rules) => match (rules.are_in_nftables(), rules.knows_nftables()) {
                (_, false) => Ok(Vec::new()),
                (stand_there, true) => told(rules.netfilter_mut(), |chain| stand_there && chain.is_iptables()),
            },
        };
        told.doing(|| "looking for other firewalls that drop packets")
    }
}

impl Foreign {
    /// Whether it is iptables' own: our rules go first in it.
    fn is_iptables(&self) -> bool {
        matches!(self.family, NFPROTO_IPV4 | NFPROTO_IPV6) && self.table == "filter" && self.chain == "FORWARD"
    }
}

fn told(socket: &mut Socket, ours: impl Fn(&Foreign) -> bool) -> Result<Vec<String>> {
    let chains = socket.dump(nftables(NFT_MSG_GETCHAIN), NFPROTO_UNSPEC, |_| {}, forward_chain)?.unwrap_or_default();
    let mut sentences = Vec::new();
    for chain in chains.into_iter().filter(|it| !ours(it)) {
        let reason = match chain.drops_by_policy {
            true => "drops what it does not accept (policy drop)".to_owned(),
            false => match worst_rule(socket, &chain)? {
                Some((Drops::All, handle)) => {
                    format!("drops or rejects what it did not accept before (rule handle {handle})")
                }
                Some((Drops::Some, handle)) => format!("drops or rejects some packets (rule handle {handle})"),
                None => continue,
            },
        };
        sentences.push(format!(
            "chain {} of table {} {} {reason}, and no rule of ours can override it; for each of our networks: {}",
            chain.chain,
            family_name(chain.family),
            chain.table,
            remedy(&chain),
        ));
    }
    Ok(sentences)
}

fn forward_chain(message: &Message<'_>) -> Option<Foreign> {
    let attributes = message.attributes();
    let family = message.family();
    let forward = attributes.get(NFTA_CHAIN_HOOK)?.inside().get(NFTA_HOOK_HOOKNUM)?.number() == NF_INET_FORWARD;
    let concerns_us = matches!(family, NFPROTO_INET | NFPROTO_IPV4 | NFPROTO_IPV6 | NFPROTO_BRIDGE);
    let table = attributes.get(NFTA_CHAIN_TABLE)?.text();
    let ours = family == NFPROTO_INET && table == TABLE;
    (forward && concerns_us && !ours).then_some(())?;
    Some(Foreign {
        family,
        table,
        chain: attributes.get(NFTA_CHAIN_NAME)?.text(),
        drops_by_policy: attributes.get(NFTA_CHAIN_POLICY).is_some_and(|it| it.number().cast_signed() == NF_DROP),
    })
}

/// The rule of a chain that drops most, and its handle.
fn worst_rule(socket: &mut Socket, chain: &Foreign) -> Result<Option<(Drops, u64)>> {
    let rules = socket.dump(
        nftables(NFT_MSG_GETRULE),
        chain.family,
        |it| {
            it.text(NFTA_RULE_TABLE, &chain.table);
            it.text(NFTA_RULE_CHAIN, &chain.chain);
        },
        |message| {
            let attributes = message.attributes();
            let here = attributes.get(NFTA_RULE_TABLE)?.text() == chain.table
                && attributes.get(NFTA_RULE_CHAIN)?.text() == chain.chain;
            let drops = drops(attributes.get(NFTA_RULE_EXPRESSIONS)?.inside()).filter(|_| here)?;
            let handle = attributes.get(NFTA_RULE_HANDLE)?.value.try_into().map(u64::from_be_bytes).ok()?;
            Some((drops, handle))
        },
    )?;
    Ok(rules.unwrap_or_default().into_iter().max_by_key(|(drops, _)| *drops))
}

fn drops(expressions: Reader<'_>) -> Option<Drops> {
    let (mut drops, mut conditions) = (false, false);
    for expression in expressions {
        let name = expression.inside().get(NFTA_EXPR_NAME)?.text();
        let data = expression.inside().get(NFTA_EXPR_DATA);
        match name.as_str() {
            "reject" => drops = true,
            "immediate" => drops |= data.is_some_and(is_drop),
            // The rules of iptables; DROP is a verdict there too.
            "target" => {
                let target = data.and_then(|it| it.inside().get(NFTA_TARGET_NAME)).map(|it| it.text());
                drops |= target.is_some_and(|it| it == "REJECT" || it == "DROP");
            }
            "counter" | "log" => {}
            _ => conditions = true,
        }
    }
    drops.then_some(if conditions { Drops::Some } else { Drops::All })
}

fn is_drop(immediate: Attribute<'_>) -> bool {
    let verdict = immediate.inside().get(NFTA_IMMEDIATE_DATA).and_then(|it| it.inside().get(NFTA_DATA_VERDICT));
    let code = verdict.and_then(|it| it.inside().get(NFTA_VERDICT_CODE));
    code.is_some_and(|it| it.number().cast_signed() == NF_DROP)
}

fn family_name(family: u8) -> &'static str {
    match family {
        NFPROTO_IPV4 => "ip",
        NFPROTO_IPV6 => "ip6",
        NFPROTO_BRIDGE => "bridge",
        _ => "inet",
    }
}

/// What a person can do about it, by who made the chain.
fn remedy(chain: &Foreign) -> String {
    match (chain.family, chain.table.as_str(), chain.chain.as_str()) {
        (_, "firewalld", _) => {
            "firewall-cmd --permanent --zone=trusted --add-interface=BRIDGE && firewall-cmd --reload".to_owned()
        }
        (NFPROTO_IPV4, "filter", "FORWARD") => by_iptables("iptables"),
        (NFPROTO_IPV6, "filter", "FORWARD") => by_iptables("ip6tables"),
        (family, table, name) => {
            let place = format!("{} {table} {name}", family_name(family));
            format!("nft insert rule {place} iifname BRIDGE accept && nft insert rule {place} oifname BRIDGE accept")
        }
    }
}

fn by_iptables(command: &str) -> String {
    format!("{command} -I FORWARD -i BRIDGE -j ACCEPT && {command} -I FORWARD -o BRIDGE -j ACCEPT")
}
