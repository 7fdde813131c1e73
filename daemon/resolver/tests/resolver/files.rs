//! hosts, hostname and resolv.conf, as the clerk writes them.

use std::fs;
use std::path::Path;

use trestle_core::dns::EndpointNames;
use trestle_core::store::{Change, Key, Record};
use trestle_core::witness::Witness;
use trestle_resolver::Directory;
use trestle_resolver::files::{Clerk, HostFiles};
use trestle_resolver::upstream::Defaults;

use crate::world::{endpoint, network, sandbox};

struct Office {
    folder: tempfile::TempDir,
    directory: Directory,
    clerk: Clerk,
}

impl Office {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = |name: &str| folder.path().join(name);
        fs::write(host("hosts"), "127.0.0.1 localhost\n10.9.9.9 printer\n").unwrap();
        fs::write(host("hostname"), "machine\n").unwrap();
        fs::write(host("resolv.conf"), "nameserver 127.0.0.53\nsearch home.example\n").unwrap();
        fs::write(host("resolved"), "nameserver 10.9.9.1\n").unwrap();
        let files = HostFiles {
            hosts: host("hosts"),
            hostname: host("hostname"),
            resolv_conf: host("resolv.conf"),
            resolved: host("resolved"),
        };
        let directory = Directory::default();
        let clerk = Clerk::start(folder.path().join("files"), directory.clone(), files, Defaults::default()).unwrap();
        Self { folder, directory, clerk }
    }

    async fn commit(&self, changes: Vec<Change>) {
        self.directory.committed(&changes);
        self.clerk.committed(&changes);
        self.clerk.settled().await;
    }

    async fn put(&self, records: Vec<Record>) {
        self.commit(records.into_iter().map(Change::Put).collect()).await;
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_sandbox_knows_itself_and_who_it_links_to_follows_the_other_s_address() {
    let office = Office::new();
    let mut web = sandbox(2, "web");
    let naming = web.naming.as_mut().unwrap();
    naming.hostname = Some("www".try_into().unwrap());
    naming.domain = Some("example.org".try_into().unwrap());
    naming.hosts = vec!["gw:host-gateway".parse().unwrap(), "printer:10.9.9.9".parse().unwrap()];
    let mut place = endpoint(1, &web, 2);
    place.names = EndpointNames { aliases: Vec::new(), links: vec!["db:store".parse().unwrap()] };
    let (db, files) = (sandbox(3, "db"), office.clerk.files(web.id));
    office
        .put(vec![Record::Network(network(1, "front")), Record::Sandbox(web), Record::Endpoint(Box::new(place))])
        .await;
    let hosts = text(&files.hosts);
    for line in [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "10.1.0.2\twww.example.org www",
        "fd00:1::2\twww.example.org www",
        "10.1.255.254\tgw",
        "10.9.9.9\tprinter",
    ] {
        assert!(hosts.lines().any(|it| it == line), "{line} in\n{hosts}");
    }
    assert!(!hosts.contains("store"));
    assert_eq!(text(&files.hostname), "www.example.org\n");
    fs::write(&files.hosts, hosts + "10.0.0.1 mine\n").unwrap();
    for (last, there) in [("10.1.0.3", true), ("10.1.7.7", true), ("10.1.7.7", false)] {
        let mut moved = endpoint(1, &db, 3);
        moved.lease.as_mut().unwrap().v4 = Some(format!("{last}/16").parse().unwrap());
        match there {
            true => office.put(vec![Record::Sandbox(db.clone()), Record::Endpoint(Box::new(moved))]).await,
            false => {
                moved.state = trestle_core::endpoint::EndpointState::Reserved;
                office.put(vec![Record::Endpoint(Box::new(moved))]).await;
            }
        }
        let hosts = text(&files.hosts);
        assert_eq!(hosts.contains(&format!("{last}\tstore")), there, "{hosts}");
        assert_eq!(hosts.matches("store").count(), if there { 2 } else { 0 }, "{hosts}");
        assert!(hosts.ends_with("10.0.0.1 mine\n"), "{hosts}");
    }
}

#[tokio::test]
async fn a_file_that_is_mounted_somewhere_is_the_same_file_when_it_changes() {
    use std::os::unix::fs::MetadataExt;
    let office = Office::new();
    let (web, one) = (sandbox(2, "web"), endpoint(1, &sandbox(2, "web"), 2));
    let files = office.clerk.files(web.id);
    office.put(vec![Record::Network(network(1, "front")), Record::Sandbox(web)]).await;
    let before = fs::metadata(&files.hosts).unwrap().ino();
    office.put(vec![Record::Endpoint(Box::new(one))]).await;
    assert!(text(&files.hosts).contains("10.1.0.2"));
    assert_eq!(fs::metadata(&files.hosts).unwrap().ino(), before);
}

#[tokio::test]
async fn where_there_is_no_ipv6_no_line_speaks_of_it() {
    let office = Office::new();
    let web = sandbox(2, "web");
    let mut place = endpoint(1, &web, 2);
    place.lease.as_mut().unwrap().v6 = None;
    let files = office.clerk.files(web.id);
    office
        .put(vec![Record::Network(network(1, "front")), Record::Sandbox(web), Record::Endpoint(Box::new(place))])
        .await;
    let hosts = text(&files.hosts);
    assert!(
        !hosts.lines().any(|line| line.split('\t').next().unwrap().contains(':') && !line.starts_with('#')),
        "{hosts}"
    );
}

#[tokio::test]
async fn who_is_asked_is_told_as_the_networks_have_it() {
    let office = Office::new();
    let (web, files) = (sandbox(2, "web"), office.clerk.files(sandbox(2, "web").id));
    let mut default = network(2, "bridge");
    default.options.insert("com.docker.network.bridge.default_bridge".into(), "true".into());
    let place = |number: u8| Record::Endpoint(Box::new(endpoint(number, &sandbox(2, "web"), 2)));
    office
        .put(vec![Record::Network(network(1, "front")), Record::Network(default), Record::Sandbox(web), place(2)])
        .await;
    let told = text(&files.resolv_conf);
    assert!(told.contains("nameserver 10.9.9.1\n") && told.contains("search home.example\n"), "{told}");
    office.put(vec![place(1)]).await;
    let told = text(&files.resolv_conf);
    assert!(told.contains("nameserver 127.0.0.11\n") && told.contains("options ndots:0\n"), "{told}");
    assert!(!told.contains("10.9.9.1"), "{told}");
    let mut v6_only = endpoint(1, &sandbox(2, "web"), 2);
    v6_only.lease.as_mut().unwrap().v4 = None;
    office
        .commit(vec![
            Change::Remove(Key::Endpoint(endpoint(2, &sandbox(2, "web"), 2).id)),
            Change::Put(Record::Endpoint(Box::new(v6_only))),
        ])
        .await;
    assert!(text(&files.resolv_conf).contains("nameserver fd74:7265:7374:6c65::53\n"));
}

#[tokio::test]
async fn in_the_host_s_namespace_the_files_are_the_host_s_and_they_go_with_the_sandbox() {
    let office = Office::new();
    let mut host = sandbox(2, "agent");
    host.netns = trestle_core::sandbox::SandboxNetns::Host;
    host.naming.as_mut().unwrap().hosts = vec!["db:10.0.0.7".parse().unwrap()];
    let (id, files) = (host.id, office.clerk.files(host.id));
    office.put(vec![Record::Sandbox(host)]).await;
    let hosts = text(&files.hosts);
    assert!(hosts.contains("10.9.9.9 printer\n") && hosts.contains("10.0.0.7\tdb\n"), "{hosts}");
    assert_eq!(text(&files.hostname), "machine\n");
    assert_eq!(text(&files.resolv_conf), "nameserver 127.0.0.53\nsearch home.example\n");
    office.commit(vec![Change::Remove(Key::Sandbox(id))]).await;
    assert_eq!(fs::read_dir(office.folder.path().join("files")).unwrap().count(), 0);
}

#[tokio::test]
async fn files_of_who_is_gone_are_swept_and_those_of_others_stay() {
    let office = Office::new();
    let (web, gone) = (sandbox(2, "web"), sandbox(3, "gone"));
    office.put(vec![Record::Sandbox(web.clone()), Record::Sandbox(gone.clone())]).await;
    // The clerk never hears of it, as when we die over it.
    office.directory.committed(&[Change::Remove(Key::Sandbox(gone.id))]);
    office.clerk.sweep().await;
    assert!(office.clerk.files(web.id).hosts.exists());
    assert!(!office.clerk.files(gone.id).hosts.parent().unwrap().exists());
}
