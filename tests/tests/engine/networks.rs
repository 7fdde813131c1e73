//! `docker network …`, step by step, with exit codes and output.

use trestle_tests::docker::Outcome;

use crate::{Scene, play};

/// What a step has to come to.
enum Expect {
    /// It succeeds and prints just this.
    Prints(&'static str),
    /// It succeeds and prints an id.
    Id,
    /// It succeeds, whatever it prints.
    Works,
    /// It is refused with a complaint that holds this.
    Refused(&'static str),
}

use Expect::{Id, Prints, Refused, Works};

fn check(scene: &Scene, steps: &[(&str, Expect)]) {
    for (arguments, expected) in steps {
        let outcome = scene.docker.run(arguments);
        let Outcome { code, printed, complaint } = &outcome;
        let is_id = || printed.len() == 64 && printed.bytes().all(|digit| digit.is_ascii_hexdigit());
        let fits = match expected {
            Prints(text) => *code == 0 && printed == text,
            Id => *code == 0 && is_id(),
            Works => *code == 0,
            Refused(told) => *code == 1 && complaint.contains(told) && !is_id(),
        };
        let expected = match expected {
            Prints(text) | Refused(text) => text,
            Id => "an id",
            Works => "success",
        };
        assert!(fits, "docker {arguments}: {outcome:?}, and {expected:?} was expected");
    }
}

#[test]
fn networks_are_made_listed_and_removed_as_docker_does() {
    play(|scene| {
        check(
            scene,
            &[
                ("network ls --format {{.Name}}", Prints("bridge\nhost\nnone")),
                ("network ls --format {{.Driver}}", Prints("bridge\nhost\nnull")),
                ("network create front", Id),
                ("network create front", Refused("network with name front already exists")),
                (
                    "network create --subnet 10.5.0.0/16 --gateway 10.5.0.254 --ip-range 10.5.5.0/24 --label tier=back back",
                    Id,
                ),
                ("network inspect back -f '{{(index .IPAM.Config 0).Subnet}}'", Prints("10.5.0.0/16")),
                ("network inspect back -f '{{(index .IPAM.Config 0).Gateway}}'", Prints("10.5.0.254")),
                ("network inspect back -f '{{(index .IPAM.Config 0).IPRange}}'", Prints("10.5.5.0/24")),
                ("network inspect back -f {{.Labels.tier}}", Prints("back")),
                ("network create --internal --attachable vault", Id),
                ("network inspect vault -f '{{.Internal}} {{.Attachable}} {{.EnableIPv6}}'", Prints("true true false")),
                ("network create --ipv6 --subnet fd00:5::/64 --aux-address router=fd00:5::9 six", Id),
                ("network inspect six -f {{.EnableIPv6}}", Prints("true")),
                (
                    "network create -o com.docker.network.bridge.name=mine -o com.docker.network.driver.mtu=1400 named",
                    Id,
                ),
                ("network inspect named -f '{{index .Options \"com.docker.network.driver.mtu\"}}'", Prints("1400")),
                ("network ls -q --no-trunc -f name=front", Id),
                ("network ls -f name=^ron --format {{.Name}}", Prints("")),
                ("network ls -f name=ron --format {{.Name}}", Prints("front")),
                ("network ls -f type=builtin --format {{.Name}}", Prints("bridge\nhost\nnone")),
                ("network ls -f type=custom --format {{.Name}}", Prints("back\nfront\nnamed\nsix\nvault")),
                ("network ls -f driver=null --format {{.Name}}", Prints("none")),
                ("network ls -f label=tier --format {{.Name}}", Prints("back")),
                ("network ls -f label=tier=front --format {{.Name}}", Prints("")),
                ("network ls -f scope=local -f name=back --format {{.Name}}", Prints("back")),
                ("network ls -f scope=swarm --format {{.Name}}", Prints("")),
                ("network ls -f dangling=true --format {{.Name}}", Prints("back\nfront\nnamed\nsix\nvault")),
                ("network ls -f dangling=false --format {{.Name}}", Prints("bridge\nhost\nnone")),
                ("network ls -f dangling=maybe", Refused("invalid filter 'dangling=")),
                ("network ls -f color=red", Refused("invalid filter 'color'")),
                ("network ls -f type=odd", Refused("invalid filter 'type=odd'")),
                ("network rm front", Prints("front")),
                ("network inspect front", Refused("network front not found")),
                ("network rm front", Refused("network front not found")),
                ("network rm -f front", Works),
                ("network rm bridge", Refused("bridge is a pre-defined network and cannot be removed")),
                ("network rm host", Refused("host is a pre-defined network and cannot be removed")),
                ("network prune -f --filter label!=tier", Works),
                ("network ls -f type=custom --format {{.Name}}", Prints("back")),
                ("network prune -f --filter until=24h", Prints("")),
                ("network prune -f --filter until=soon", Refused("is no time")),
                ("network prune -f", Prints("Deleted Networks:\nback")),
                ("network ls --format {{.Name}}", Prints("bridge\nhost\nnone")),
            ],
        );
    });
}

#[test]
fn what_is_wrong_is_refused_in_docker_s_words() {
    play(|scene| {
        check(
            scene,
            &[
                ("network create bridge", Refused("operation is not permitted on predefined bridge network")),
                ("network create ''", Refused("name is empty")),
                ("network create a/b", Refused("can't name a network")),
                ("network create -d no-such-driver x", Refused("plugin \"no-such-driver\" not found")),
                ("network create --ipam-driver no-such-ipam x", Refused("no-such-ipam")),
                ("network create -d overlay x", Refused("This node is not a swarm manager.")),
                ("network create -d host x", Refused("only one network of driver host")),
                ("network create --config-only x", Refused("not offered yet")),
                (
                    "network create --subnet 10.6.0.1/24 x",
                    Refused("invalid subnet 10.6.0.1/24: it should be 10.6.0.0/24"),
                ),
                ("network create --subnet 10.6.0.0/24 --gateway 10.7.0.1 x", Refused("10.7.0.1")),
                ("network create -o com.docker.network.no.such=1 x", Refused("com.docker.network.no.such")),
                ("network create --subnet 10.6.0.0/24 one", Id),
                (
                    "network create --subnet 10.6.0.128/25 two",
                    Refused("Pool overlaps with other one on this address space"),
                ),
                (
                    "network create -o com.docker.network.bridge.name=trestle0 two",
                    Refused("bridge trestle0 belongs to another network"),
                ),
                ("network connect one nobody", Refused("No such container: nobody")),
                ("network disconnect one nobody", Refused("No such container: nobody")),
                ("network disconnect -f one nobody", Refused("endpoint nobody not found")),
                ("network connect no-such-network nobody", Refused("network no-such-network not found")),
                ("swarm init", Refused("takes no part in swarms")),
                ("swarm leave", Refused("This node is not part of a swarm")),
                ("node ls", Refused("This node is not a swarm manager.")),
                ("plugin ls -q", Prints("")),
            ],
        );
    });
}

#[test]
fn the_networks_that_are_always_there_are_made_once_and_kept() {
    play(|scene| {
        let before = scene.docker.must("network ls -q --no-trunc");
        let bridge = scene.docker.network("bridge");
        assert_eq!(bridge["Options"]["com.docker.network.bridge.name"], "trestle0");
        assert!(scene.host.ip("link show trestle0").contains("trestle0"));
        scene.daemon.kill();
        scene.daemon.start_again();
        assert_eq!(scene.docker.must("network ls -q --no-trunc"), before);
        assert_eq!(scene.docker.network("bridge"), bridge);
    });
}

#[test]
fn what_happened_is_told_afterwards() {
    play(|scene| {
        let id = scene.docker.must("network create front");
        scene.docker.must("network rm front");
        let told = scene.docker.must("events --since 1h --until=-2s --format '{{.Type}} {{.Action}} {{.Actor.ID}}'");
        assert_eq!(told, format!("network create {id}\nnetwork destroy {id}"));
        let told = scene.docker.must("events --since 1h --until=-2s --filter event=destroy --format {{.Action}}");
        assert_eq!(told, "destroy");
        assert_eq!(scene.docker.must("events --since 1h --until=-2s --filter network=back"), "");
    });
}

#[test]
fn clients_of_every_version_find_a_daemon_that_speaks_theirs() {
    play(|scene| {
        assert_eq!(scene.docker.must("version --format '{{.Server.MinAPIVersion}} {{.Server.Os}}'"), "1.12 linux");
        assert!(scene.docker.must("info --format {{.Plugins.Network}}").contains("bridge"));
    });
}
