//! A plan as the lines that a person would type to get the same: what a dry run shows, and what golden files keep.

use std::path::Path;

use trestle_core::Plan;
use trestle_core::resource::{
    Address, Bridge, MAIN_TABLE, Moved, NAME_SERVER_V4, NAME_SERVER_V6, NameServer, Namespace, Owner, Resource, Route,
    Veth,
};

use crate::firewall::{self, Backend};
use crate::mark::PROTOCOL;

/// The plan as commands of `ip`, `sysctl` and `nft`, in the order in which they are to be typed; the firewall last.
///
/// Not in it, because nobody could type it: our mark, the holding of ports, and telling neighbours of addresses.
pub fn render(plan: &Plan) -> String {
    render_for(Backend::NfTables, plan)
}

/// The same with the firewall in the commands of a back end of it.
pub fn render_for(backend: Backend, plan: &Plan) -> String {
    let mut lines = String::new();
    for resource in plan.resources() {
        for line in commands(resource) {
            lines.push_str(&line);
            lines.push('\n');
        }
    }
    let rules: Vec<&Resource> = plan.resources().iter().filter(|it| it.is_firewall()).collect();
    if !rules.is_empty() {
        lines.push_str(&firewall::commands(backend, &rules));
    }
    lines
}

fn commands(resource: &Resource) -> Vec<String> {
    match resource {
        Resource::Netns(it) => {
            let path = it.path.display();
            vec![format!("touch {path}"), format!("unshare --net={path} true")]
        }
        Resource::Loopback(it) => vec![format!("{}ip link set lo up", within(&it.namespace))],
        Resource::Sysctl(it) => vec![format!("{}sysctl -w {}={}", within(&it.namespace), it.key, quoted(&it.value))],
        Resource::Bridge(it) => bridge(it),
        Resource::Veth(it) => veth(it),
        Resource::Moved(it) => moved(it),
        Resource::Address(it) => vec![address(it)],
        Resource::Route(it) => vec![route(it)],
        Resource::SourceRule(it) => vec![format!(
            "{}ip{} rule add from {} table {} priority {} protocol {PROTOCOL}",
            within(&it.namespace),
            family(it.from.is_ipv6()),
            it.from,
            it.table,
            it.priority
        )],
        Resource::PublishedPort(it) => vec![format!("# {it} is held by trestled")],
        Resource::NameServer(it) => {
            vec![format!("# the {resource} is asked at {}, port 53, and trestled answers", asked_at(it))]
        }
        Resource::FirewallBase
        | Resource::FirewallNetwork(_)
        | Resource::OpenedPort(_)
        | Resource::Hairpin(_)
        | Resource::MasqueradedUdp(_) => Vec::new(),
    }
}

fn asked_at(server: &NameServer) -> String {
    match server.ipv6 {
        true => format!("{NAME_SERVER_V4} and {NAME_SERVER_V6}"),
        false => NAME_SERVER_V4.to_string(),
    }
}

fn bridge(bridge: &Bridge) -> Vec<String> {
    let Bridge { name, mac, mtu, .. } = bridge;
    if bridge.owner == Owner::User {
        return vec![format!("ip link show dev {name} type bridge  # made by a person, used as it is")];
    }
    let filtering = if bridge.filter_bridged { " nf_call_iptables 1 nf_call_ip6tables 1" } else { "" };
    let mut lines = vec![format!("ip link add {name} address {mac} mtu {mtu} type bridge{filtering}")];
    if !bridge.ipv6 {
        lines.push(format!("ip link set {name} addrgenmode none"));
    }
    lines.push(format!("ip link set {name} up"));
    lines
}

fn veth(veth: &Veth) -> Vec<String> {
    let Veth { name, bridge, mtu, peer, .. } = veth;
    let place = match peer.namespace.path() {
        None => String::new(),
        Some(path) => format!(" netns {}", quoted_path(path)),
    };
    let inside = within(&peer.namespace);
    let mut lines = vec![
        format!(
            "ip link add {name} mtu {mtu} numtxqueues 1 numrxqueues 1 master {bridge} up type veth \
             peer name {} address {} mtu {mtu} numtxqueues 1 numrxqueues 1{place}",
            peer.name, peer.mac
        ),
        format!("ip link set {name} addrgenmode none"),
    ];
    if veth.hairpin {
        lines.push(format!("ip link set {name} type bridge_slave hairpin on"));
    }
    if !peer.ipv6 {
        lines.push(format!("{inside}ip link set {} addrgenmode none", peer.name));
    }
    lines.push(format!("{inside}ip link set {} up", peer.name));
    lines
}

fn moved(moved: &Moved) -> Vec<String> {
    let Moved { source, namespace, name, mac } = moved;
    let place = namespace.path().map(|path| format!(" netns {}", quoted_path(path))).unwrap_or_default();
    let inside = within(namespace);
    let address = mac.map(|mac| format!("{inside}ip link set {name} address {mac}"));
    let lines = [Some(format!("ip link set {source}{place} name {name}")), address];
    lines.into_iter().flatten().chain([format!("{inside}ip link set {name} up")]).collect()
}

fn address(address: &Address) -> String {
    let nodad = if address.address.addr().is_ipv6() { " nodad" } else { "" };
    let (inside, link) = (within(&address.namespace), &address.link);
    format!("{inside}ip address add {} dev {link} proto {PROTOCOL}{nodad}", address.address)
}

fn route(route: &Route) -> String {
    let destination = match route.destination.prefix_len() {
        0 => "default".to_owned(),
        _ => route.destination.trunc().to_string(),
    };
    let by = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
    let table = if route.table == MAIN_TABLE { String::new() } else { format!(" table {}", route.table) };
    format!(
        "{}ip{} route add {destination}{by} dev {} protocol {PROTOCOL}{table}",
        within(&route.namespace),
        family(route.destination.addr().is_ipv6()),
        route.link
    )
}

fn family(ipv6: bool) -> &'static str {
    if ipv6 { " -6" } else { "" }
}

fn within(namespace: &Namespace) -> String {
    match namespace.path() {
        None => String::new(),
        Some(path) => format!("nsenter --net={} ", quoted_path(path)),
    }
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// As a shell reads one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-:,@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use trestle_core::resource::{Netns, Peer, Sysctl};

    use super::*;

    #[test]
    fn a_plan_reads_as_a_person_would_type_it() {
        let sandbox = Namespace::At("/run/trestle/netns/0123456789ab".into());
        let plan = Plan::from(vec![
            Resource::Netns(Netns { path: "/run/trestle/netns/0123456789ab".into() }),
            Resource::Sysctl(Sysctl {
                namespace: Namespace::Host,
                key: "net/ipv4/ip_forward".into(),
                value: "1".into(),
                prior: None,
                put_back: false,
            }),
            Resource::Veth(Veth {
                name: "veth0123456789".try_into().unwrap(),
                bridge: "trestle0".try_into().unwrap(),
                mtu: 1500,
                hairpin: true,
                peer: Peer {
                    namespace: sandbox.clone(),
                    name: "eth0".try_into().unwrap(),
                    mac: "02:00:00:00:00:02".parse().unwrap(),
                    ipv6: false,
                },
            }),
            Resource::Route(Route {
                namespace: sandbox,
                table: 100,
                destination: "0.0.0.0/0".parse().unwrap(),
                gateway: Some([10, 0, 0, 1].into()),
                link: "eth0".try_into().unwrap(),
            }),
        ]);
        assert_eq!(
            render(&plan),
            "touch /run/trestle/netns/0123456789ab\n\
             unshare --net=/run/trestle/netns/0123456789ab true\n\
             sysctl -w net/ipv4/ip_forward=1\n\
             ip link add veth0123456789 mtu 1500 numtxqueues 1 numrxqueues 1 master trestle0 up type veth peer \
             name eth0 address 02:00:00:00:00:02 mtu 1500 numtxqueues 1 numrxqueues 1 netns \
             /run/trestle/netns/0123456789ab\n\
             ip link set veth0123456789 addrgenmode none\n\
             ip link set veth0123456789 type bridge_slave hairpin on\n\
             nsenter --net=/run/trestle/netns/0123456789ab ip link set eth0 addrgenmode none\n\
             nsenter --net=/run/trestle/netns/0123456789ab ip link set eth0 up\n\
             nsenter --net=/run/trestle/netns/0123456789ab ip route add default via 10.0.0.1 dev eth0 protocol 84 \
             table 100\n"
        );
    }
}
