//! What of our table is in the kernel now.

use std::collections::HashMap;

use trestle_core::error::{Error, Result};

use super::element::{Element, readable};
use super::message::nftables;
use super::ruleset::TABLE;
use super::set::{Holds, Set};
use super::socket::Socket;
use super::uapi::*;
use crate::mark::Instance;

/// Whether the table of our name stands, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none.
    Absent,
    /// Ours.
    Ours {
        /// Whether somebody has put it to sleep: it is there and does nothing.
        asleep: bool,
    },
    /// Somebody else's.
    Strangers {
        /// Its comment.
        comment: Option<String>,
    },
}

impl Standing {
    /// The error that a stranger's table is.
    pub(super) fn conflict(comment: Option<&str>) -> Error {
        Error::conflict(match comment {
            Some(comment) if comment.starts_with("trestle ") => format!(
                "table inet {TABLE} belongs to another installation of Trestle ({comment}); one firewall serves one installation a network namespace"
            ),
            _ => format!(
                "table inet {TABLE} was not made by us (it lacks our mark); rename it, or delete it by: nft delete table inet {TABLE}"
            ),
        })
    }
}

/// The generation of all rules of this network namespace: another number after every change of anybody.
pub(in crate::firewall) fn generation(socket: &mut Socket) -> Result<u32> {
    let mut found = None;
    let kind = nftables(NFT_MSG_GETGEN);
    socket.ask(kind, 0, NFPROTO_UNSPEC, |_| {}, |it| found = it.attributes().get(NFTA_GEN_ID).map(|it| it.number()))?;
    found.ok_or_else(|| Error::internal("the kernel does not tell the generation of nf_tables"))
}

/// Whether our table stands.
pub(super) fn standing(socket: &mut Socket, instance: Instance) -> Result<Standing> {
    let mut found = Standing::Absent;
    let kind = nftables(NFT_MSG_GETTABLE);
    socket.ask(
        kind,
        0,
        NFPROTO_INET,
        |it| it.text(NFTA_TABLE_NAME, TABLE),
        |message| {
            const DORMANT: u32 = 1;
            let attributes = message.attributes();
            let comment = attributes.get(NFTA_TABLE_USERDATA).and_then(|it| comment(it.value));
            found = match comment.as_deref() == Some(instance.comment().as_str()) {
                true => Standing::Ours {
                    asleep: attributes.get(NFTA_TABLE_FLAGS).is_some_and(|it| it.number() & DORMANT != 0),
                },
                false => Standing::Strangers { comment },
            };
        },
    )?;
    Ok(found)
}

/// The comment in user data of a table.
pub(super) fn comment(mut data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let value = rest.get(..usize::from(*length))?;
        if *kind == NFTNL_UDATA_TABLE_COMMENT {
            return Some(String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned());
        }
        data = &rest[value.len()..];
    }
    None
}

/// Things of one kind by their names, each as the attributes that the kernel gives.
pub(super) type Named = HashMap<String, Vec<u8>>;

/// The chains of our table.
pub(super) fn chains(socket: &mut Socket) -> Result<Named> {
    named(socket, NFT_MSG_GETCHAIN, NFTA_CHAIN_NAME)
}

/// The sets of our table.
pub(super) fn sets(socket: &mut Socket) -> Result<Named> {
    named(socket, NFT_MSG_GETSET, NFTA_SET_NAME)
}

fn named(socket: &mut Socket, kind: u8, name: u16) -> Result<Named> {
    // In every message of nf_tables the first attribute is the table's name.
    let found = socket.dump(
        nftables(kind),
        NFPROTO_INET,
        |it| it.text(NFTA_SET_TABLE, TABLE),
        |message| {
            let attributes = message.attributes();
            (attributes.get(NFTA_SET_TABLE)?.text() == TABLE)
                .then(|| Some((attributes.get(name)?.text(), message.payload[4..].to_vec())))?
        },
    )?;
    Ok(found.unwrap_or_default().into_iter().collect())
}

/// The rules of our table in their order: the chain's name, and the attributes of the rule.
pub(super) fn rules(socket: &mut Socket) -> Result<Vec<(String, Vec<u8>)>> {
    let found = socket.dump(
        nftables(NFT_MSG_GETRULE),
        NFPROTO_INET,
        |it| it.text(NFTA_RULE_TABLE, TABLE),
        |message| {
            let attributes = message.attributes();
            (attributes.get(NFTA_RULE_TABLE)?.text() == TABLE)
                .then(|| Some((attributes.get(NFTA_RULE_CHAIN)?.text(), message.payload[4..].to_vec())))?
        },
    )?;
    Ok(found.unwrap_or_default())
}

/// A key in the kernel's bytes, with its upper end in interval sets.
pub(super) type Key = (Vec<u8>, Option<Vec<u8>>);

/// The key of an element of ours.
pub(super) fn key(element: &Element) -> Key {
    (element.key_bytes(), element.key_end_bytes())
}

/// The elements of a set by their keys, each as the attributes that the kernel gives; none if there is no such set.
pub(super) fn elements(socket: &mut Socket, set: Set) -> Result<Option<HashMap<Key, Vec<u8>>>> {
    let fill = |it: &mut super::attribute::Attributes<'_>| {
        it.text(NFTA_SET_ELEM_LIST_TABLE, TABLE);
        it.text(NFTA_SET_ELEM_LIST_SET, set.name());
    };
    let pieces = socket.dump(nftables(NFT_MSG_GETSETELEM), NFPROTO_INET, fill, |message| {
        let list = message.attributes().get(NFTA_SET_ELEM_LIST_ELEMENTS)?;
        let part = |it: &super::attribute::Attribute<'_>, kind| {
            Some(it.inside().get(kind)?.inside().get(NFTA_DATA_VALUE)?.value.to_vec())
        };
        Some(
            list.inside()
                .filter_map(|it| {
                    Some(((part(&it, NFTA_SET_ELEM_KEY)?, part(&it, NFTA_SET_ELEM_KEY_END)), it.value.to_vec()))
                })
                .collect::<Vec<_>>(),
        )
    })?;
    Ok(pieces.map(|pieces| pieces.into_iter().flatten().collect()))
}

/// An element as the kernel gives it, in nft's words.
pub(super) fn told(set: Set, key: &Key, attributes: &[u8]) -> String {
    let definition = set.definition();
    let key = readable(definition.key, &key.0, key.1.as_deref());
    let data = super::attribute::read(attributes).get(NFTA_SET_ELEM_DATA);
    let value = data.and_then(|data| match definition.holds {
        Holds::Nothing => None,
        Holds::Values(types) => Some(readable(types, data.inside().get(NFTA_DATA_VALUE)?.value, None)),
        Holds::Verdict => Some(verdict(data.inside().get(NFTA_DATA_VERDICT)?)),
    });
    match value {
        Some(value) => format!("{key} : {value}"),
        None => key,
    }
}

fn verdict(data: super::attribute::Attribute<'_>) -> String {
    let code = data.inside().get(NFTA_VERDICT_CODE).map(|it| it.number().cast_signed());
    let chain = data.inside().get(NFTA_VERDICT_CHAIN).map(|it| it.text()).unwrap_or_default();
    match code {
        Some(NF_ACCEPT) => "accept".to_owned(),
        Some(NF_DROP) => "drop".to_owned(),
        Some(NFT_RETURN) => "return".to_owned(),
        Some(NFT_JUMP) => format!("jump {chain}"),
        Some(NFT_GOTO) => format!("goto {chain}"),
        other => format!("verdict {other:?}"),
    }
}
