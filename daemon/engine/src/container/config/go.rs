//! Reading and writing JSON as Go's `encoding/json` does: `null`, nothing and the zero value are the same when read, and
//! a list that was not there is told as `null`, an empty one as `[]`.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Reads `null` as the zero value.
///
/// # Errors
/// Those of the value itself.
pub fn zero<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A Go slice: used as a slice, written as `null` where there was none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct List<T>(Option<Vec<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<T> List<T> {
    /// Whether it is told as `null`.
    pub fn is_null(&self) -> bool {
        self.0.is_none()
    }

    /// The same, told as `[]` where it would be told as `null`.
    #[must_use]
    pub fn or_empty(self) -> Self {
        Self(Some(self.0.unwrap_or_default()))
    }

    /// The list to change, which there is from now on.
    pub fn to_mut(&mut self) -> &mut Vec<T> {
        self.0.get_or_insert_default()
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        Self(Some(items))
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A Go map: used as a map, written as `null` where there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map<K, V>(Option<BTreeMap<K, V>>);

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Ord, V> Map<K, V> {
    /// Its entries, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().flatten()
    }

    /// Its keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(BTreeMap::is_empty)
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, BTreeMap::len)
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.as_ref()?.get(key)
    }

    /// The same, told as `{}` where it would be told as `null`.
    #[must_use]
    pub fn or_empty(self) -> Self {
        Self(Some(self.0.unwrap_or_default()))
    }

    /// The map to change, which there is from now on.
    pub fn to_mut(&mut self) -> &mut BTreeMap<K, V> {
        self.0.get_or_insert_default()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(Some(entries.into_iter().collect()))
    }
}

impl<K: Ord + Serialize, V: Serialize> Serialize for Map<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A value that is `null` is the zero value, and its key is there.
impl<'de, K: Ord + Deserialize<'de>, V: Default + Deserialize<'de>> Deserialize<'de> for Map<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read: Option<BTreeMap<K, Option<V>>> = Option::deserialize(deserializer)?;
        Ok(Self(read.map(|map| map.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())))
    }
}

/// Go's `struct{}` as the value of a set: `{}`, whatever was in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// Docker's `strslice`: a list of words; one word by itself is read as a list of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Words(List<String>);

impl Deref for Words {
    type Target = List<String>;

    fn deref(&self) -> &List<String> {
        &self.0
    }
}

impl From<Vec<String>> for Words {
    fn from(words: Vec<String>) -> Self {
        Self(words.into())
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Several(Vec<String>),
        }
        Ok(match Option::deserialize(deserializer)? {
            None => Self::default(),
            Some(Form::One(word)) => vec![word].into(),
            Some(Form::Several(words)) => words.into(),
        })
    }
}

/// Makes a struct whose fields are read and written by the names that stand behind them, and may be missing or `null`.
macro_rules! letter {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty = $letter:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(rename = $letter, default, deserialize_with = "crate::container::config::go::zero")]
                pub $field: $type,
            )*
        }
    };
}
pub(crate) use letter;

/// Makes a type that is text in JSON be read by its `FromStr` and written by its `Display`.
macro_rules! as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use as_text;

/// A moment as Go writes it: RFC 3339 in UTC, with as many digits of the second as it has.
pub fn time(at: std::time::SystemTime) -> String {
    let format = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::from(at).format(format).unwrap_or_else(|_| NEVER.into())
}

/// Go's zero moment, which stands for none.
pub const NEVER: &str = "0001-01-01T00:00:00Z";
