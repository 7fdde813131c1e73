//! Filters: `{"label": ["a=b"], "name": {"front": true}}`. Values of one key are alternatives, keys add up.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde::Deserialize;

use super::error::Refusal;

/// What a list is filtered by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

/// The values of a key: a list since 1.22, a map of flags before.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Flags(BTreeMap<String, bool>),
}

impl Filters {
    /// Reads them as they stand in a query.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let keys: BTreeMap<String, Option<Values>> =
            serde_json::from_str(text).map_err(|error| Refusal::invalid(format!("invalid filters: {error}")))?;
        let values = |values| match values {
            None => BTreeSet::new(),
            Some(Values::List(list)) => list.into_iter().collect(),
            Some(Values::Flags(flags)) => flags.into_iter().filter(|(_, on)| *on).map(|(value, _)| value).collect(),
        };
        Ok(Self(keys.into_iter().map(|(key, found)| (key, values(found))).collect()))
    }

    pub(super) fn check(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) => Err(Refusal::invalid(format!("invalid filter '{unknown}'"))),
            None => Ok(()),
        }
    }

    /// Whether anything is asked of a key.
    pub fn has(&self, key: &str) -> bool {
        self.values(key).next().is_some()
    }

    /// What is asked of a key.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flatten().map(String::as_str)
    }

    /// The one flag of a key; `None` where nothing is asked.
    ///
    /// # Errors
    /// 400 for what is no flag, or both.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        let values: Vec<&str> = self.values(key).collect();
        match values.as_slice() {
            [] => Ok(None),
            ["1" | "true"] => Ok(Some(true)),
            ["0" | "false"] => Ok(Some(false)),
            _ => Err(Refusal::invalid(format!("invalid filter '{key}={values:?}'"))),
        }
    }

    /// Whether a value is one of those asked for, or nothing is asked.
    pub fn is(&self, key: &str, value: &str) -> bool {
        !self.has(key) || self.values(key).any(|wanted| wanted == value)
    }

    /// Whether a value is one of those asked for or matches one as a regular expression, or nothing is asked. An
    /// expression that is none matches nothing.
    pub fn matches(&self, key: &str, value: &str) -> bool {
        let matches = |wanted: &str| wanted == value || Regex::new(wanted).is_ok_and(|it| it.is_match(value));
        !self.has(key) || self.values(key).any(matches)
    }

    /// Whether labels have all that `label` asks for, `KEY` or `KEY=VALUE`, and none that `label!` does.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|it| it == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").all(has) && !self.values("label!").any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_flags_are_read_alike() {
        let list = Filters::read(r#"{"name": ["a", "b"], "id": null}"#).unwrap();
        let flags = Filters::read(r#"{"name": {"a": true, "b": true, "c": false}, "id": {}}"#).unwrap();
        assert_eq!(list, flags);
        assert!(list.is("name", "b") && !list.is("name", "c") && list.is("id", "anything"));
    }

    #[test]
    fn what_are_no_filters_is_refused() {
        for wrong in ["", "[]", "{", r#"{"name": "a"}"#, r#"{"name": [5]}"#, r#"{"name": {"a": "true"}}"#] {
            assert_eq!(Filters::read(wrong).unwrap_err().status.as_u16(), 400, "{wrong}");
        }
        let two = Filters::read(r#"{"dangling": ["true", "false"]}"#).unwrap();
        assert!(two.flag("dangling").unwrap_err().message.starts_with("invalid filter 'dangling="));
    }

    #[test]
    fn names_are_parts_or_regular_expressions() {
        let named = |wanted: &str| Filters::read(&format!(r#"{{"name": ["{wanted}"]}}"#)).unwrap();
        assert!(named("ron").matches("name", "front") && named("^front$").matches("name", "front"));
        assert!(!named("^ront").matches("name", "front") && !named("(").matches("name", "front"));
        assert!(named("(").matches("name", "("), "as it stands, it is no expression");
    }

    #[test]
    fn every_label_has_to_be_there() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        for (filters, fits) in [
            (r#"{"label": ["a", "b"]}"#, true),
            (r#"{"label": ["a=1", "c"]}"#, false),
            (r#"{"label": ["a=2"]}"#, false),
            (r#"{"label!": ["c"]}"#, true),
            (r#"{"label!": ["a=1"]}"#, false),
        ] {
            assert_eq!(Filters::read(filters).unwrap().labels(&labels), fits, "{filters}");
        }
    }
}
