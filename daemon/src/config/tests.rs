//! Flags against file, and every wrong value.

use clap::Parser;

use super::*;

fn settings(flags: &[&str], file: &str) -> Result<Settings, String> {
    let flags = Flags::try_parse_from(std::iter::once("trestled").chain(flags.iter().copied()))
        .map_err(|error| error.to_string())?;
    Settings::merge(flags, File::parse(file.as_bytes())?)
}

#[test]
fn nothing_given_is_the_documented_default() {
    let settings = settings(&[], "{}").unwrap();
    assert_eq!(settings.data_root, PathBuf::from("/var/lib/trestle"));
    assert_eq!(settings.exec_root, PathBuf::from("/run/trestle"));
    assert_eq!(settings.hosts, [Host::Unix("/run/trestle/trestle.sock".into())]);
    assert_eq!(settings.pidfile, PathBuf::from("/run/trestle/trestled.pid"));
    assert_eq!(settings.log_level, LogLevel::Info);
}

#[test]
fn socket_and_pidfile_follow_the_exec_root() {
    let settings = settings(&["--exec-root", "/run/other"], "{}").unwrap();
    assert_eq!(settings.hosts, [Host::Unix("/run/other/trestle.sock".into())]);
    assert_eq!(settings.pidfile, PathBuf::from("/run/other/trestled.pid"));
}

#[test]
fn every_setting_is_taken_from_the_file_as_from_the_flag() {
    let flags = settings(
        &[
            "--data-root=/d",
            "--exec-root=/e",
            "-Hunix:///s",
            "-Htcp://10.0.0.1:2476",
            "-p/p",
            "-D",
            "-Gnet",
            "--default-address-pool=base=10.0.0.0/8,size=24",
            "--mtu=1400",
            "--spare-sandboxes=2",
            "--firewall-backend=iptables",
            "--engine=false",
            "--bip=10.9.0.1/16",
            "--fixed-cidr=10.9.1.0/24",
            "--icc=false",
            "--ip=127.0.0.1",
            "--ipv6",
            "-blink0",
            "--iptables",
            "--default-network-opt=bridge=com.docker.network.driver.mtu=1300",
            "--tlsverify",
            "--tlscacert=/ca",
            "--tlscert=/c",
            "--tlskey=/k",
            "--userland-proxy=false",
        ],
        "{}",
    );
    let file = settings(
        &[],
        r#"{"data-root": "/d", "exec-root": "/e", "hosts": ["unix:///s", "tcp://10.0.0.1:2476"], "pidfile": "/p",
            "debug": true, "group": "net", "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}], "mtu": 1400,
            "spare-sandboxes": 2, "firewall-backend": "iptables", "engine": false,
            "bip": "10.9.0.1/16", "fixed-cidr": "10.9.1.0/24", "icc": false, "ip": "127.0.0.1", "ipv6": true, "bridge": "link0",
            "iptables": true, "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1300"}},
            "tlsverify": true, "tlscacert": "/ca", "tlscert": "/c", "tlskey": "/k",
            "userland-proxy": false}"#,
    );
    assert_eq!(flags.clone().unwrap(), file.unwrap());
    assert_eq!(flags.unwrap().idle, ["userland-proxy"]);
}

#[test]
fn what_is_given_twice_is_named() {
    let refusal = settings(
        &["--debug", "--mtu=1500", "-Hunix:///a"],
        r#"{"debug": false, "mtu": 1400, "hosts": ["unix:///b"], "group": "root"}"#,
    )
    .unwrap_err();
    for named in ["debug: given both", "mtu: given both", "hosts: given both"] {
        assert!(refusal.contains(named), "{refusal}");
    }
    assert!(!refusal.contains("group"), "{refusal}");
}

#[test]
fn wrong_values_are_refused_by_their_name() {
    let tls = r#""tlsverify": true, "tlscacert": "/ca", "tlscert": "/c", "tlskey": "/k""#;
    for (file, named) in [
        (r#"{"data-rot": "/x"}"#, "unknown field `data-rot`"),
        (r#"{"mtu": "big"}"#, "mtu: invalid type"),
        (r#"{"mtu": 67}"#, "mtu: 67"),
        (r#"{"mtu": 1500, "mtu": 1500}"#, "duplicate field `mtu`"),
        (r#"{"log-level": "loud"}"#, "log-level: \"loud\""),
        (r#"{"firewall-backend": "pf"}"#, "firewall-backend: \"pf\" is not known; nftables, iptables"),
        (r#"{"hosts": ["unix:///a", "ftp://b"]}"#, "hosts[1]: \"ftp://b\""),
        (r#"{"hosts": ["tcp://10.0.0.1:80"]}"#, "TCP needs tlsverify"),
        (r#"{"hosts": ["tcp://10.0.0.1:80"], "insecure-tcp": true}"#, "only a loopback address"),
        (&format!(r#"{{"hosts": ["tcp://box:80"], {tls}}}"#), "\"box\" is not an address"),
        (r#"{"tlsverify": true}"#, "tlscacert, tlscert and tlskey are needed"),
        (r#"{"tlscert": "/c"}"#, "tlsverify: certificates are given"),
        (r#"{"default-address-pools": [{"base": "10.0.0.0/8", "size": 4}]}"#, "default-address-pools[0]: size 4"),
        (r#"{"default-address-pools": [{"base": "10.0.0.0/8"}]}"#, "missing field `size`"),
        (r#"{"data-root": "/x", "exec-root": "/x"}"#, "exec-root: /x is the data-root"),
        (r#"{"bip": "10.0.0.1"}"#, "bip: \"10.0.0.1\" is not an address with its network"),
        (r#"{"bip": "10.0.0.1/24", "fixed-cidr": "10.0.1.0/25"}"#, "fixed-cidr: 10.0.1.0/25 is not inside"),
        (r#"{"bridge": "a/b"}"#, "bridge: \"a/b\""),
        (r#"{"iptables": false}"#, "iptables: false is not offered"),
        ("[]", "it is a list"),
        ("{", "EOF"),
        ("{} x", "trailing"),
    ] {
        let refusal = settings(&[], file).unwrap_err();
        assert!(refusal.contains(named), "{file}: {refusal}");
    }
}

#[test]
fn the_default_network_can_be_left_out() {
    assert_eq!(settings(&["--bridge=none"], "{}").unwrap().bridge, None);
    assert!(settings(&[], "{}").unwrap().bridge.is_some());
    assert!(settings(&["--default-network-opt=bridge"], "{}").unwrap_err().contains("not DRIVER=KEY=VALUE"));
}

#[test]
fn an_unknown_flag_is_told_with_the_nearest_known_one() {
    let refusal = settings(&["--default-adress-pool=x"], "{}").unwrap_err();
    assert!(refusal.contains("--default-adress-pool") && refusal.contains("'--default-address-pool'"), "{refusal}");
}

#[test]
fn tcp_on_loopback_is_open_only_to_who_asks_for_it() {
    for host in ["tcp://127.0.0.1:2476", "tcp://[::1]:2476", "tcp://localhost:2476"] {
        assert!(settings(&["-H", host], "{}").is_err(), "{host}");
        assert!(settings(&["-H", host, "--insecure-tcp"], "{}").is_ok(), "{host}");
    }
}

#[test]
fn the_help_is_well_formed() {
    use clap::CommandFactory;
    Flags::command().debug_assert();
}
