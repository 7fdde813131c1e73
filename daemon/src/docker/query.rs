//! The part behind `?`, read as Docker reads it: what is not known is not looked at.

use std::collections::HashMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::Refusal;
use super::filters::Filters;

/// Every parameter of a query. One that is given several times has its first value.
#[derive(Clone, Debug, Default)]
pub struct Query(HashMap<String, String>);

impl Query {
    /// A text; `None` where it is missing or empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A flag, off where it is missing. Off are also `0`, `no`, `false` and `none`, and all else is on.
    pub fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// A flag that is something where it is missing or empty.
    pub fn flag_or(&self, name: &str, missing: bool) -> bool {
        let text = self.text(name).map(|text| text.trim().to_ascii_lowercase());
        text.map_or(missing, |text| !matches!(text.as_str(), "" | "0" | "no" | "false" | "none"))
    }

    /// A whole number; `None` where it is missing.
    ///
    /// # Errors
    /// 400 for what is none.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let number = |text: &str| text.parse().map_err(|_| Refusal::invalid(format!("{name}: {text:?} is no number")));
        self.text(name).map(number).transpose()
    }

    /// The filters.
    ///
    /// # Errors
    /// 400 for what are none, and for a key that is not among those `known`.
    pub fn filters(&self, known: &[&str]) -> Result<Filters, Refusal> {
        let filters = self.text("filters").map(Filters::read).transpose()?.unwrap_or_default();
        filters.check(known)?;
        Ok(filters)
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let pairs = pairs.map_err(|error| Refusal::invalid(format!("query: {}", error.body_text())))?.0;
        let mut values = HashMap::new();
        for (name, value) in pairs {
            values.entry(name).or_insert(value);
        }
        Ok(Self(values))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn query(text: &str) -> Query {
        let (mut parts, ()) = Request::builder().uri(format!("/x?{text}")).body(()).unwrap().into_parts();
        Query::from_request_parts(&mut parts, &()).await.unwrap()
    }

    #[tokio::test]
    async fn flags_are_docker_s() {
        let query = query("a=1&b=0&c=False&d=true&e=&f=yes&a=0&g").await;
        let on: Vec<&str> = ["a", "b", "c", "d", "e", "f", "g", "h"].into_iter().filter(|it| query.flag(it)).collect();
        assert_eq!(on, ["a", "d", "f"]);
        assert!(query.flag_or("h", true) && query.flag_or("e", true) && !query.flag_or("b", true));
    }

    #[tokio::test]
    async fn numbers_and_filters_are_read_or_refused() {
        let query = query("t=10&s=-1&x=ten&filters=%7B%22name%22%3A%5B%22a%22%5D%7D").await;
        assert_eq!((query.number("t").unwrap(), query.number("s").unwrap()), (Some(10), Some(-1)));
        assert_eq!(query.number("missing").unwrap(), None);
        assert_eq!(query.number("x").unwrap_err().status.as_u16(), 400);
        assert!(query.filters(&["name"]).unwrap().has("name"));
        assert_eq!(query.filters(&["id"]).unwrap_err().message, "invalid filter 'name'");
    }
}
