//! `--filter KEY=VALUE`, as docker has it: of one key any value fits, of several keys each has to.

use std::collections::BTreeMap;

use clap::Args;

use super::failure::Failure;
use super::read;

/// What of a list is wanted.
#[derive(Clone, Debug, Default, Args)]
pub struct Filters {
    /// Only what fits, as in name=web. May be repeated: any value of a key, every key
    #[arg(long, value_name = "KEY=VALUE", value_parser = read::pair)]
    filter: Vec<(String, String)>,
}

/// What an item says to a key.
#[derive(Clone, Debug)]
pub enum Facet<'a> {
    /// One of these is the value.
    Whole(Vec<&'a str>),
    /// This begins with it.
    Beginning(&'a str),
    /// It is a part of this.
    Part(&'a str),
    /// `KEY`, or `KEY=VALUE`; each that is given has to fit.
    Labels(&'a BTreeMap<String, String>),
}

impl Filters {
    /// Those that fit. `facet` tells what an item says to each of the known keys.
    ///
    /// # Errors
    /// A key that is not known, with those that are.
    pub fn select<T>(
        &self,
        mut items: Vec<T>,
        known: &[&str],
        facet: impl for<'a> Fn(&'a T, &str) -> Facet<'a>,
    ) -> Result<Vec<T>, Failure> {
        if let Some((stranger, _)) = self.filter.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            let known = known.join(", ");
            return Err(Failure::usage(format!("--filter: {stranger:?} is not known; {known} are")));
        }
        let values = |key: &str| {
            let given = self.filter.iter().filter(|(given, _)| given == key);
            given.map(|(_, value)| value.as_str()).collect::<Vec<&str>>()
        };
        let asked: Vec<&str> = known.iter().copied().filter(|key| !values(key).is_empty()).collect();
        items.retain(|item| asked.iter().all(|key| facet(item, key).fits(&values(key))));
        Ok(items)
    }
}

impl Facet<'_> {
    fn fits(&self, values: &[&str]) -> bool {
        let label = |labels: &BTreeMap<String, String>, wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|it| it == value),
            None => labels.contains_key(wanted),
        };
        match self {
            Self::Whole(own) => own.iter().any(|own| values.contains(own)),
            Self::Beginning(own) => values.iter().any(|value| own.starts_with(value)),
            Self::Part(own) => values.iter().any(|value| own.contains(value)),
            Self::Labels(labels) => values.iter().all(|value| label(labels, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(filters: &[(&str, &str)]) -> Result<Vec<&'static str>, Failure> {
        let filter = filters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let red = BTreeMap::from([("team".to_owned(), "red".to_owned())]);
        let items = [("front", red.clone()), ("frontier", red), ("back", BTreeMap::new())];
        let found = Filters { filter }.select(items.into(), &["name", "driver", "label"], |item, key| match key {
            "name" => Facet::Part(item.0),
            "driver" => Facet::Whole(vec!["bridge"]),
            _ => Facet::Labels(&item.1),
        })?;
        Ok(found.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn any_value_of_a_key_and_every_key_fits() {
        assert_eq!(selected(&[]).unwrap(), ["front", "frontier", "back"]);
        assert_eq!(selected(&[("name", "ront")]).unwrap(), ["front", "frontier"]);
        assert_eq!(selected(&[("name", "ier"), ("name", "back")]).unwrap(), ["frontier", "back"]);
        assert_eq!(selected(&[("name", "front"), ("driver", "brid")]).unwrap(), [""; 0]);
        assert_eq!(selected(&[("label", "team=red"), ("label", "team")]).unwrap(), ["front", "frontier"]);
        assert_eq!(selected(&[("label", "team=blue"), ("label", "team")]).unwrap(), [""; 0]);
    }

    #[test]
    fn a_key_that_nothing_has_is_told_with_those_that_there_are() {
        let refusal = selected(&[("color", "red")]).unwrap_err().message.unwrap();
        assert_eq!(refusal, "--filter: \"color\" is not known; name, driver, label are");
    }
}
