//! What the firewall is given in tests.

use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{
    FirewallNetwork, GatewayMode, Hairpin, Inside, MasqueradedUdp, OpenedPort, PublishedPort, Resource,
};

/// A network that everybody inside is open to.
pub fn network(bridge: &str) -> FirewallNetwork {
    FirewallNetwork {
        bridge: bridge.try_into().unwrap(),
        inside: Inside::Open,
        internal: false,
        gateway_v4: GatewayMode::Nat,
        gateway_v6: GatewayMode::Nat,
        trusted: Vec::new(),
        masquerade_v4: true,
        masquerade_v6: true,
        source_v4: None,
        source_v6: None,
        filter_bridged: true,
    }
}

/// TCP ports of the host, one for one, to a container with an address of each family.
pub fn port(address: Option<&str>, host: (u16, u16), container: u16) -> PublishedPort {
    PublishedPort {
        protocol: Protocol::Tcp,
        address: address.map(|it| it.parse().unwrap()),
        host: PortRange::new(host.0, host.1).unwrap(),
        container: PortRange::new(container, container + (host.1 - host.0)).unwrap(),
        to_v4: Some([172, 17, 0, 2].into()),
        to_v6: Some("fd00::2".parse().unwrap()),
    }
}

/// Ports that are open at a container's own address.
pub fn opened(address: &str, (first, last): (u16, u16), protocol: Protocol) -> Resource {
    let (address, ports) = (address.parse().unwrap(), PortRange::new(first, last).unwrap());
    Resource::OpenedPort(OpenedPort { protocol, address, ports })
}

/// Everything that a firewall renders, each value of it at least once.
pub fn of_every_kind() -> Vec<Resource> {
    vec![
        Resource::FirewallBase,
        Resource::FirewallNetwork(network("trestle0")),
        Resource::FirewallNetwork(FirewallNetwork {
            inside: Inside::PublishedOnly,
            masquerade_v6: false,
            ..network("br-closed")
        }),
        Resource::FirewallNetwork(FirewallNetwork { internal: true, ..network("br-internal") }),
        Resource::FirewallNetwork(FirewallNetwork { filter_bridged: false, ..network("fifteen-letters") }),
        Resource::FirewallNetwork(FirewallNetwork {
            gateway_v4: GatewayMode::Routed,
            gateway_v6: GatewayMode::NatUnprotected,
            inside: Inside::PublishedOnly,
            masquerade_v4: false,
            source_v6: Some("2001:db8::1".parse().unwrap()),
            ..network("br-routed")
        }),
        Resource::FirewallNetwork(FirewallNetwork {
            trusted: vec!["eth1".try_into().unwrap(), "vxlan.1".try_into().unwrap()],
            source_v4: Some([192, 0, 2, 1].into()),
            ..network("br-trusting")
        }),
        Resource::FirewallNetwork(FirewallNetwork {
            internal: true,
            gateway_v4: GatewayMode::Isolated,
            gateway_v6: GatewayMode::Routed,
            ..network("br-isolated")
        }),
        opened("172.17.0.2", (80, 80), Protocol::Tcp),
        opened("fd00::2", (53, 53), Protocol::Udp),
        opened("172.17.0.2", (8000, 8010), Protocol::Sctp),
        opened("fd00::2", (8000, 8010), Protocol::Tcp),
        Resource::PublishedPort(port(None, (8080, 8080), 80)),
        Resource::PublishedPort(PublishedPort { protocol: Protocol::Udp, ..port(Some("0.0.0.0"), (53, 53), 53) }),
        Resource::PublishedPort(PublishedPort { protocol: Protocol::Sctp, ..port(Some("::"), (38412, 38412), 38412) }),
        Resource::PublishedPort(port(Some("127.0.0.1"), (5432, 5432), 5432)),
        Resource::PublishedPort(port(Some("2001:db8::1"), (443, 443), 8443)),
        Resource::PublishedPort(port(None, (8000, 8010), 8000)),
        Resource::PublishedPort(port(Some("192.0.2.1"), (9000, 9999), 9000)),
        Resource::PublishedPort(port(Some("2001:db8::1"), (9000, 9999), 9000)),
        Resource::PublishedPort(port(None, (7000, 7003), 80)),
        Resource::PublishedPort(PublishedPort { to_v6: None, ..port(None, (81, 81), 81) }),
        Resource::PublishedPort(PublishedPort { to_v4: None, ..port(Some("192.0.2.1"), (82, 84), 82) }),
        Resource::Hairpin(Hairpin { address: [172, 17, 0, 2].into() }),
        Resource::Hairpin(Hairpin { address: "fd00::2".parse().unwrap() }),
        Resource::MasqueradedUdp(MasqueradedUdp { address: [172, 17, 0, 2].into() }),
        Resource::MasqueradedUdp(MasqueradedUdp { address: "fd00::2".parse().unwrap() }),
    ]
}
