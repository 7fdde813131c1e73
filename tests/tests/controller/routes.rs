//! Which endpoint owns the default route, and how the others answer.

use trestle_core::controller::Controller;
use trestle_core::resource::{MAIN_TABLE, Resource};
use trestle_core::sandbox::SandboxState;

use crate::host::{Host, dual_stack, furnished, on};

/// The link of each default route in the main table, IPv4 then IPv6, and how many rules there are.
fn ways(controller: &Controller) -> (Vec<String>, usize) {
    let SandboxState::Ready { plan } = controller.sandbox("box").unwrap().state else {
        panic!("the sandbox is not ready")
    };
    let default = |resource: &Resource| match resource {
        Resource::Route(route) if route.table == MAIN_TABLE && route.destination.prefix_len() == 0 => {
            Some(route.link.to_string())
        }
        _ => None,
    };
    let rules = plan.resources().iter().filter(|it| matches!(it, Resource::SourceRule(_))).count();
    (plan.resources().iter().filter_map(default).collect(), rules)
}

#[tokio::test]
async fn the_default_route_follows_priority_then_internal_then_name() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    for name in ["alpha", "zeta"] {
        controller.create_network(dual_stack(name)).await.unwrap();
    }
    let mut inside = dual_stack("aaa");
    inside.internal = true;
    controller.create_network(inside).await.unwrap();

    controller.connect("box", on("zeta", &[])).await.unwrap();
    assert_eq!(ways(&controller), (vec!["eth0".into(), "eth0".into()], 0), "alone");
    controller.connect("box", on("aaa", &[])).await.unwrap();
    assert_eq!(ways(&controller), (vec!["eth0".into(), "eth0".into()], 0), "an internal network is no way out");
    controller.connect("box", on("alpha", &[])).await.unwrap();
    assert_eq!(ways(&controller), (vec!["eth2".into(), "eth2".into()], 2), "alpha is before zeta");
    let mut request = on("front", &[]);
    request.priority = 1;
    controller.connect("box", request).await.unwrap();
    assert_eq!(ways(&controller), (vec!["eth3".into(), "eth3".into()], 4), "priority goes first");
    controller.disconnect("box", "front").await.unwrap();
    assert_eq!(ways(&controller), (vec!["eth2".into(), "eth2".into()], 2), "chosen again when its owner leaves");
    assert_eq!(controller.verify().await.unwrap(), []);
}

#[tokio::test]
async fn the_primary_network_wins_among_equals() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller.create_network(dual_stack("alpha")).await.unwrap();
    controller.connect("box", on("alpha", &[])).await.unwrap();
    let mut request = on("front", &[]);
    request.primary = true;
    controller.connect("box", request).await.unwrap();
    assert_eq!(ways(&controller).0, ["eth1", "eth1"]);
}
