//! The firewall's table, as the kernel and `nft` show it.

mod firewall_host;

use firewall_host::{Host, all, instance, listing, nft, nft_output};
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{FirewallNetwork, Hairpin, Inside, MasqueradedUdp, PublishedPort, Resource};
use trestle_kernel::firewall::{Firewall, render};

fn network(bridge: &str) -> FirewallNetwork {
    FirewallNetwork {
        bridge: bridge.try_into().unwrap(),
        inside: Inside::Open,
        internal: false,
        masquerade_v4: true,
        masquerade_v6: true,
        filter_bridged: true,
    }
}

fn port(address: Option<&str>, host: (u16, u16), container: u16) -> PublishedPort {
    PublishedPort {
        protocol: Protocol::Tcp,
        address: address.map(|it| it.parse().unwrap()),
        host: PortRange::new(host.0, host.1).unwrap(),
        container: PortRange::new(container, container + (host.1 - host.0)).unwrap(),
        to_v4: Some([172, 17, 0, 2].into()),
        to_v6: Some("fd00::2".parse().unwrap()),
    }
}

fn of_every_kind() -> Vec<Resource> {
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
        Resource::Hairpin(Hairpin { address: [172, 17, 0, 2].into() }),
        Resource::Hairpin(Hairpin { address: "fd00::2".parse().unwrap() }),
        Resource::MasqueradedUdp(MasqueradedUdp { address: [172, 17, 0, 2].into() }),
        Resource::MasqueradedUdp(MasqueradedUdp { address: "fd00::2".parse().unwrap() }),
    ]
}

/// What `nft` makes of our text, in a namespace of its own.
fn listing_of_text(text: &str) -> String {
    Host::new().run(|| {
        let checked = nft_output(&["-c"], text);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        nft(text);
        listing()
    })
}

#[test]
fn the_encoder_and_the_text_say_the_same() {
    let every = of_every_kind();
    let mut cases: Vec<Vec<Resource>> = every.iter().map(|it| vec![Resource::FirewallBase, it.clone()]).collect();
    cases.push(every);
    for resources in cases {
        let encoded = Host::new().run(|| {
            let mut firewall = Firewall::open(instance()).unwrap();
            firewall.change(&[], &[], &all(&resources)).unwrap();
            assert_eq!(firewall.verify(&all(&resources)).unwrap(), []);
            assert_eq!(firewall.extra(&all(&resources)).unwrap(), Vec::<String>::new());
            listing()
        });
        assert_eq!(encoded, listing_of_text(&render(&all(&resources))));
    }
}
