//! One error for the whole controller: what kind it is, what was being done, and what lay beneath.

use std::fmt;

/// The result of everything that can fail in Trestle.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it. An HTTP status is chosen from it in one file of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is malformed or contradicts itself; nothing was changed.
    Invalid,
    /// The named object does not exist.
    NotFound,
    /// The request meets something that exists already: a name, an address, a port, a link of a stranger.
    Conflict,
    /// The object is there and the request well formed, but the rules of the object forbid it.
    Forbidden,
    /// A pool, a range of ports or another bounded supply is used up.
    Exhausted,
    /// This kernel, host or version cannot do it.
    Unsupported,
    /// Something outside, such as a plugin, does not answer now; the same request may succeed later.
    Unavailable,
    /// The system beneath refused or broke: a kernel error, a disk error.
    Internal,
}

/// An error: its kind, what was being done (outermost first), and the cause.
///
/// Displayed as `attaching web to front: reserving 0.0.0.0:80/tcp: address in use`.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: Vec<String>,
    cause: String,
}

impl Error {
    /// An error of a kind, with the sentence that tells its cause.
    pub fn new(kind: ErrorKind, cause: impl Into<String>) -> Self {
        Self { kind, doing: Vec::new(), cause: cause.into() }
    }

    /// The request is wrong. See [`ErrorKind::Invalid`].
    pub fn invalid(cause: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, cause)
    }

    /// No such object. See [`ErrorKind::NotFound`].
    pub fn not_found(cause: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, cause)
    }

    /// Something is in the way. See [`ErrorKind::Conflict`].
    pub fn conflict(cause: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, cause)
    }

    /// The rules of the object forbid it. See [`ErrorKind::Forbidden`].
    pub fn forbidden(cause: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, cause)
    }

    /// A bounded supply is used up. See [`ErrorKind::Exhausted`].
    pub fn exhausted(cause: impl Into<String>) -> Self {
        Self::new(ErrorKind::Exhausted, cause)
    }

    /// It can't be done here. See [`ErrorKind::Unsupported`].
    pub fn unsupported(cause: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, cause)
    }

    /// It can't be done now. See [`ErrorKind::Unavailable`].
    pub fn unavailable(cause: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, cause)
    }

    /// The system beneath broke. See [`ErrorKind::Internal`].
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, cause)
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The innermost sentence, without what was being done around it.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// The same error, with one more layer of what was being done.
    #[must_use]
    pub fn doing(mut self, what: impl Into<String>) -> Self {
        self.doing.insert(0, what.into());
        self
    }

    /// Several errors of one clean-up told as one; `None` if there were none. The kind is that of the first.
    pub fn several(errors: Vec<Error>) -> Option<Error> {
        let kind = errors.first()?.kind;
        let told: Vec<String> = errors.iter().map(Error::to_string).collect();
        Some(Self::new(kind, told.join("; ")))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for layer in &self.doing {
            write!(f, "{layer}: ")?;
        }
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Error {}

/// Tells what was being done when something failed, once a layer.
pub trait Doing<T> {
    /// Adds a layer: `result.doing(|| format!("attaching {endpoint}"))`.
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Doing<T> for Result<T> {
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.doing(what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_each_layer_once_and_keeps_its_kind() {
        let result: Result<()> = Err(Error::conflict("address in use"));
        let error = result.doing(|| "reserving 0.0.0.0:80/tcp").doing(|| "attaching web to front").unwrap_err();
        assert_eq!(error.to_string(), "attaching web to front: reserving 0.0.0.0:80/tcp: address in use");
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}
