//! What the kernel refuses, told to a person.

use std::io;

use trestle_core::error::{Error, ErrorKind};

use super::attribute::read;
use super::element::readable;
use super::message::Subject;
use super::ruleset::TABLE;
use super::set::{Holds, Set};
use super::uapi::{NFTA_DATA_VALUE, NFTA_EXPR_NAME, NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_KEY_END};

/// One message that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::firewall) struct Refusal {
    /// Why: an error number.
    pub errno: i32,
    /// What it was about.
    pub subject: Subject,
    /// Why, in the kernel's words, where it has some.
    pub words: Option<String>,
    /// The value of the attribute that the kernel points at.
    pub at: Option<Vec<u8>>,
}

impl Refusal {
    /// One of which only this is known.
    pub(in crate::firewall) fn new(errno: i32, subject: Subject) -> Self {
        Self { errno, subject, words: None, at: None }
    }
}

/// An error of the system in its own words, without the number that Rust adds.
pub(in crate::firewall) fn told(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

/// What a refusal means to a person.
pub(in crate::firewall) fn sentence(refusal: &Refusal) -> Error {
    let kernels = match &refusal.words {
        Some(words) => words.clone(),
        None => told(&io::Error::from_raw_os_error(refusal.errno)),
    };
    let named = match (refusal.subject, refusal.at.as_deref()) {
        // Of a rule the kernel points at the whole expression.
        (Subject::Rule(_), Some(expression)) => read(expression).get(NFTA_EXPR_NAME).map(|it| it.text()),
        (_, at) => at.and_then(name),
    };
    let error = match (refusal.subject, refusal.errno) {
        (_, libc::EPERM) => {
            Error::internal("the kernel forbids it: the firewall is for who has CAP_NET_ADMIN, as root has")
        }
        (Subject::Added(set), libc::EEXIST | libc::EBUSY | libc::ENOTEMPTY) => {
            Error::conflict(taken(set, refusal.at.as_deref()))
        }
        (Subject::Rule(_), libc::ENOENT | libc::EOPNOTSUPP) => Error::unsupported(match named {
            Some(name) => format!("this kernel lacks the nf_tables expression {name:?} (module nft_{name})"),
            None => "this kernel lacks an nf_tables expression that the rules need".to_owned(),
        }),
        (Subject::Chain(_), libc::ENOENT | libc::EOPNOTSUPP) => Error::unsupported(match named {
            Some(kind) => format!("this kernel has no nf_tables chains of the type {kind:?} (module nft_chain_{kind})"),
            None => format!("this kernel has no such nf_tables chains: {kernels}"),
        }),
        (Subject::Table, libc::EAFNOSUPPORT | libc::EOPNOTSUPP) => Error::unsupported(
            "this kernel's nf_tables has no tables of the family inet (CONFIG_NF_TABLES_INET, Linux 3.14 or newer)",
        ),
        (Subject::Set(_), libc::EOPNOTSUPP) => Error::unsupported(
            "this kernel's nf_tables lacks sets with concatenated intervals (Linux 5.6 or newer has them)",
        ),
        (Subject::Transaction, libc::EOPNOTSUPP | libc::EINVAL | libc::EAFNOSUPPORT) => {
            Error::unsupported(format!("this kernel has no nf_tables (CONFIG_NF_TABLES); it says: {kernels}"))
        }
        (Subject::Tracker, libc::EOPNOTSUPP | libc::EINVAL) => Error::unsupported(format!(
            "this kernel tells nothing of its connections (CONFIG_NF_CT_NETLINK); it says: {kernels}"
        )),
        _ => Error::new(ErrorKind::Internal, format!("the kernel says: {kernels}")),
    };
    match doing(refusal.subject) {
        Some(doing) => error.doing(doing),
        None => error,
    }
}

fn doing(subject: Subject) -> Option<String> {
    Some(match subject {
        Subject::Transaction | Subject::Tracker => return None,
        Subject::Table => format!("making table inet {TABLE}"),
        Subject::Chain(name) => format!("making chain {name} of table inet {TABLE}"),
        Subject::Rule(name) => format!("writing the rules of chain {name} of table inet {TABLE}"),
        Subject::Set(name) => format!("making set {name} of table inet {TABLE}"),
        Subject::Added(name) => format!("adding to {name} of table inet {TABLE}"),
        Subject::Removed(name) => format!("removing from {name} of table inet {TABLE}"),
    })
}

/// What is taken already, from the element that the kernel points at.
fn taken(set: &str, element: Option<&[u8]>) -> String {
    let key = element.and_then(|element| {
        let set = Set::named(set)?;
        let part = |kind| Some(read(element).get(kind)?.inside().get(NFTA_DATA_VALUE)?.value);
        let text = readable(set.definition().key, part(NFTA_SET_ELEM_KEY)?, part(NFTA_SET_ELEM_KEY_END));
        Some((set, text))
    });
    match key {
        // The words that say so for every port that is taken.
        Some((set, text)) if matches!(set.definition().holds, Holds::Values(_)) => {
            format!("{}{} is mapped to another container already", trestle_core::kernel::PORT_TAKEN, port(&text))
        }
        Some((_, text)) => format!("{text} has another entry there already"),
        None => "there is another entry of the same name already".to_owned(),
    }
}

/// `10.0.0.1 . tcp . 80` as people write it: `10.0.0.1:80/tcp`.
fn port(key: &str) -> String {
    match key.split(" . ").collect::<Vec<_>>()[..] {
        [address, protocol, port] if address.contains(':') => format!("[{address}]:{port}/{protocol}"),
        [address, protocol, port] => format!("{address}:{port}/{protocol}"),
        [protocol, port] => format!("{port}/{protocol}"),
        _ => key.to_owned(),
    }
}

fn name(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()?;
    (!text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::attribute::Attributes;
    use super::*;

    fn refused(errno: i32, subject: Subject, at: &[u8]) -> Error {
        sentence(&Refusal { at: Some(at.to_vec()), ..Refusal::new(errno, subject) })
    }

    #[test]
    fn what_the_kernel_lacks_is_told_by_its_name() {
        let mut expression = Vec::new();
        Attributes::new(&mut expression).text(NFTA_EXPR_NAME, "fib");
        let error = refused(libc::ENOENT, Subject::Rule("ports"), &expression);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.cause(), "this kernel lacks the nf_tables expression \"fib\" (module nft_fib)");
        for (errno, subject) in [
            (libc::ENOENT, Subject::Chain("nat_output")),
            (libc::EAFNOSUPPORT, Subject::Table),
            (libc::EOPNOTSUPP, Subject::Set("ranges_v4")),
            (libc::EOPNOTSUPP, Subject::Transaction),
            (libc::EINVAL, Subject::Tracker),
        ] {
            assert_eq!(refused(errno, subject, b"nat\0").kind(), ErrorKind::Unsupported, "{subject:?}");
        }
    }

    #[test]
    fn other_refusals_keep_the_kernel_s_words() {
        let refusal = Refusal { words: Some("Chain of that".into()), ..Refusal::new(libc::EINVAL, Subject::Table) };
        assert_eq!(sentence(&refusal).to_string(), "making table inet trestle: the kernel says: Chain of that");
        let refusal = Refusal::new(libc::EINVAL, Subject::Table);
        assert_eq!(sentence(&refusal).to_string(), "making table inet trestle: the kernel says: invalid argument");
    }
}
