//! hosts, hostname and resolv.conf, as a sandbox's programs see them.

use crate::world::play;

#[test]
fn a_sandbox_s_programs_see_who_they_are_and_the_host_sees_its_own_files() {
    play(|world| {
        let how = "--network front --hostname www --domainname example.org --add-host gw:host-gateway --add-host db:10.0.0.9 \
                   --dns-search corp.example --dns-opt ndots:2";
        let web = world.sandbox("web", how);
        let before = ["/etc/hosts", "/etc/resolv.conf"].map(|path| world.read(path.as_ref()));
        let cat = |path: &str| world.exec(&web, &["cat", path]).unwrap();
        assert_eq!(cat("/etc/hostname"), "www.example.org\n");
        let (hosts, conf) = (cat("/etc/hosts"), cat("/etc/resolv.conf"));
        for address in &web.addresses {
            assert!(hosts.contains(&format!("{address}\twww.example.org www\n")), "{hosts}");
        }
        assert!(hosts.contains("10.0.0.9\tdb\n") && hosts.contains("\tgw\n"), "{hosts}");
        for line in ["nameserver 127.0.0.11\n", "search corp.example\n", "options ndots:2\n"] {
            assert!(conf.contains(line), "{conf}");
        }
        assert_eq!(["/etc/hosts", "/etc/resolv.conf"].map(|path| world.read(path.as_ref())), before);
    });
}

#[test]
fn a_link_follows_the_other_s_address_and_a_user_s_own_lines_stay() {
    play(|world| {
        let web = world.sandbox("web", "--network front --link db:store");
        let edited = world.read(&web.hosts) + "10.0.0.1 mine\n";
        world.host.run(|| std::fs::write(&web.hosts, &edited).unwrap());
        for _ in 0..2 {
            let db = world.sandbox("db", "--network front");
            let hosts = world.read(&web.hosts);
            for address in &db.addresses {
                assert!(hosts.contains(&format!("{address}\tstore\n")), "{hosts}");
            }
            assert!(hosts.ends_with("10.0.0.1 mine\n"), "{hosts}");
            let told = world.exec(&web, &["getent", "ahosts", "store"]).unwrap();
            assert!(db.addresses.iter().all(|address| told.contains(&address.to_string())), "{told}");
            world.trestle("sandbox rm db");
            let other = world.sandbox("other", "--network front");
            assert!(!world.read(&web.hosts).contains("store"));
            drop(other);
            world.trestle("sandbox rm other");
        }
    });
}

#[test]
fn names_change_while_the_endpoint_stays_where_it_is() {
    play(|world| {
        let web = world.sandbox("web", "--network front --alias old");
        let client = world.sandbox("client", "--network front");
        let link = || web.namespace.ip("-o link show eth0").split(':').next().map(str::to_owned);
        let before = link();
        world.trestle("endpoint call front/web --alias new");
        assert!(world.exec(&client, &["getent", "ahosts", "new"]).is_ok());
        assert!(world.exec(&client, &["getent", "ahosts", "old"]).is_err());
        assert_eq!(link(), before);
    });
}

#[test]
fn who_wants_no_names_gets_none() {
    play(|world| {
        world.trestle("sandbox create --network front --no-names bare");
        let told = world.trestle("sandbox inspect bare");
        assert!(told.contains("\"files\": null") || told.contains("\"files\":null"), "{told}");
        let plan = world.trestle("connect --dry-run back bare");
        assert!(!plan.contains("name server"), "{plan}");
    });
}
