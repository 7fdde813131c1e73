//! What the kernel said when it refused, and how a person is told.

use std::fmt;
use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use trestle_core::Error;

/// One refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The error number, positive.
    pub(crate) errno: i32,
    /// The kernel's own words (`NLMSGERR_ATTR_MSG`), where it has any.
    pub(crate) text: Option<String>,
}

impl Refusal {
    /// As an error for a person; a missing feature is told as what to do about it.
    pub(crate) fn error(&self, request: &RouteNetlinkMessage) -> Error {
        match self.errno {
            libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => match lacking(request) {
                Some(what) => Error::unsupported(format!("{what} ({self})")),
                None => Error::unsupported(format!("this kernel can't do it ({self})")),
            },
            libc::EPERM => Error::forbidden(format!(
                "it takes the capability CAP_NET_ADMIN over this network namespace, which this process lacks ({self})"
            )),
            _ => Error::internal(self.to_string()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = io::Error::from_raw_os_error(self.errno);
        match &self.text {
            Some(text) => write!(f, "the kernel says: {text}; {number}"),
            None => write!(f, "{number}"),
        }
    }
}

/// What the kernel lacks if it does not know the request.
fn lacking(request: &RouteNetlinkMessage) -> Option<&'static str> {
    match request {
        RouteNetlinkMessage::NewLink(link) => match kind(link)? {
            InfoKind::Bridge => Some("this kernel has no bridges; it needs CONFIG_BRIDGE (try: modprobe bridge)"),
            InfoKind::Veth => {
                Some("this kernel has no virtual Ethernet pairs; it needs CONFIG_VETH (try: modprobe veth)")
            }
            _ => None,
        },
        RouteNetlinkMessage::NewAddress(message) if u8::from(message.header.family) == libc::AF_INET6 as u8 => {
            Some("this host has IPv6 switched off")
        }
        RouteNetlinkMessage::NewRoute(message) if u8::from(message.header.address_family) == libc::AF_INET6 as u8 => {
            Some("this host has IPv6 switched off")
        }
        RouteNetlinkMessage::NewRule(_) => Some(
            "this kernel has no policy routing; it needs CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES",
        ),
        _ => None,
    }
}

fn kind(link: &LinkMessage) -> Option<&InfoKind> {
    let infos = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    })?;
    infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    })
}
