//! How a registry asks who we are: the header `WWW-Authenticate` (RFC 7235, RFC 6750).

use std::collections::BTreeMap;

/// What a registry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password.
    Basic,
    /// A token, which somebody else gives.
    Bearer {
        /// Where to get it.
        realm: String,
        /// For whom it is.
        service: Option<String>,
        /// What it shall allow.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads the first challenge of a header; `None` if it wants something unknown.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        let realm = parameters.remove("realm")?;
        Some(Self::Bearer { realm, service: parameters.remove("service"), scope: parameters.remove("scope") })
    }
}

/// `name="value", name=value`; quoted values may hold commas.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        rest = after.trim_start().trim_start_matches(',');
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_as_registries_write_them() {
        let bearer =
            r#"Bearer realm="https://auth.example.com/token",service="example.com",scope="repository:a:pull,push""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example.com/token".into(),
            service: Some("example.com".into()),
            scope: Some("repository:a:pull,push".into()),
        };
        assert_eq!(Challenge::parse(bearer), Some(expected));
        assert_eq!(Challenge::parse("basic realm=\"x\""), Some(Challenge::Basic));
        for strange in ["", "Negotiate", "Bearer", "Bearer service=x", "Bearer realm"] {
            assert_eq!(Challenge::parse(strange), None, "{strange}");
        }
    }
}
