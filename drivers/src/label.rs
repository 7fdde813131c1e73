//! One table of labels: what reads an option also refuses and documents it.

mod value;

use std::collections::BTreeMap;

use trestle_core::driver::OptionDoc;
use trestle_core::{Doing, Error, Result};

pub(crate) use self::value::{MTU_RANGE, Value};

/// One option: its key, what it does, and where its value goes in the options `T` that are being read.
pub(crate) struct Label<T: 'static> {
    pub(crate) key: &'static str,
    pub(crate) default: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) value: Value<T>,
}

/// Reads the options by the table.
///
/// An option of another domain (`org.example.colour`) is its owner's affair and left alone; one of Docker's domain, or
/// of none, that the table does not have is a mistake and refused.
pub(crate) fn read<T: Default>(labels: &[Label<T>], options: &BTreeMap<String, String>) -> Result<T> {
    let mut read = T::default();
    for (key, text) in options {
        match labels.iter().find(|label| label.key == key) {
            Some(label) => label.value.read(text, &mut read).doing(|| format!("reading option {key}"))?,
            None if is_strangers(key) => {}
            None => return Err(unknown(key, labels.iter().map(|label| label.key))),
        }
    }
    Ok(read)
}

/// The table as documentation.
pub(crate) fn documentation<T>(labels: &[Label<T>]) -> Vec<OptionDoc> {
    let document = |label: &Label<T>| OptionDoc {
        key: label.key.to_owned(),
        values: label.value.allowed().to_owned(),
        default: label.default.to_owned(),
        meaning: label.meaning.to_owned(),
        supported: true,
    };
    labels.iter().map(document).collect()
}

/// Whether the option belongs to somebody else's domain.
fn is_strangers(key: &str) -> bool {
    key.contains('.') && !key.starts_with("com.docker.")
}

fn unknown(key: &str, known: impl Iterator<Item = &'static str>) -> Error {
    let shown = shown(key);
    match known.min_by_key(|candidate| distance(&shown, candidate)) {
        Some(nearest) => Error::invalid(format!("there is no option {shown:?}; the nearest known one is {nearest}")),
        None => Error::invalid(format!("there is no option {shown:?}; none is known")),
    }
}

/// How far a key is from a known one: as a whole, or by its last word, whichever is nearer.
fn distance(key: &str, known: &str) -> usize {
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    edits(key, known).min(edits(&last(key), &last(known)))
}

/// The least number of letters to insert, delete or replace (Levenshtein's distance).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, same) in other.iter().map(|it| *it == letter).enumerate() {
            let replaced = diagonal + usize::from(!same);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

/// At most the first eighty characters, for an error's sake.
fn shown(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", "mtu"), 3);
        assert_eq!(edits("mtu", "mtu"), 0);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
