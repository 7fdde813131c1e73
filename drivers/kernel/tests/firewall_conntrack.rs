//! The connection tracker's entries, as `conntrack` puts them in and shows them.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod firewall_host;

use std::net::IpAddr;

use firewall_host::{Host, run};
use trestle_core::port::PortRange;
use trestle_kernel::firewall::conntrack::ConnectionTracker;

/// An entry: its first packet went from one address to another's port, and the answer comes from a third's.
fn insert(protocol: &str, from: &str, to: (&str, u16), answers: (&str, u16), back_to: &str) {
    let ports = [to.1.to_string(), answers.1.to_string()];
    let mut words = vec!["-I", "-p", protocol, "-s", from, "-d", to.0, "--sport", "1000", "--dport", &ports[0]];
    words.extend(["-r", answers.0, "-q", back_to, "--reply-port-src", &ports[1], "--reply-port-dst", "1000"]);
    words.extend(["--timeout", "600"]);
    if protocol == "tcp" {
        words.extend(["--state", "ESTABLISHED"]);
    }
    run("conntrack", &words);
}

/// The entries: protocol, and the port that each first packet went to.
fn entries() -> Vec<String> {
    let mut found = Vec::new();
    for family in ["ipv4", "ipv6"] {
        for line in run("conntrack", &["-L", "-f", family]).lines() {
            let word = |start: &str| line.split_whitespace().find_map(|it| it.strip_prefix(start)).unwrap().to_owned();
            found.push(format!("{} {} {}", line.split_whitespace().next().unwrap(), word("dst="), word("dport=")));
        }
    }
    found.sort();
    found
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn sorted<const N: usize>(entries: [&str; N]) -> Vec<String> {
    let mut sorted = entries.map(str::to_owned).to_vec();
    sorted.sort();
    sorted
}

#[test]
fn udp_to_a_published_port_is_forgotten_and_nothing_else() {
    Host::new().run(|| {
        let fill = || {
            insert("udp", "192.0.2.9", ("192.0.2.1", 53), ("172.17.0.2", 53), "192.0.2.9");
            insert("udp", "192.0.2.9", ("192.0.2.2", 53), ("192.0.2.2", 53), "192.0.2.9");
            insert("udp", "192.0.2.9", ("192.0.2.1", 54), ("172.17.0.2", 54), "192.0.2.9");
            insert("udp", "192.0.2.9", ("192.0.2.1", 60), ("172.17.0.2", 60), "192.0.2.9");
            insert("tcp", "192.0.2.9", ("192.0.2.1", 53), ("172.17.0.2", 53), "192.0.2.9");
            insert("udp", "2001:db8::9", ("2001:db8::1", 53), ("fd00::2", 53), "2001:db8::9");
            insert("udp", "2001:db8::9", ("2001:db8::2", 53), ("fd00::3", 53), "2001:db8::9");
        };
        let everything = [
            "tcp 192.0.2.1 53",
            "udp 192.0.2.1 53",
            "udp 192.0.2.1 54",
            "udp 192.0.2.1 60",
            "udp 192.0.2.2 53",
            "udp 2001:db8::1 53",
            "udp 2001:db8::2 53",
        ];
        let mut tracker = ConnectionTracker::open().unwrap();
        let single = PortRange::single(53).unwrap();
        for (at, ports, gone) in [
            (Some("192.0.2.1"), single, vec!["udp 192.0.2.1 53"]),
            (Some("192.0.2.1"), PortRange::new(53, 55).unwrap(), vec!["udp 192.0.2.1 53", "udp 192.0.2.1 54"]),
            (Some("2001:db8::1"), single, vec!["udp 2001:db8::1 53"]),
            (Some("0.0.0.0"), single, vec!["udp 192.0.2.1 53", "udp 192.0.2.2 53"]),
            (Some("::"), single, vec!["udp 2001:db8::1 53", "udp 2001:db8::2 53"]),
            (None, single, vec!["udp 192.0.2.1 53", "udp 192.0.2.2 53", "udp 2001:db8::1 53", "udp 2001:db8::2 53"]),
            (Some("192.0.2.3"), single, vec![]),
        ] {
            run("conntrack", &["-F"]);
            fill();
            assert_eq!(entries(), sorted(everything));
            assert_eq!(tracker.forget_udp(&[(at.map(address), ports)]).unwrap(), gone.len(), "{at:?} {ports}");
            let left: Vec<&str> = everything.into_iter().filter(|it| !gone.contains(it)).collect();
            assert_eq!(entries(), left, "{at:?} {ports}");
        }
        run("conntrack", &["-F"]);
        fill();
        let places = [(Some(address("192.0.2.1")), single), (None, PortRange::new(54, 59).unwrap())];
        assert_eq!(tracker.forget_udp(&places).unwrap(), 2, "each place keeps its own address");
        let gone = ["udp 192.0.2.1 53", "udp 192.0.2.1 54"];
        assert_eq!(entries(), everything.into_iter().filter(|it| !gone.contains(it)).collect::<Vec<_>>());
        assert_eq!(tracker.forget_udp(&[]).unwrap(), 0);
    });
}

#[test]
fn everything_that_involves_an_address_is_forgotten() {
    Host::new().run(|| {
        insert("tcp", "172.17.0.2", ("192.0.2.9", 1), ("192.0.2.9", 1), "192.0.2.1");
        insert("tcp", "192.0.2.9", ("192.0.2.1", 2), ("172.17.0.2", 80), "192.0.2.9");
        insert("udp", "192.0.2.9", ("172.17.0.2", 3), ("172.17.0.3", 80), "192.0.2.9");
        insert("udp", "192.0.2.9", ("192.0.2.1", 4), ("192.0.2.1", 80), "172.17.0.2");
        insert("tcp", "172.17.0.3", ("192.0.2.9", 5), ("192.0.2.9", 5), "192.0.2.1");
        insert("tcp", "2001:db8::9", ("2001:db8::1", 6), ("fd00::2", 80), "2001:db8::9");
        insert("tcp", "2001:db8::9", ("2001:db8::1", 7), ("fd00::3", 80), "2001:db8::9");
        let mut tracker = ConnectionTracker::open().unwrap();
        let gone = ["172.17.0.2", "fd00::2"].map(address);
        assert_eq!(tracker.forget_addresses(&gone).unwrap(), 5);
        assert_eq!(entries(), sorted(["tcp 192.0.2.9 5", "tcp 2001:db8::1 7"]));
        assert_eq!(tracker.forget_addresses(&gone).unwrap(), 0);
        assert_eq!(tracker.forget_addresses(&[]).unwrap(), 0);
    });
}

#[test]
fn thousands_of_entries_are_forgotten() {
    Host::new().run(|| {
        let mut lines = String::new();
        for port in 1..=3000 {
            lines.push_str(&format!(
                "-I -p udp -s 192.0.2.9 -d 192.0.2.1 --sport {port} --dport 53 -r 172.17.0.2 -q 192.0.2.9 \
                 --reply-port-src 53 --reply-port-dst {port} --timeout 600\n"
            ));
        }
        let file = std::env::temp_dir().join(format!("trestle-entries-{}", std::process::id()));
        std::fs::write(&file, lines).unwrap();
        run("conntrack", &["-R", file.to_str().unwrap()]);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(entries().len(), 3000);
        let mut tracker = ConnectionTracker::open().unwrap();
        assert_eq!(tracker.forget_udp(&[(None, PortRange::single(53).unwrap())]).unwrap(), 3000);
        assert_eq!(entries(), Vec::<String>::new());
    });
}
