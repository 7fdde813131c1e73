//! One repository of one registry.

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode, Uri};
use serde::Deserialize;
use tokio::sync::Mutex;
use trestle_core::error::{Doing, Error, Result};

use super::challenge::Challenge;
use super::client::{self, Client};
use super::credentials::Credentials;
use crate::image::reference::{DEFAULT_REGISTRY, Reference};

/// Where Docker's own registry really is.
const DEFAULT_HOST: &str = "registry-1.docker.io";

/// How often we are sent on at most.
const MOST_REDIRECTS: usize = 5;

/// The longest answer that is no content, in bytes: errors, tokens.
const LONGEST_WORD: u64 = 256 << 10;

/// A conversation about one repository.
pub(super) struct Session {
    client: Client,
    /// `https://host:port`.
    base: String,
    name: Reference,
    credentials: Credentials,
    /// What is sent as `Authorization`, once the registry has asked for it.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Session {
    /// Finds out how the registry speaks: HTTPS, or HTTP where it is on this machine.
    ///
    /// # Errors
    /// `NotFound` if it can't be reached: then the image is nowhere.
    pub(super) async fn open(name: &Reference, credentials: Credentials) -> Result<Self> {
        let host = if name.registry() == DEFAULT_REGISTRY { DEFAULT_HOST } else { name.registry() };
        let client = Client::new()?;
        let schemes: &[&str] = if is_local(host) { &["https", "http"] } else { &["https"] };
        let mut refused = Vec::new();
        for scheme in schemes {
            let base = format!("{scheme}://{host}");
            let asked = client.send(request(&format!("{base}/v2/"), &HeaderMap::new())?).await;
            match asked {
                Ok(_) => {
                    let (name, authorization) = (name.clone(), Mutex::default());
                    return Ok(Self { client, base, name, credentials, authorization });
                }
                Err(error) => refused.push(error.to_string()),
            }
        }
        let cause = format!("the registry can't be reached: {}", refused.join("; "));
        Err(Error::not_found(cause).doing(format!("No such image: {}", name.familiar())))
    }

    /// Asks for something of the repository: `manifests/latest`, `blobs/sha256:…`. Proves who we are if the registry
    /// wants to know, and goes where it sends us.
    ///
    /// # Errors
    /// `NotFound` in Docker's words if it is not there, or not for us; `Unavailable` if the registry fails.
    pub(super) async fn get(&self, what: &str, headers: &HeaderMap) -> Result<Response<Incoming>> {
        let address = format!("{}/v2/{}/{what}", self.base, self.name.path());
        let answer = self.ask(&address, headers).await?;
        let answer = match answer.status() {
            StatusCode::UNAUTHORIZED => {
                self.authorize(answer.headers()).await?;
                self.ask(&address, headers).await?
            }
            _ => answer,
        };
        match answer.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Ok(answer),
            status => Err(self.refusal(what, status, answer.into_body()).await),
        }
    }

    async fn ask(&self, address: &str, headers: &HeaderMap) -> Result<Response<Incoming>> {
        let authorization = self.authorization.lock().await.clone();
        let mut address = address.to_owned();
        for _ in 0..MOST_REDIRECTS {
            let mut asked = request(&address, headers)?;
            // Who stores blobs for a registry is told neither passwords nor tokens.
            if let Some(authorization) =
                authorization.as_ref().filter(|_| address.starts_with(&format!("{}/", self.base)))
            {
                asked.headers_mut().insert(AUTHORIZATION, authorization.clone());
            }
            let answer = self.client.send(asked).await?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            address = follow(&address, location.ok_or_else(|| Error::unavailable("the registry sends us nowhere"))?)?;
        }
        Err(Error::unavailable("the registry sends us on and on"))
    }

    async fn authorize(&self, headers: &HeaderMap) -> Result<()> {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|header| header.to_str().ok());
        let challenge = challenges.filter_map(Challenge::parse).next();
        let authorization = match challenge {
            Some(Challenge::Bearer { realm, service, scope }) => self.token(&realm, service, scope).await?,
            Some(Challenge::Basic) => {
                self.credentials.basic().ok_or_else(|| self.denied("no basic auth credentials"))?
            }
            None => return Err(self.denied("the registry wants a proof of another kind than Basic and Bearer")),
        };
        let mut value =
            HeaderValue::try_from(authorization).map_err(|_| Error::invalid("the token can't be sent in a header"))?;
        value.set_sensitive(true);
        *self.authorization.lock().await = Some(value);
        Ok(())
    }

    async fn token(&self, realm: &str, service: Option<String>, scope: Option<String>) -> Result<String> {
        if let Some(token) = self.credentials.registry_token() {
            return Ok(format!("Bearer {token}"));
        }
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.name.path()));
        let mut fields = vec![("scope", scope)];
        fields.extend(service.map(|service| ("service", service)));
        let asked = match self.credentials.identity_token() {
            Some(token) => {
                fields.extend([("grant_type", "refresh_token".into()), ("client_id", "trestle".into())]);
                fields.push(("refresh_token", token.to_owned()));
                form(realm, &fields)?
            }
            None => {
                fields.extend(self.credentials.username().map(|name| ("account", name.to_owned())));
                let separator = if realm.contains('?') { '&' } else { '?' };
                let mut asked = request(&format!("{realm}{separator}{}", encoded(&fields)), &HeaderMap::new())?;
                if let Some(basic) = self.credentials.basic().and_then(|basic| HeaderValue::try_from(basic).ok()) {
                    asked.headers_mut().insert(AUTHORIZATION, basic);
                }
                asked
            }
        };
        let answer = self.client.send(asked).await.doing(|| "getting a token")?;
        let status = answer.status();
        if !status.is_success() {
            return Err(self.refusal("", status, answer.into_body()).await);
        }
        /// The older name of a token is the first; OAuth's the second.
        #[derive(Deserialize)]
        #[serde(default)]
        #[derive(Default)]
        struct Token {
            token: String,
            access_token: String,
        }
        let bytes = client::whole(answer.into_body(), LONGEST_WORD).await?;
        let given: Token = serde_json::from_slice(&bytes)
            .map_err(|error| Error::unavailable(format!("the answer of {realm} is no token: {error}")))?;
        let token = if given.token.is_empty() { given.access_token } else { given.token };
        Ok(format!("Bearer {token}"))
    }

    async fn refusal(&self, what: &str, status: StatusCode, body: Incoming) -> Error {
        let told = match client::whole(body, LONGEST_WORD).await {
            Ok(bytes) => told(&bytes).unwrap_or_else(|| status.to_string()),
            Err(error) => error.to_string(),
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.denied(&told),
            StatusCode::NOT_FOUND if what.starts_with("manifests/") => {
                Error::not_found(format!("manifest for {} not found: {told}", self.name.familiar()))
            }
            StatusCode::NOT_FOUND => Error::not_found(format!("{}: {told}", self.name.familiar())),
            StatusCode::TOO_MANY_REQUESTS => Error::unavailable(format!("toomanyrequests: {told}")),
            _ => Error::unavailable(format!("received unexpected HTTP status: {status}: {told}")),
        }
    }

    /// Docker tells it as not found: registries don't say whether they have what they don't give.
    fn denied(&self, told: &str) -> Error {
        let name = self.name.familiar_name();
        Error::not_found(format!(
            "pull access denied for {name}, repository does not exist or may require 'docker login': {told}"
        ))
    }
}

/// What a registry says is wrong: `{"errors": [{"code": "DENIED", "message": "…"}]}`, or an OAuth error.
fn told(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Refused {
        errors: Vec<Fault>,
        details: String,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Fault {
        code: String,
        message: String,
    }
    let refused: Refused = serde_json::from_slice(bytes).ok()?;
    match refused.errors.first() {
        Some(fault) => Some(format!("{}: {}", fault.code.to_lowercase().replace('_', " "), fault.message)),
        None => Some(refused.details).filter(|details| !details.is_empty()),
    }
}

fn request(address: &str, headers: &HeaderMap) -> Result<Request<Full<Bytes>>> {
    build(Method::GET, address, headers, Bytes::new())
}

fn form(address: &str, fields: &[(&str, String)]) -> Result<Request<Full<Bytes>>> {
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    let headers: HeaderMap =
        [(CONTENT_TYPE, kind)].into_iter().collect::<Vec<(HeaderName, HeaderValue)>>().into_iter().collect();
    build(Method::POST, address, &headers, encoded(fields).into())
}

fn build(method: Method, address: &str, headers: &HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>> {
    let uri: Uri = address.parse().map_err(|_| Error::unavailable(format!("{address:?} is no address")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(Error::unavailable(format!("{address:?} is no address of HTTP or HTTPS")));
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers.clone();
    Ok(request)
}

/// Where a `Location` leads from an address.
fn follow(from: &str, location: &str) -> Result<String> {
    if location.contains("://") {
        return Ok(location.to_owned());
    }
    let uri: Uri = from.parse().map_err(|_| Error::unavailable(format!("{from:?} is no address")))?;
    let (scheme, authority) = (uri.scheme_str().unwrap_or("https"), uri.authority());
    let authority = authority.map_or("", |authority| authority.as_str());
    match location.starts_with('/') {
        true => Ok(format!("{scheme}://{authority}{location}")),
        false => Err(Error::unavailable(format!("the registry sends us to {location:?}, which is nowhere"))),
    }
}

/// Fields as forms and queries have them.
fn encoded(fields: &[(&str, String)]) -> String {
    let escape = |text: &str| {
        text.bytes().fold(String::new(), |mut escaped, byte| {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
                _ => escaped.push_str(&format!("%{byte:02X}")),
            }
            escaped
        })
    };
    fields.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect::<Vec<_>>().join("&")
}

/// What is on this machine needs no certificate, as Docker has it.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
