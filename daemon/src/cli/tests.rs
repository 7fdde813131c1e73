//! What command lines mean, and which are refused.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;
use crate::api::model::network::NewNetwork;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("trestle").chain(line.split_whitespace()))
}

fn network(line: &str) -> Result<NewNetwork, Failure> {
    match parse(line).unwrap().command {
        Command::Network(network::Command::Create(create)) => create.body(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_help_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn a_network_s_flags_are_docker_s() {
    let body = network(
        "network create -d bridge --subnet 10.1.0.0/24 --subnet fd00:1::/64 --ip-range 10.1.0.128/25 --gateway fd00:1::9 \
         --aux-address nas=10.1.0.5 --internal --ipv6 -o com.docker.network.bridge.name=br7 --label team=a --label x front",
    )
    .unwrap();
    let read = body.read().unwrap();
    assert_eq!(read.name.as_str(), "front");
    assert_eq!(read.pools[0].range, Some("10.1.0.128/25".parse().unwrap()));
    assert_eq!(read.pools[0].auxiliary["nas"], "10.1.0.5".parse::<std::net::IpAddr>().unwrap());
    assert_eq!(read.pools[1].gateway, Some("fd00:1::9".parse().unwrap()));
    assert!(read.internal && read.ipv6);
    assert_eq!(read.options["com.docker.network.bridge.name"], "br7");
    assert_eq!((read.labels["team"].as_str(), read.labels["x"].as_str()), ("a", ""));
}

#[test]
fn what_belongs_to_no_subnet_is_a_wrong_command_line() {
    for (line, named) in [
        ("network create --gateway 10.0.0.1 a", "--gateway 10.0.0.1"),
        ("network create --subnet 10.0.0.0/24 --ip-range 10.1.0.0/25 a", "--ip-range 10.1.0.0/25"),
        ("network create --subnet 10.0.0.0/24 --aux-address x=10.1.0.1 a", "--aux-address 10.1.0.1"),
        ("network create --subnet 10.0.0.0/24 --gateway 10.0.0.1 --gateway 10.0.0.2 a", "--gateway: 10.0.0.1"),
        ("network create -o a=1 -o a=2 b", "--opt: \"a\""),
    ] {
        let failure = network(line).unwrap_err();
        assert_eq!(failure.code, failure::Code::Usage);
        assert!(failure.message.clone().unwrap().contains(named), "{line}: {failure:?}");
    }
}

#[test]
fn an_endpoint_s_flags_are_docker_s() {
    let line = "connect front web --ip 10.0.0.2 --ip6 fd00::2 --mac-address 02:42:0a:00:00:02 -p 8080:80 -p 53:53/udp \
                --gw-priority -5 --driver-opt a=b --name w --interface lan0 --expose 80";
    let Command::Connect(connect) = parse(line).unwrap().command else { panic!() };
    let body = format!("{connect:?}");
    for part in ["front", "web", "10.0.0.2", "fd00::2", "8080:80", "53:53/udp", "-5", "lan0"] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[test]
fn wrong_values_are_refused_with_the_flag_s_name() {
    for (line, named) in [
        ("network create -front", "-f"),
        ("network create a/b", "a/b"),
        ("network create --subnet 10.0.0.0/40 a", "--subnet"),
        ("network create -o nothing a", "--opt"),
        ("network create", "<NAME>"),
        ("network rm", "<NETWORKS>"),
        ("connect front", "<SANDBOX>"),
        ("connect front web --ip fd00::1", "--ip"),
        ("connect front web --mac-address 01:00:5e:00:00:01", "--mac-address"),
        ("connect front web -p 80/icmp", "--publish"),
        ("connect front web --interface lo", "--interface"),
        ("sandbox create --pid 0", "--pid"),
        ("sandbox create --pid 1 --netns /x", "--netns"),
        ("endpoint publish web", "<PORTS>"),
        ("endpoint unpublish web 8080:80:1:2", "8080:80:1:2"),
        ("-H ftp://x network ls", "--host"),
        ("events --subject image", "--subject"),
        ("completion tcsh", "tcsh"),
        ("network ls --format yaml", "--format"),
    ] {
        let refusal = parse(line).unwrap_err();
        assert_eq!(refusal.exit_code(), 2, "{line}");
        assert!(refusal.to_string().contains(named), "{line}: {refusal}");
    }
}

#[test]
fn what_follows_exec_is_the_command_s_own() {
    let Command::Sandbox(sandbox::Command::Exec { sandbox, command }) =
        parse("sandbox exec web ip -br addr --help -H x").unwrap().command
    else {
        panic!()
    };
    assert_eq!((sandbox.as_str(), command.join(" ")), ("web", "ip -br addr --help -H x".into()));
}

#[test]
fn each_command_has_help_that_is_about_it() {
    fn has(command: &clap::Command, name: &str) -> bool {
        command.get_arguments().any(|it| it.get_id() == name)
    }
    fn look(command: &mut clap::Command, line: &str) {
        let line = format!("{line} {}", command.get_name());
        assert!(command.get_about().is_some(), "{line}");
        for argument in command.get_arguments().filter(|it| !it.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{line}: {}", argument.get_id());
        }
        let listed = command.get_name() == "ls";
        assert!(!listed || ["quiet", "format", "filter"].iter().all(|it| has(command, it)), "{line}");
        assert!(!["ls", "inspect", "create", "plan", "verify"].contains(&command.get_name()) || has(command, "format"));
        command.get_subcommands_mut().for_each(|inner| look(inner, &line));
    }
    look(&mut Cli::command(), "");
    for line in ["--help", "network --help", "network create --help", "sandbox exec --help", "connect --help"] {
        assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::DisplayHelp, "{line}");
    }
}

#[test]
fn tls_is_used_where_it_is_asked_for_and_can_be() {
    let tls = |line: &str| parse(line).unwrap().reach.tls();
    assert_eq!(tls("-H tcp://a:1 network ls"), Ok(None));
    assert_eq!(tls("--cert-path /c network ls"), Ok(None));
    let files = tls("-H tcp://a:1 --cert-path /c --tlskey /k network ls").unwrap().unwrap();
    assert_eq!((files.authorities, files.key), ("/c/ca.pem".into(), "/k".into()));
    assert_eq!(tls("-H tcp://a:1 --tlsverify network ls").unwrap_err().code, failure::Code::Usage);
}
