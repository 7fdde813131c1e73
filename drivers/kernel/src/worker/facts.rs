//! What drivers ask about the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use trestle_core::facts::{Facts, LinkFact};
use trestle_core::name::IfName;
use trestle_core::resource::MAIN_TABLE;
use trestle_core::{Doing, Error, Result};

use super::Worker;
use crate::netlink::observed::{SeenAddress, SeenRoute};
use crate::netlink::{Link, message};
use crate::sysctl;

/// The settings that drivers ask about.
const SETTINGS: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

/// Who set a route that came by a router advertisement (`RTPROT_RA`, linux/rtnetlink.h).
const FROM_ADVERTISEMENT: u8 = 9;

impl Worker {
    /// See [`Facts`]. What is cut off counts as gone.
    pub(crate) fn facts(&mut self) -> Result<Facts> {
        let links = self.links()?;
        let addresses = self.host.dump(&message::all_addresses()).doing(|| "listing addresses")?;
        let mut by_link: BTreeMap<u32, Vec<IpNet>> = BTreeMap::new();
        for seen in addresses.iter().filter_map(SeenAddress::of) {
            by_link.entry(seen.link).or_default().push(seen.address);
        }
        let routes = self.main_routes()?;
        let from_advertisement = |route: &&SeenRoute| route.protocol == FROM_ADVERTISEMENT;
        let advertised: BTreeSet<u32> = routes.iter().filter(from_advertisement).filter_map(|it| it.link).collect();
        let uplink = routes.iter().find(|route| route.destination.prefix_len() == 0).and_then(|route| route.link);
        let mut facts = Facts {
            uplink_mtu: links.iter().find(|link| Some(link.index) == uplink).map(|link| link.mtu),
            nameservers: nameservers("/etc/resolv.conf")?,
            ipv6: sysctl::read("net/ipv6/conf/all/disable_ipv6")?.is_some_and(|value| value == "0"),
            filter_bridged: sysctl::read("net/bridge/bridge-nf-call-iptables")?.is_some(),
            ..Facts::default()
        };
        let mut told: Vec<IpNet> =
            routes.iter().map(|route| route.destination).filter(|it| it.prefix_len() != 0).collect();
        told.sort_unstable();
        told.dedup();
        facts.routes = told;
        for link in links.iter().filter(|link| !link.loopback && !link.is_doomed(self.instance)) {
            // A name that we would refuse can't be in our way either.
            let Ok(name) = IfName::try_from(link.name.as_str()) else { continue };
            let accepts = format!("net/ipv6/conf/{}/accept_ra", link.name);
            let asked = match (advertised.contains(&link.index), link.kind.as_str()) {
                (true, _) => {
                    facts.accepts_router_advertisements.push(name.clone());
                    Some(accepts)
                }
                // What a network does to a bridge of somebody else it has to be able to undo.
                (false, "bridge") if !link.is_ours(self.instance) => {
                    Some(format!("net/ipv4/conf/{}/route_localnet", link.name))
                }
                _ => None,
            };
            if let Some(key) = asked {
                facts.sysctls.extend(sysctl::read(&key)?.map(|value| (key, value)));
            }
            facts.links.push(LinkFact {
                name,
                kind: link.kind.clone(),
                mtu: link.mtu,
                mac: link.mac,
                addresses: by_link.remove(&link.index).unwrap_or_default(),
                ours: link.is_ours(self.instance),
            });
        }
        for key in SETTINGS {
            facts.sysctls.extend(sysctl::read(key)?.map(|value| (key.to_owned(), value)));
        }
        Ok(facts)
    }

    /// Every link of the host.
    pub(super) fn links(&mut self) -> Result<Vec<Link>> {
        let links = self.host.dump(&message::all_links()).doing(|| "listing links")?;
        Ok(links.iter().filter_map(Link::of_message).collect())
    }

    fn main_routes(&mut self) -> Result<Vec<SeenRoute>> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let all = self.host.dump(&message::all_routes(family)).doing(|| "listing routes")?;
            routes.extend(all.iter().filter_map(SeenRoute::of).filter(|route| route.table == MAIN_TABLE));
        }
        Ok(routes)
    }
}

/// The name servers of a file like `/etc/resolv.conf`; a host without one has none.
fn nameservers(file: impl AsRef<Path>) -> Result<Vec<IpAddr>> {
    let file = file.as_ref();
    let text = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(Error::internal(cause.to_string()).doing(format!("reading {}", file.display()))),
    };
    Ok(nameservers_of(&String::from_utf8_lossy(&text)))
}

fn nameservers_of(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    // A link-local server bears the link's name, `fe80::1%eth0`.
    servers.filter_map(|server| server.split('%').next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_whatever_stands_between_them() {
        let text =
            "# comment\nnameserver 10.0.0.53\nsearch example\n\tnameserver\tfe80::1%eth0 \nnameserver\nnameserver x\n";
        assert_eq!(nameservers_of(text), ["10.0.0.53", "fe80::1"].map(|it| it.parse::<IpAddr>().unwrap()));
    }
}
