//! Shows what Trestle does, on hosts made for it: every line that begins with `$` is run, and what follows is what it
//! printed. Ends with an error if anything is not as it says.

use std::env;
use std::net::IpAddr;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use trestle_tests::daemon::Daemon;
use trestle_tests::landscape::{Container, Landscape, OUTSIDE, ROUTER, hosts};
use trestle_tests::snapshot::Snapshot;
use trestle_tests::traffic::{Protocol, Server};
use trestle_tests::{privileges, wire};

fn main() -> ExitCode {
    if !privileges::may_make_namespaces() {
        return in_user_namespace();
    }
    privileges::obtain(demonstrate);
    ExitCode::SUCCESS
}

/// The same once more, as root over namespaces of its own.
fn in_user_namespace() -> ExitCode {
    println!("You are not root: all that follows happens in a user namespace.");
    let program = env::current_exe().expect("a program can find itself");
    match privileges::in_user_namespace(&mut Command::new(program)).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("making a user namespace: {error}. {}", privileges::ADVICE);
            ExitCode::FAILURE
        }
    }
}

fn demonstrate() {
    say("Two hosts are made, each a network namespace, with a wire between them. Nothing of your machine is touched.");
    let (router, outside) = hosts(wire::MTU);
    println!("    outside {}  ----  {} router, where trestled runs", OUTSIDE[0], ROUTER[0]);
    let daemon = Arc::new(Daemon::start(&router));
    let mut scene = Scene { land: Landscape { front: daemon.clone(), router, outside }, daemon };
    scene.dry_run();
    let before = Snapshot::of_host(&scene.land.router);
    let containers = scene.build();
    scene.two_containers_talk(&containers);
    scene.a_published_port_answers(&containers);
    scene.two_networks_are_kept_apart(&containers);
    scene.clean_up(&before);
    say("That was it, and every line of it ran.");
}

struct Scene {
    daemon: Arc<Daemon>,
    land: Landscape,
}

/// Where the demo's containers are.
struct Containers {
    web: Container,
    client: Container,
    stranger: Container,
    _server: Server,
}

impl Scene {
    fn dry_run(&mut self) {
        say("What would be done for a network is a plan, which can be read before:");
        let command = "network create --ipv6 --dry-run front";
        println!("    $ trestle {command}");
        show_plan(&self.run(command));
        assert_eq!(self.land.front.objects(), Ok(Vec::new()), "a dry run made something");
        // What is shared stays for the next network or sandbox: it is there before the look that the end is compared with.
        for command in ["network create --ipv6 first", "network rm first", "sandbox create first", "sandbox rm first"] {
            self.run(command);
        }
    }

    fn build(&mut self) -> Containers {
        say("Two networks, and containers' network namespaces on them; one publishes its port 80 as the host's 8080:");
        for command in [
            "network create --ipv6 front",
            "network create --ipv6 back",
            "sandbox create web",
            "connect -p 8080:80 front web",
            "sandbox create client",
            "connect front client",
            "sandbox create stranger",
            "connect back stranger",
            "endpoint ls",
        ] {
            self.trestle(command);
        }
        let [web, client, stranger] = [("web", "front"), ("client", "front"), ("stranger", "back")]
            .map(|(name, network)| self.daemon.container(name, network).unwrap_or_else(|error| panic!("{error}")));
        let server = web.serve(80);
        Containers { web, client, stranger, _server: server }
    }

    fn two_containers_talk(&self, containers: &Containers) {
        say("Two containers of one network talk, over IPv4 and IPv6:");
        for address in containers.web.addresses("front") {
            ask(&containers.client, address, 80, Some("web"));
        }
    }

    fn a_published_port_answers(&self, containers: &Containers) {
        say("The published port answers from outside, and the container sees who asks:");
        for (host, client) in ROUTER.into_iter().zip(OUTSIDE) {
            let answer = self.land.ask(Protocol::Tcp, host, 8080);
            println!("    outside asks {host} port 8080: {answer:?}");
            assert_eq!((answer.by(), answer.saw()), (Some("web"), Some(client)));
        }
        for address in containers.web.addresses("front") {
            let answer = self.land.ask(Protocol::Tcp, address, 80);
            println!("    outside asks {address} port 80, which is not published: {answer:?}");
            assert_eq!(answer.by(), None);
        }
    }

    fn two_networks_are_kept_apart(&self, containers: &Containers) {
        say("A container of another network gets no answer, but for the published port:");
        for (address, host) in containers.web.addresses("front").into_iter().zip(ROUTER) {
            ask(&containers.stranger, address, 80, None);
            ask(&containers.stranger, host, 8080, Some("web"));
        }
    }

    fn clean_up(&mut self, before: &Snapshot) {
        say("Everything is as it should be; then all goes, and nothing is left:");
        for command in [
            "verify",
            "sandbox rm web",
            "sandbox rm client",
            "sandbox rm stranger",
            "network rm front",
            "network rm back",
            "network ls",
        ] {
            self.trestle(command);
        }
        let after = Snapshot::of_host(&self.land.router);
        before.is_still(&after);
        println!("    {} links, addresses, routes, rules and files: as before", after.lines().count());
    }

    /// Runs the command line and shows what it prints.
    fn trestle(&self, command: &str) {
        println!("    $ trestle {command}");
        self.run(command).lines().for_each(|line| println!("    {line}"));
    }

    fn run(&self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        self.daemon.trestle(&words).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Shows a plan, but for the rules that all networks share.
fn show_plan(plan: &str) {
    let is_shared = |line: &&str| line.starts_with(['\t', '}']) || line.starts_with("table ");
    let shared = plan.lines().filter(is_shared).count();
    assert!(shared > 0 && plan.contains("ip link add"), "this is no plan: {plan}");
    for line in plan.lines() {
        match line.starts_with("table ") {
            true => println!("    {line} … }}   ({shared} lines, which all networks share)"),
            false if is_shared(&line) => {}
            false => println!("    {line}"),
        }
    }
}

fn ask(client: &Container, address: IpAddr, port: u16, expected: Option<&str>) {
    let answer = client.ask(Protocol::Tcp, address, port);
    println!("    {} asks {address} port {port}: {answer:?}", client.name);
    assert_eq!(answer.by(), expected);
}

fn say(text: &str) {
    println!("\n{text}");
}
