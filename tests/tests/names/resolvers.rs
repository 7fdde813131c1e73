//! The resolvers that containers come with.

use std::collections::BTreeSet;
use std::net::{IpAddr, TcpListener, UdpSocket};

use crate::world::{Sandbox, World, addresses, musl, play};

/// What each of the three finds under a name.
fn everybody_finds(world: &World, client: &Sandbox, name: &str, wanted: &BTreeSet<IpAddr>) {
    let glibc = world.exec(client, &["getent", "ahosts", name]).unwrap();
    assert_eq!(&addresses(&glibc), wanted, "glibc: {name}");
    let musl = world.exec(client, &[musl().to_str().unwrap(), name]).unwrap();
    assert_eq!(&addresses(&musl), wanted, "musl: {name}");
    // It tells the server's own address too, with a port behind it where it is IPv4.
    let busybox = world.exec(client, &["busybox", "nslookup", name]).unwrap();
    let told = busybox.split_once("\n\n").map_or("", |(_, answers)| answers);
    assert_eq!(&addresses(told), wanted, "busybox: {busybox}");
}

#[test]
fn glibc_musl_and_busybox_find_names_aliases_and_host_names() {
    play(|world| {
        let web = world.sandbox("web", "--network front --alias store --hostname www --domainname example.org");
        let client = world.sandbox("client", "--network front");
        for name in ["web", "store", "www", "www.example.org", "web.front", "WEB"] {
            everybody_finds(world, &client, name, &web.addresses);
        }
        for address in &web.addresses {
            let told = world.exec(&client, &["getent", "hosts", &address.to_string()]).unwrap();
            assert!(told.ends_with("web.front\n"), "{told}");
        }
        world.sandbox("hidden", "--network back");
        assert!(world.exec(&client, &["getent", "ahosts", "hidden"]).is_err());
    });
}

#[test]
fn on_a_network_of_ipv6_alone_names_are_found_at_an_address_of_ipv6() {
    play(|world| {
        world.trestle("network create --ipv4=false --ipv6 six");
        let web = world.sandbox("web", "--network six");
        let client = world.sandbox("client", "--network six");
        assert_eq!(web.addresses.len(), 1);
        let conf = world.read(&client.resolv_conf);
        assert!(conf.contains("nameserver fd74:7265:7374:6c65::53\n") && !conf.contains("127.0.0.11"), "{conf}");
        everybody_finds(world, &client, "web", &web.addresses);
    });
}

#[test]
fn a_container_s_own_server_has_port_53_for_itself() {
    play(|world| {
        let web = world.sandbox("web", "--network front");
        let client = world.sandbox("client", "--network front");
        let _own = client.namespace.run(|| {
            let all = ["0.0.0.0:53", "[::1]:53"];
            (all.map(|it| UdpSocket::bind(it).unwrap()), all.map(|it| TcpListener::bind(it).unwrap()))
        });
        everybody_finds(world, &client, "web", &web.addresses);
    });
}
