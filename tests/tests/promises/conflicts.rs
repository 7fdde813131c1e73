//! What is in the way is named.

use trestle_core::controller::request::{NetnsRequest, PoolWish};
use trestle_tests::landscape::{Landscape, network, place};
use trestle_tests::snapshot::Snapshot;
use trestle_tests::traffic::Server;

on_every_front!(a_conflict_names_the_holder_and_changes_nothing);

fn a_conflict_names_the_holder_and_changes_nothing(land: &Landscape) {
    let pool = |subnet: &str| PoolWish {
        subnet: subnet.parse().unwrap(),
        range: None,
        gateway: None,
        auxiliary: Default::default(),
    };
    land.network_as("front", |request| request.pools = vec![pool("10.60.0.0/16")]);
    let web = land.container("web", "front", &["8080:80/tcp"]);
    land.front.create_sandbox("other", &NetnsRequest::Make).unwrap();
    let _program = Server::start_at(land.router.namespace(), "program", "0.0.0.0:9090".parse().unwrap());
    let (before, objects) = (Snapshot::of_host(&land.router), land.front.objects().unwrap());

    let taken_port = land.front.connect("other", &place("front", &["8080:81/tcp"])).unwrap_err();
    assert!(taken_port.contains("8080") && taken_port.contains("web"), "{taken_port}");

    let taken_by_program = land.front.connect("other", &place("front", &["9090:81/tcp"])).unwrap_err();
    let pid = std::process::id().to_string();
    assert!(taken_by_program.contains("9090") && taken_by_program.contains(&pid), "{taken_by_program}");

    let taken_name = land.front.create_network(&network("front")).unwrap_err();
    assert!(taken_name.contains("front"), "{taken_name}");

    let mut address = place("front", &[]);
    address.v4 = web.places["front"].v4;
    let taken_address = land.front.connect("other", &address).unwrap_err();
    assert!(
        taken_address.contains(&address.v4.unwrap().to_string()) && taken_address.contains("web"),
        "{taken_address}"
    );

    let mut overlap = network("overlap");
    overlap.pools = vec![pool("10.60.7.0/24")];
    let taken_subnet = land.front.create_network(&overlap).unwrap_err();
    assert!(taken_subnet.contains("10.60.0.0/16") && taken_subnet.contains("front"), "{taken_subnet}");

    let still_used = land.front.delete_network("front").unwrap_err();
    assert!(still_used.contains("web"), "{still_used}");

    assert_eq!(land.front.objects().unwrap(), objects);
    before.is_still(&Snapshot::of_host(&land.router));
    land.nothing_is_amiss();
}
