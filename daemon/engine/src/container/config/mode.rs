//! Whose namespaces a container lives in: its own, the host's, or another container's.

use std::fmt;
use std::str::FromStr;

use trestle_core::{Error, Result};

use super::go::as_text;

/// Where a container's network comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// The daemon's choice: written `default`, or not at all.
    #[default]
    Default,
    /// The network `bridge`.
    Bridge,
    /// Loopback alone.
    None,
    /// The host's namespace.
    Host,
    /// That of another container, by its name or id.
    Container(String),
    /// A network of the user's own, by its name or id.
    Named(String),
}

impl NetworkMode {
    /// Whether the namespace is the container's own.
    pub fn is_private(&self) -> bool {
        !matches!(self, Self::Host | Self::Container(_))
    }
}

impl FromStr for NetworkMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "" | "default" => Self::Default,
            "bridge" => Self::Bridge,
            "none" => Self::None,
            "host" => Self::Host,
            other => match peer(other) {
                Some("") => {
                    return Err(Error::invalid("invalid network mode: invalid container format container:<name|id>"));
                }
                Some(peer) => Self::Container(peer.into()),
                None => Self::Named(other.into()),
            },
        })
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Bridge => f.write_str("bridge"),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Container(peer) => write!(f, "container:{peer}"),
            Self::Named(network) => f.write_str(network),
        }
    }
}

as_text!(NetworkMode);

/// Whose System V and POSIX shared memory a container sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IpcMode {
    /// Not said: its own.
    #[default]
    Default,
    /// Its own, which nobody shares.
    Private,
    /// Its own, which others may share.
    Shareable,
    /// Its own, and `/dev/shm` is not mounted.
    None,
    /// The host's.
    Host,
    /// That of another container, by its name or id.
    Container(String),
}

impl FromStr for IpcMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "" => Self::Default,
            "private" => Self::Private,
            "shareable" => Self::Shareable,
            "none" => Self::None,
            "host" => Self::Host,
            other => match peer(other) {
                Some(peer) if !peer.is_empty() => Self::Container(peer.into()),
                _ => return Err(Error::invalid(format!("invalid IPC mode: {other}"))),
            },
        })
    }
}

impl fmt::Display for IpcMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Private => f.write_str("private"),
            Self::Shareable => f.write_str("shareable"),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Container(peer) => write!(f, "container:{peer}"),
        }
    }
}

as_text!(IpcMode);

/// Which processes a container sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PidMode {
    /// Its own.
    #[default]
    Private,
    /// All of the host.
    Host,
    /// Those of another container, by its name or id.
    Container(String),
}

impl FromStr for PidMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "" | "private" => Self::Private,
            "host" => Self::Host,
            other => match peer(other) {
                Some(peer) if !peer.is_empty() => Self::Container(peer.into()),
                _ => return Err(Error::invalid(format!("invalid PID mode: {other}"))),
            },
        })
    }
}

impl fmt::Display for PidMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => Ok(()),
            Self::Host => f.write_str("host"),
            Self::Container(peer) => write!(f, "container:{peer}"),
        }
    }
}

as_text!(PidMode);

/// Whose host name a container has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UtsMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
}

impl FromStr for UtsMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            other => Err(Error::invalid(format!("invalid UTS mode: {other}"))),
        }
    }
}

impl fmt::Display for UtsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Host { "host" } else { "" })
    }
}

as_text!(UtsMode);

/// Whose control groups a container sees as the root of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupnsMode {
    /// Not said: its own on cgroup v2, the host's on v1.
    #[default]
    Default,
    /// Its own.
    Private,
    /// The host's.
    Host,
}

impl FromStr for CgroupnsMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Default),
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            other => Err(Error::invalid(format!("invalid cgroup namespace mode: {other}"))),
        }
    }
}

impl fmt::Display for CgroupnsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "",
            Self::Private => "private",
            Self::Host => "host",
        })
    }
}

as_text!(CgroupnsMode);

/// Who stands behind `container:`.
fn peer(text: &str) -> Option<&str> {
    match text {
        "container" => Some(""),
        other => other.strip_prefix("container:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_they_were_read() {
        for text in ["default", "bridge", "none", "host", "container:web", "front"] {
            assert_eq!(text.parse::<NetworkMode>().unwrap().to_string(), text);
        }
        for text in ["", "private", "shareable", "none", "host", "container:web"] {
            assert_eq!(text.parse::<IpcMode>().unwrap().to_string(), text);
        }
        for text in ["", "host", "container:web"] {
            assert_eq!(text.parse::<PidMode>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_peer_without_a_name_is_refused_as_docker_refuses_it() {
        for text in ["container", "container:"] {
            let error = text.parse::<NetworkMode>().unwrap_err();
            assert_eq!(error.to_string(), "invalid network mode: invalid container format container:<name|id>");
            assert!(text.parse::<IpcMode>().is_err());
            assert!(text.parse::<PidMode>().is_err());
        }
    }
}
