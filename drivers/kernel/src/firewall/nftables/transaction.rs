//! The steps of a transaction: the table made, its rules rewritten, elements put in and taken out.

use super::attribute::{Attributes, LONGEST};
use super::element::Element;
use super::expression::expressions;
use super::message::{Batch, Subject};
use super::ruleset::{CHAINS, Layout, TABLE};
use super::set::{Definition, Holds, Set};
use super::statement::{Chain, Rule};
use super::uapi::*;
use crate::mark::Instance;

/// Makes the table with chains and sets, as far as they are not there, and writes all rules anew. The admin chain is
/// not touched if it is there; elements stay.
pub(super) fn make_base(batch: &mut Batch, instance: Instance) {
    batch.message(NFT_MSG_NEWTABLE, NLM_F_CREATE, Subject::Table, |it| {
        it.text(NFTA_TABLE_NAME, TABLE);
        it.number(NFTA_TABLE_FLAGS, 0);
        it.bytes(NFTA_TABLE_USERDATA, &user_data(NFTNL_UDATA_TABLE_COMMENT, &instance.comment()));
    });
    for layout in &CHAINS {
        batch.message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, Subject::Chain(layout.chain.name()), |it| {
            chain(layout, it);
            it.bytes(NFTA_CHAIN_USERDATA, &user_data(NFTNL_UDATA_CHAIN_COMMENT, layout.comment));
        });
    }
    CHAINS
        .iter()
        .map(|layout| layout.chain)
        .filter(|it| *it != Chain::Admin)
        .for_each(|it| flush_chain(batch, it.name()));
    for (id, definition) in (1..).zip(Set::ALL.map(Set::definition)) {
        batch.message(NFT_MSG_NEWSET, NLM_F_CREATE, Subject::Set(definition.name), |it| {
            set(&definition, it);
            it.number(NFTA_SET_ID, id);
            it.bytes(NFTA_SET_USERDATA, &set_data(&definition));
        });
    }
    for layout in &CHAINS {
        for each in layout.rules {
            let subject = Subject::Rule(layout.chain.name());
            batch.message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, subject, |it| {
                it.text(NFTA_RULE_TABLE, TABLE);
                it.text(NFTA_RULE_CHAIN, layout.chain.name());
                rule(each, it);
            });
        }
    }
}

/// Deletes the table with all that is in it.
pub(super) fn delete_table(batch: &mut Batch) {
    batch.message(NFT_MSG_DELTABLE, 0, Subject::Table, |it| it.text(NFTA_TABLE_NAME, TABLE));
}

/// Deletes a chain that is empty and that nothing leads to.
pub(super) fn delete_chain(batch: &mut Batch, chain: Chain) {
    batch.message(NFT_MSG_DELCHAIN, 0, Subject::Chain(chain.name()), |it| {
        it.text(NFTA_CHAIN_TABLE, TABLE);
        it.text(NFTA_CHAIN_NAME, chain.name());
    });
}

/// Deletes a set that no rule looks into.
pub(super) fn delete_set(batch: &mut Batch, set: Set) {
    batch.message(NFT_MSG_DELSET, 0, Subject::Set(set.name()), |it| {
        it.text(NFTA_SET_TABLE, TABLE);
        it.text(NFTA_SET_NAME, set.name());
    });
}

/// Deletes all rules of a chain.
pub(super) fn flush_chain(batch: &mut Batch, chain: &'static str) {
    batch.message(NFT_MSG_DELRULE, 0, Subject::Rule(chain), |it| {
        it.text(NFTA_RULE_TABLE, TABLE);
        it.text(NFTA_RULE_CHAIN, chain);
    });
}

/// Takes everything out of a set.
pub(super) fn empty_set(batch: &mut Batch, set: Set) {
    batch.message(NFT_MSG_DELSETELEM, 0, Subject::Removed(set.name()), |it| element_list(set, it));
}

/// Puts elements in. One that is there with the same value stays as it is.
pub(super) fn add(batch: &mut Batch, elements: &[Element]) {
    for (set, some) in pieces(elements) {
        batch.message(NFT_MSG_NEWSETELEM, NLM_F_CREATE, Subject::Added(set.name()), |it| {
            element_list(set, it);
            it.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| some.iter().for_each(|each| each.write(true, list)));
        });
    }
}

/// Takes elements out, which all have to be there.
pub(super) fn remove(batch: &mut Batch, elements: &[Element]) {
    for (set, some) in pieces(elements) {
        batch.message(NFT_MSG_DELSETELEM, 0, Subject::Removed(set.name()), |it| {
            element_list(set, it);
            it.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| some.iter().for_each(|each| each.write(false, list)));
        });
    }
}

/// What of a chain the kernel gives back as it was given.
pub(super) fn chain(layout: &Layout, it: &mut Attributes<'_>) {
    it.text(NFTA_CHAIN_TABLE, TABLE);
    it.text(NFTA_CHAIN_NAME, layout.chain.name());
    if let Some(hook) = layout.hook {
        it.text(NFTA_CHAIN_TYPE, hook.kind);
        it.bytes(NFTA_CHAIN_POLICY, &NF_ACCEPT.to_be_bytes());
        it.nest(NFTA_CHAIN_HOOK, |it| {
            it.number(NFTA_HOOK_HOOKNUM, hook.number);
            it.bytes(NFTA_HOOK_PRIORITY, &hook.priority.to_be_bytes());
        });
    }
}

/// What of a set the kernel gives back as it was given.
pub(super) fn set(definition: &Definition, it: &mut Attributes<'_>) {
    let number = |length: usize| u32::try_from(length).expect("keys and values have at most 64 bytes");
    let map = if definition.holds == Holds::Nothing { 0 } else { NFT_SET_MAP };
    let interval = if definition.interval { NFT_SET_INTERVAL | NFT_SET_CONCAT } else { 0 };
    it.text(NFTA_SET_TABLE, TABLE);
    it.text(NFTA_SET_NAME, definition.name);
    it.number(NFTA_SET_FLAGS, map | interval);
    it.number(NFTA_SET_KEY_TYPE, definition.key_type());
    it.number(NFTA_SET_KEY_LEN, number(definition.key_length()));
    if let Some((kind, length)) = definition.value() {
        it.number(NFTA_SET_DATA_TYPE, kind);
        if length > 0 {
            it.number(NFTA_SET_DATA_LEN, number(length));
        }
    }
    if definition.interval {
        it.nest(NFTA_SET_DESC, |it| {
            it.nest(NFTA_SET_DESC_CONCAT, |it| {
                for part in definition.key {
                    it.nest(NFTA_LIST_ELEM, |it| it.number(NFTA_SET_FIELD_LEN, number(part.length())));
                }
            });
        });
    }
}

/// What of a rule the kernel gives back as it was given.
pub(super) fn rule(rule: &Rule, it: &mut Attributes<'_>) {
    it.nest(NFTA_RULE_EXPRESSIONS, |list| expressions(rule, list));
}

fn element_list(set: Set, it: &mut Attributes<'_>) {
    it.text(NFTA_SET_ELEM_LIST_TABLE, TABLE);
    it.text(NFTA_SET_ELEM_LIST_SET, set.name());
}

/// No element takes more bytes in a message than this.
const LONGEST_ELEMENT: usize = 256;

/// Elements in runs of one set, each run short enough for one list.
fn pieces(elements: &[Element]) -> impl Iterator<Item = (Set, &[Element])> {
    elements
        .chunk_by(|one, next| one.set == next.set)
        .flat_map(|run| run.chunks(LONGEST / LONGEST_ELEMENT))
        .map(|some| (some[0].set, some))
}

/// A field of user data as nft keeps it: a kind, a length and a value, each a byte; texts close with a NUL.
pub(super) fn user_data(kind: u8, text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).expect("our comments are short");
    let mut data = vec![kind, length];
    data.extend_from_slice(text.as_bytes());
    data.push(0);
    data
}

/// The user data of a set: the byte order of its key, without which nft can't print names of links, and the comment.
fn set_data(definition: &Definition) -> Vec<u8> {
    const HOST_ENDIAN: u32 = 1;
    const CONCATENATED: u32 = 0;
    let order = match definition.key {
        [super::set::Type::Link] => HOST_ENDIAN,
        [_] => 2,
        _ => CONCATENATED,
    };
    let mut data = vec![NFTNL_UDATA_SET_KEYBYTEORDER, 4];
    data.extend_from_slice(&order.to_ne_bytes());
    data.extend_from_slice(&user_data(NFTNL_UDATA_SET_COMMENT, definition.comment));
    data
}

#[cfg(test)]
mod tests {
    use trestle_core::port::{PortRange, Protocol};
    use trestle_core::resource::{FirewallNetwork, GatewayMode, Inside, PublishedPort, Resource};

    use super::super::element::elements;
    use super::super::message::messages;
    use super::*;

    #[test]
    fn ten_thousand_ports_are_cut_into_lists_below_64_kib_and_none_is_lost() {
        let resource = Resource::PublishedPort(PublishedPort {
            protocol: Protocol::Tcp,
            address: Some("2001:db8::1".parse().unwrap()),
            host: PortRange::new(1, 10_000).unwrap(),
            container: PortRange::new(2, 10_001).unwrap(),
            to_v4: None,
            to_v6: Some("fd00::2".parse().unwrap()),
        });
        let all = elements(&resource);
        let mut batch = Batch::default();
        add(&mut batch, &all);
        remove(&mut batch, &all);
        let (bytes, _) = batch.seal(1, 1);
        let mut counts = [0, 0];
        for message in messages(bytes) {
            let Some(list) = message.attributes().get(NFTA_SET_ELEM_LIST_ELEMENTS) else { continue };
            counts[usize::from(message.nftables() == Some(NFT_MSG_DELSETELEM))] += list.inside().count();
        }
        assert_eq!(counts, [10_000, 10_000]);
    }

    #[test]
    fn no_element_is_longer_than_was_reckoned() {
        let network = Resource::FirewallNetwork(FirewallNetwork {
            bridge: "fifteen-letters".try_into().unwrap(),
            inside: Inside::PublishedOnly,
            internal: false,
            gateway_v4: GatewayMode::Nat,
            gateway_v6: GatewayMode::Nat,
            trusted: vec!["fifteen-letters".try_into().unwrap()],
            masquerade_v4: true,
            masquerade_v6: true,
            source_v4: None,
            source_v6: Some("fd00::2".parse().unwrap()),
            filter_bridged: false,
        });
        let range = Resource::PublishedPort(PublishedPort {
            protocol: Protocol::Sctp,
            address: Some("2001:db8::1".parse().unwrap()),
            host: PortRange::new(1, 2).unwrap(),
            container: PortRange::new(1, 2).unwrap(),
            to_v4: None,
            to_v6: Some("fd00::2".parse().unwrap()),
        });
        for element in [network, range].iter().flat_map(elements) {
            let mut bytes = Vec::new();
            element.write(true, &mut Attributes::new(&mut bytes));
            assert!(bytes.len() <= LONGEST_ELEMENT, "{element}: {}", bytes.len());
        }
    }
}
