//! Which version of the API a caller speaks: `/v1.43/…`, or none for the newest.

use std::fmt;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Uri};

use super::error::Refusal;

/// A version of Docker's API: 1.12 to 1.51. What an answer holds depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    major: u32,
    minor: u32,
}

impl ApiVersion {
    /// The oldest one answered.
    pub const OLDEST: Self = Self::new(12);
    /// The newest one answered.
    pub const NEWEST: Self = Self::new(51);

    /// 1.`minor`.
    pub const fn new(minor: u32) -> Self {
        Self { major: 1, minor }
    }

    /// Whether it is 1.`minor` or newer.
    pub fn since(self, minor: u32) -> bool {
        self >= Self::new(minor)
    }

    /// Reads a version as it stands in a path: `1.43`, also `1`.
    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|number| number.parse::<u32>().ok());
        let (major, minor) = (numbers.next()??, numbers.next().unwrap_or(Some(0))?);
        numbers.all(|number| number.is_some()).then_some(Self { major, minor })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl<S: Sync> FromRequestParts<S> for ApiVersion {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self::NEWEST))
    }
}

/// Takes the version off a request's path, and keeps it among the extensions.
pub(super) fn settle(request: &mut Request) -> Result<(), Refusal> {
    let Some((version, rest)) = split(request.uri().path()) else { return Ok(()) };
    let version = ApiVersion::read(version)
        .ok_or_else(|| Refusal::invalid(format!("{version} is not a version of the API such as 1.43")))?;
    if version > ApiVersion::NEWEST {
        let most = ApiVersion::NEWEST;
        let told = format!("client version {version} is too new. Maximum supported API version is {most}");
        return Err(Refusal::invalid(told));
    }
    if version < ApiVersion::OLDEST {
        let least = ApiVersion::OLDEST;
        return Err(Refusal::invalid(format!(
            "client version {version} is too old. Minimum supported API version is {least}, please upgrade your \
             client to a newer version"
        )));
    }
    let rest = match request.uri().query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let rest: PathAndQuery =
        rest.parse().map_err(|error| Refusal::invalid(format!("the path behind the version: {error}")))?;
    *request.uri_mut() = Uri::from(rest);
    request.extensions_mut().insert(version);
    Ok(())
}

/// The version before a path, and the path.
fn split(path: &str) -> Option<(&str, &str)> {
    let behind = path.strip_prefix("/v")?;
    let (version, rest) = behind.split_at(behind.find('/')?);
    let is_version = !version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_version.then_some((version, rest))
}

/// Tells what Docker's answers tell in their heads.
pub(super) fn sign(headers: &mut HeaderMap) {
    const SERVER: &str = concat!("Trestle/", env!("CARGO_PKG_VERSION"), " (linux)");
    let newest = HeaderValue::from_str(&ApiVersion::NEWEST.to_string()).expect("digits and a dot");
    headers.insert("api-version", newest);
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert("server", HeaderValue::from_static(SERVER));
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn settled(path: &str) -> Result<(ApiVersion, String), Refusal> {
        let mut request = Request::builder().uri(path).body(Body::empty()).unwrap();
        settle(&mut request)?;
        let version = request.extensions().get().copied().unwrap_or(ApiVersion::NEWEST);
        Ok((version, request.uri().to_string()))
    }

    #[test]
    fn a_version_is_taken_off_and_none_is_the_newest() {
        for (path, version, rest) in [
            ("/v1.43/networks?filters=%7B%7D", ApiVersion::new(43), "/networks?filters=%7B%7D"),
            ("/v1.12/_ping", ApiVersion::OLDEST, "/_ping"),
            ("/v1.51/a%2Fb", ApiVersion::NEWEST, "/a%2Fb"),
            ("/v1.24.0/info", ApiVersion::new(24), "/info"),
            ("/networks", ApiVersion::NEWEST, "/networks"),
            ("/version", ApiVersion::NEWEST, "/version"),
            ("/volumes/v1.43", ApiVersion::NEWEST, "/volumes/v1.43"),
            ("/v1.43", ApiVersion::NEWEST, "/v1.43"),
            ("/vx/info", ApiVersion::NEWEST, "/vx/info"),
        ] {
            assert_eq!(settled(path).unwrap(), (version, rest.to_owned()), "{path}");
        }
    }

    #[test]
    fn a_version_that_is_not_spoken_is_refused_in_docker_s_words() {
        for (path, told) in [
            ("/v1.52/info", "client version 1.52 is too new. Maximum supported API version is 1.51"),
            ("/v2.0/info", "client version 2.0 is too new."),
            ("/v1.11/info", "client version 1.11 is too old. Minimum supported API version is 1.12, please upgrade"),
            ("/v1/info", "client version 1.0 is too old."),
            ("/v1..2/info", "1..2 is not a version"),
            ("/v99999999999.1/info", "99999999999.1 is not a version"),
        ] {
            let refusal = settled(path).unwrap_err();
            assert!(refusal.message.starts_with(told), "{path}: {refusal:?}");
            assert_eq!(refusal.status.as_u16(), 400);
        }
    }
}
