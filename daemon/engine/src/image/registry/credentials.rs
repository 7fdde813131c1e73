//! Who asks a registry.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;
use trestle_core::error::{Error, Result};

/// What a person gave to `docker login`, as Docker's clients send it with each request (`X-Registry-Auth`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Credentials {
    username: String,
    password: String,
    /// `username:password` in base64.
    auth: String,
    /// Gets tokens in the place of a password.
    identitytoken: String,
    /// Is a token already.
    registrytoken: String,
}

impl Credentials {
    /// Reads the header: JSON in base64 for addresses. Empty is nobody.
    ///
    /// # Errors
    /// `Invalid`, in Docker's words.
    pub fn from_header(text: &str) -> Result<Self> {
        let refused = |cause: &dyn fmt::Display| Error::invalid(format!("invalid X-Registry-Auth header: {cause}"));
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let bytes = URL_SAFE.decode(text.trim()).or_else(|_| URL_SAFE_NO_PAD.decode(text.trim()));
        let bytes = bytes.map_err(|error| refused(&error))?;
        let mut read: Self = serde_json::from_slice(&bytes).map_err(|error| refused(&error))?;
        if read.username.is_empty() && !read.auth.is_empty() {
            let pair = STANDARD.decode(&read.auth).map_err(|error| refused(&error))?;
            let pair = String::from_utf8(pair).map_err(|error| refused(&error))?;
            let (username, password) = pair.split_once(':').ok_or_else(|| refused(&"auth is not user:password"))?;
            (read.username, read.password) = (username.into(), password.into());
        }
        Ok(read)
    }

    /// The user's name, if there is one.
    pub(super) fn username(&self) -> Option<&str> {
        Some(self.username.as_str()).filter(|name| !name.is_empty())
    }

    /// What `Authorization` is for this user and password.
    pub(super) fn basic(&self) -> Option<String> {
        let pair = format!("{}:{}", self.username()?, self.password);
        Some(format!("Basic {}", STANDARD.encode(pair)))
    }

    pub(super) fn identity_token(&self) -> Option<&str> {
        Some(self.identitytoken.as_str()).filter(|token| !token.is_empty())
    }

    pub(super) fn registry_token(&self) -> Option<&str> {
        Some(self.registrytoken.as_str()).filter(|token| !token.is_empty())
    }
}

/// Secrets are not for logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}
