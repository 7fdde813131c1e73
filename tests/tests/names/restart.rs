//! The daemon dies and comes back.

use std::process::Command;

use crate::world::{Asker, play};

/// Looks a name up for ever with glibc, with the sandbox's own resolv.conf, until a lookup fails or a file is there.
const LOOK_UP: &str = "mount --bind \"$1\" /etc/resolv.conf || exit 2
while ! [ -e \"$2\" ]; do
    getent hosts web >/dev/null || exit 1
    echo found
done";

#[test]
fn a_daemon_that_is_killed_under_load_costs_nobody_a_name() {
    play(|world| {
        world.sandbox("web", "--network front");
        let client = world.sandbox("client", "--network front");
        let stop = world.host.folder().join("stop");
        let netns = format!("--net={}", client.namespace.path().display());
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let mut command = Command::new("nsenter");
                command
                    .args([&netns, "unshare", "--mount", "sh", "-c", LOOK_UP, "sh"])
                    .arg(&client.resolv_conf)
                    .arg(&stop);
                world.host.start(command, &format!("client{number}"))
            })
            .collect();
        let found = || clients.iter().map(|it| it.printed().lines().count()).collect::<Vec<_>>();
        let goes_on = |since: Vec<usize>| {
            while found().iter().zip(&since).any(|(now, then)| now < &(then + 20)) {
                std::thread::yield_now();
            }
        };
        goes_on(found());
        for _ in 0..3 {
            world.daemon.kill();
            world.daemon.start_again();
            goes_on(found());
        }
        std::fs::write(&stop, "").unwrap();
        for (number, client) in clients.into_iter().enumerate() {
            let printed = client.printed();
            assert!(client.wait().success(), "client {number}: {printed}");
        }
    });
}

#[test]
fn names_are_there_before_the_api_answers_and_their_redirects_are_looked_after() {
    play(|world| {
        let web = world.sandbox("web", "--network front");
        let client = world.sandbox("client", "--network front");
        world.daemon.kill();
        world.daemon.start_again();
        client.namespace.run(|| {
            let said = Asker::new().ask("web");
            assert!(web.addresses.contains(&said.addresses[0].into()));
        });
        assert_eq!(world.trestle("verify --format json").matches("name server").count(), 0);
        client.namespace.output("nft", &["delete", "table", "inet", "trestle_names"]);
        let told = world.try_trestle("verify").unwrap_err();
        assert!(told.contains("name server") || told.is_empty(), "{told}");
        world.trestle("repair");
        world.trestle("verify");
        client.namespace.run(|| assert_eq!(Asker::new().ask("web").addresses.len(), 1));
    });
}
