//! What every kernel layer promises, whatever lies beneath it: run on the real kernel and on the fake one.

use std::path::PathBuf;

use trestle_core::error::ErrorKind;
use trestle_core::kernel::{Deviation, Kernel};
use trestle_core::name::IfName;
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{
    Address, Announcements, Bridge, FirewallNetwork, GatewayMode, Hairpin, Inside, Loopback, MAIN_TABLE, Moved,
    Namespace, Netns, OpenedPort, Owner, Peer, PublishedPort, Resource, Route, SourceRule, Veth,
};
use trestle_core::{Plan, Result};

/// A host on which nothing of Trestle exists, with the kernel layer under test.
pub trait Stage: Send + Sync {
    /// The kernel layer under test.
    fn kernel(&self) -> &dyn Kernel;

    /// Where it may make a namespace.
    fn netns(&self, number: u8) -> PathBuf;

    /// What a link keeps for as long as it lives, and no other link has; `None` if there is no such link.
    fn link(&self, namespace: &Namespace, name: &IfName) -> Option<u64>;

    /// Makes a bridge that is not Trestle's.
    fn make_strangers_bridge(&self, name: &IfName);

    /// Removes that again.
    fn remove_strangers_bridge(&self, name: &IfName);

    /// Makes a link that is not Trestle's, and can be moved.
    fn make_strangers_link(&self, name: &IfName);

    /// Removes it, wherever it is; `inside` is where it was moved.
    fn remove_strangers_link(&self, name: &IfName, inside: Option<(&Namespace, &IfName)>);

    /// Lets the host's default route lead by this link.
    fn lead_out_by(&self, link: &IfName);

    /// Where somebody else may put a namespace.
    fn strangers_netns(&self) -> PathBuf;

    /// Puts a new namespace there, instead of what was there.
    fn put_strangers_namespace(&self);

    /// Takes away what is there.
    fn remove_strangers_namespace(&self);

    /// Does away with something behind the kernel layer's back.
    fn destroy(&self, resource: &Resource);
}

/// Everything that is promised, one after the other. Leaves the host as it was.
///
/// # Panics
/// If a promise is broken.
pub async fn contract(stage: &dyn Stage) {
    applying_twice_is_applying_once(stage).await;
    removing_twice_is_removing_once(stage).await;
    removing_what_never_was_succeeds(stage).await;
    what_stands_in_both_plans_is_not_touched(stage).await;
    a_half_made_plan_is_removed(stage).await;
    what_is_missing_is_named(stage).await;
    a_destroyed_thing_is_made_again(stage).await;
    a_strangers_link_is_refused_and_left_alone(stage).await;
    a_default_route_changes_in_place(stage).await;
    replace_there_and_back_is_nothing(stage).await;
    what_stands_in_no_plan_is_swept(stage).await;
    restoring_makes_every_plan_so_on_its_own(stage).await;
    no_two_namespaces_have_the_same_cookie(stage).await;
    another_namespace_at_the_path_of_a_given_one_is_left_alone(stage).await;
    leaving_a_given_namespace_that_is_gone_succeeds(stage).await;
    whoever_leaves_goes_although_something_can_not_be_set_up(stage).await;
    a_strangers_link_is_moved_in_and_put_back(stage).await;
    a_link_that_is_not_to_be_moved_is_refused_and_left_alone(stage).await;
    a_moved_link_that_is_gone_is_told_and_keeps_nothing_else_from_being_restored(stage).await;
}

async fn applying_twice_is_applying_once(stage: &dyn Stage) {
    let (kernel, plan) = (stage.kernel(), whole(stage));
    kernel.apply(&plan).await.expect("a first time");
    let before = link_of(stage, 1);
    assert!(before.is_some(), "there is no link");
    kernel.apply(&plan).await.expect("a second time");
    assert_eq!(link_of(stage, 1), before, "the link was made anew");
    assert_intact(stage, &plan).await;
    clean_up(stage, &plan).await;
}

async fn removing_twice_is_removing_once(stage: &dyn Stage) {
    let (kernel, plan) = (stage.kernel(), whole(stage));
    kernel.apply(&plan).await.expect("applying");
    kernel.remove(&plan).await.expect("a first time");
    kernel.remove(&plan).await.expect("a second time");
    reap(stage, &plan).await;
    kernel.remove(&plan).await.expect("a third time, after it was reaped");
    assert_nothing_left(stage).await;
}

async fn removing_what_never_was_succeeds(stage: &dyn Stage) {
    stage.kernel().remove(&whole(stage)).await.expect("removing what never was");
    assert_nothing_left(stage).await;
}

async fn what_stands_in_both_plans_is_not_touched(stage: &dyn Stage) {
    let kernel = stage.kernel();
    let two = whole(stage).then(&endpoint(stage, 2));
    kernel.apply(&two).await.expect("applying");
    let (first, second) = (link_of(stage, 1), link_of(stage, 2));
    kernel.replace(&two, &whole(stage)).await.expect("taking one endpoint out");
    reap(stage, &endpoint(stage, 2)).await;
    assert!(second.is_some() && link_of(stage, 2).is_none(), "the one taken out is still there");
    assert_eq!(link_of(stage, 1), first, "the one that stays was touched");
    assert_intact(stage, &whole(stage)).await;
    clean_up(stage, &whole(stage)).await;
}

async fn a_half_made_plan_is_removed(stage: &dyn Stage) {
    let kernel = stage.kernel();
    let mut orphan = veth(stage, 1);
    orphan.name = name("veth0000000009");
    orphan.bridge = name("br-nowhere");
    orphan.peer.name = name("eth9");
    let plan = whole(stage).then(&Plan::from(vec![Resource::Veth(orphan)]));
    kernel.apply(&plan).await.expect_err("a link on a bridge that does not exist");
    kernel.remove(&plan).await.expect("removing the half");
    reap(stage, &plan).await;
    assert_nothing_left(stage).await;
}

async fn what_is_missing_is_named(stage: &dyn Stage) {
    let kernel = stage.kernel();
    let plan = whole(stage);
    let drifts = kernel.verify(&plan).await.expect("verifying what was never made");
    for resource in plan.resources().iter().filter(|it| !is_firewall(it)) {
        let named = marks(resource);
        assert!(
            drifts.iter().any(|drift| named.iter().all(|mark| drift.resource.contains(mark.as_str()))),
            "{named:?} is named by none of {drifts:?}"
        );
    }
    assert!(drifts.iter().all(|drift| drift.deviation == Deviation::Missing), "{drifts:?}");
}

async fn a_destroyed_thing_is_made_again(stage: &dyn Stage) {
    let (kernel, plan) = (stage.kernel(), whole(stage));
    kernel.apply(&plan).await.expect("applying");
    for resource in plan.resources().iter().filter(|it| can_be_destroyed(it)) {
        stage.destroy(resource);
        let named = marks(resource);
        let drifts = kernel.verify(&plan).await.expect("verifying");
        assert!(
            drifts.iter().any(|drift| named.iter().all(|mark| drift.resource.contains(mark.as_str()))),
            "{named:?} was destroyed and is named by none of {drifts:?}"
        );
        kernel.apply(&plan).await.expect("repairing");
        assert_intact(stage, &plan).await;
    }
    clean_up(stage, &plan).await;
}

async fn a_strangers_link_is_refused_and_left_alone(stage: &dyn Stage) {
    let kernel = stage.kernel();
    for stranger in [name("br-contract"), veth(stage, 1).name] {
        stage.make_strangers_bridge(&stranger);
        let before = stage.link(&Namespace::Host, &stranger);
        let error = kernel.apply(&whole(stage)).await.expect_err("a stranger's link in our place");
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains(stranger.as_str()), "{error}");
        let drifts = kernel.verify(&whole(stage)).await.expect("verifying");
        assert!(drifts.iter().any(|drift| drift.deviation == Deviation::Obstructed), "{drifts:?}");
        kernel.remove(&whole(stage)).await.expect("removing");
        reap(stage, &whole(stage)).await;
        assert!(before.is_some());
        assert_eq!(stage.link(&Namespace::Host, &stranger), before, "the stranger's link was touched");
        stage.remove_strangers_bridge(&stranger);
        assert_nothing_left(stage).await;
    }
}

async fn a_default_route_changes_in_place(stage: &dyn Stage) {
    let kernel = stage.kernel();
    let (before, after) = (whole(stage), rerouted(stage));
    kernel.apply(&before).await.expect("applying");
    let link = link_of(stage, 1);
    kernel.replace(&before, &after).await.expect("changing the route");
    assert_intact(stage, &after).await;
    let drifts = kernel.verify(&before).await.expect("verifying");
    let altered: Vec<_> = drifts.iter().filter(|drift| drift.deviation == Deviation::Altered).collect();
    assert_eq!((altered.len(), drifts.len()), (1, 1), "only the route differs: {drifts:?}");
    assert_eq!(link_of(stage, 1), link);
    clean_up(stage, &after).await;
}

async fn replace_there_and_back_is_nothing(stage: &dyn Stage) {
    let kernel = stage.kernel();
    let (one, two) = (whole(stage), whole(stage).then(&endpoint(stage, 2)).then(&published(2)));
    kernel.apply(&one).await.expect("applying");
    let link = link_of(stage, 1);
    kernel.replace(&one, &two).await.expect("there");
    assert_intact(stage, &two).await;
    kernel.replace(&two, &one).await.expect("and back");
    reap(stage, &endpoint(stage, 2)).await;
    assert_intact(stage, &one).await;
    assert_eq!(link_of(stage, 1), link);
    clean_up(stage, &one).await;
}

async fn what_stands_in_no_plan_is_swept(stage: &dyn Stage) {
    let kernel = stage.kernel();
    let all = whole(stage).then(&endpoint(stage, 2)).then(&published(2));
    kernel.apply(&all).await.expect("applying");
    let swept = kernel.sweep(&[network(), endpoint(stage, 1), published(1)]).await.expect("sweeping");
    assert!(swept.iter().any(|it| it.contains("veth0000000002")), "{swept:?}");
    assert_intact(stage, &whole(stage)).await;
    assert_eq!(link_of(stage, 2), None);
    assert_eq!(kernel.sweep(&[whole(stage)]).await.expect("sweeping again"), Vec::<String>::new());
    clean_up(stage, &all).await;
}

async fn restoring_makes_every_plan_so_on_its_own(stage: &dyn Stage) {
    let kernel = stage.kernel();
    let mut broken = veth(stage, 2);
    broken.bridge = name("br-nowhere");
    let plans = [network(), endpoint(stage, 1).then(&published(1)), Plan::from(vec![Resource::Veth(broken)])];
    let results = kernel.restore(&plans).await;
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false], "{results:?}");
    assert_intact(stage, &whole(stage)).await;
    clean_up(stage, &plans[0].clone().then(&plans[1]).then(&plans[2])).await;
}

async fn assert_intact(stage: &dyn Stage, plan: &Plan) {
    assert_eq!(stage.kernel().verify(plan).await.expect("verifying"), [], "something is not as planned");
}

async fn reap(stage: &dyn Stage, plan: &Plan) {
    stage.kernel().reap(std::slice::from_ref(plan)).await.expect("reaping");
}

async fn clean_up(stage: &dyn Stage, plan: &Plan) {
    stage.kernel().remove(plan).await.expect("removing");
    reap(stage, plan).await;
    assert_nothing_left(stage).await;
}

async fn assert_nothing_left(stage: &dyn Stage) {
    for number in [1, 2] {
        assert_eq!(link_of(stage, number), None, "a link is left");
    }
    assert_eq!(stage.kernel().sweep(&[]).await.expect("sweeping"), Vec::<String>::new(), "something is left");
}

async fn no_two_namespaces_have_the_same_cookie(stage: &dyn Stage) {
    let (kernel, path) = (stage.kernel(), stage.strangers_netns());
    let nowhere = kernel.cookie(&Namespace::At(path.clone())).await.expect_err("nothing is there");
    assert_eq!(nowhere.kind(), ErrorKind::NotFound);
    assert!(nowhere.to_string().contains(&path.display().to_string()), "{nowhere}");
    let first = given(stage).await;
    let host = kernel.cookie(&Namespace::Host).await.expect("the host's");
    assert!(matches!(first, Namespace::Given { cookie, .. } if cookie != host));
    assert_eq!(given_now(stage).await, first, "it is the same one still");
    assert_ne!(given(stage).await, first);
    stage.remove_strangers_namespace();
}

async fn another_namespace_at_the_path_of_a_given_one_is_left_alone(stage: &dyn Stage) {
    let (kernel, first) = (stage.kernel(), given(stage).await);
    let inside = moved(&whole(stage), &first);
    kernel.apply(&inside).await.expect("applying in the one that was given");
    assert_intact(stage, &inside).await;
    let second = given(stage).await;
    let refusal = kernel.apply(&inside).await.expect_err("another one is at the path");
    assert_eq!(refusal.kind(), ErrorKind::NotFound, "{refusal}");
    assert!(refusal.to_string().contains(&stage.strangers_netns().display().to_string()), "{refusal}");
    let restored = kernel.restore(std::slice::from_ref(&inside)).await.remove(0).expect_err("another one is there");
    assert_eq!(restored.kind(), ErrorKind::NotFound, "{restored}");
    kernel.remove(&inside).await.expect("nothing is left to be removed from what is gone");
    let theirs = moved(&endpoint(stage, 1), &second);
    let drifts = kernel.verify(&theirs).await.expect("verifying");
    let addresses = drifts.iter().filter(|drift| drift.resource.starts_with("address")).count();
    assert_eq!(addresses, 1, "somebody else's namespace was furnished: {drifts:?}");
    reap(stage, &inside).await;
    stage.remove_strangers_namespace();
    assert_nothing_left(stage).await;
}

async fn leaving_a_given_namespace_that_is_gone_succeeds(stage: &dyn Stage) {
    let (kernel, given) = (stage.kernel(), given(stage).await);
    let two = moved(&network().then(&endpoint(stage, 1)).then(&published(1)).then(&second_way(stage)), &given);
    kernel.apply(&two).await.expect("applying");
    stage.remove_strangers_namespace();
    // The default route would go to the second endpoint now.
    let one = moved(&network().then(&second_way(stage)).then(&default_route(stage, [10, 86, 0, 253])), &given);
    kernel.replace(&two, &one).await.expect("leaving what is gone");
    kernel.remove(&one).await.expect("leaving it wholly");
    reap(stage, &two).await;
    assert_nothing_left(stage).await;
}

async fn whoever_leaves_goes_although_something_can_not_be_set_up(stage: &dyn Stage) {
    let kernel = stage.kernel();
    let mut orphan = veth(stage, 2);
    orphan.bridge = name("br-nowhere");
    kernel.apply(&whole(stage)).await.expect("applying");
    let next = network().then(&Plan::from(vec![Resource::Veth(orphan)]));
    kernel.replace(&whole(stage), &next).await.expect_err("there is no such bridge");
    let left = kernel.verify(&endpoint(stage, 1).then(&published(1))).await.expect("verifying");
    for gone in ["link", "port"] {
        assert!(left.iter().any(|drift| drift.resource.starts_with(gone)), "the {gone} is still there: {left:?}");
    }
    kernel.remove(&next).await.expect("removing");
    reap(stage, &next).await;
    assert_nothing_left(stage).await;
}

async fn a_strangers_link_is_moved_in_and_put_back(stage: &dyn Stage) {
    let (kernel, plan, link) = (stage.kernel(), visitor(stage, "stranger0"), name("stranger0"));
    stage.make_strangers_link(&link);
    kernel.apply(&plan).await.expect("applying");
    assert_eq!(stage.link(&Namespace::Host, &link), None, "it is in the host's namespace still");
    assert_intact(stage, &plan).await;
    kernel.apply(&plan).await.expect("a second time");
    assert_intact(stage, &plan).await;
    assert_eq!(kernel.sweep(std::slice::from_ref(&plan)).await.expect("sweeping"), Vec::<String>::new());
    let ground = ground(stage);
    kernel.replace(&plan, &ground).await.expect("taking it out");
    reap(stage, &plan).await;
    assert!(stage.link(&Namespace::Host, &link).is_some(), "it was not put back");
    assert_intact(stage, &ground).await;
    kernel.replace(&ground, &plan).await.expect("once more");
    assert_intact(stage, &plan).await;
    kernel.remove(&plan).await.expect("removing the sandbox with it");
    kernel.remove(&plan).await.expect("a second time");
    reap(stage, &plan).await;
    assert!(stage.link(&Namespace::Host, &link).is_some(), "it went with the sandbox");
    stage.remove_strangers_link(&link, None);
    assert_nothing_left(stage).await;
}

async fn a_link_that_is_not_to_be_moved_is_refused_and_left_alone(stage: &dyn Stage) {
    let kernel = stage.kernel();
    let (first, uplink, bridge) = (name("stranger0"), name("uplink0"), name("br-contract"));
    stage.make_strangers_link(&first);
    stage.make_strangers_link(&uplink);
    stage.lead_out_by(&uplink);
    let here = network().then(&visitor(stage, "stranger0"));
    kernel.apply(&here).await.expect("applying");
    let before = [&uplink, &bridge].map(|link| stage.link(&Namespace::Host, link));
    for (source, kind) in [
        ("nowhere0", ErrorKind::NotFound),
        ("stranger0", ErrorKind::NotFound),
        ("uplink0", ErrorKind::Forbidden),
        ("br-contract", ErrorKind::Forbidden),
    ] {
        let mut second = visitor(stage, source).resources().to_vec();
        for resource in &mut second {
            *resource = resource.with_link_named(&Namespace::At(stage.netns(1)), &name("eth0"), &name("eth1"));
        }
        let both = here.clone().then(
            &second
                .into_iter()
                .filter(|it| {
                    it.is_by(&Namespace::At(stage.netns(1)), &name("eth1")) || matches!(it, Resource::Moved(_))
                })
                .collect(),
        );
        let error = kernel.replace(&here, &both).await.expect_err("it is not to be moved");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(source), "{error}");
        kernel.replace(&both, &here).await.expect("undoing it");
        assert_intact(stage, &here).await;
    }
    assert_eq!([&uplink, &bridge].map(|link| stage.link(&Namespace::Host, link)), before);
    kernel.remove(&here).await.expect("removing");
    reap(stage, &here).await;
    stage.remove_strangers_link(&first, None);
    stage.remove_strangers_link(&uplink, None);
    assert_nothing_left(stage).await;
}

async fn a_moved_link_that_is_gone_is_told_and_keeps_nothing_else_from_being_restored(stage: &dyn Stage) {
    let (kernel, plan, link) = (stage.kernel(), visitor(stage, "stranger0"), name("stranger0"));
    stage.make_strangers_link(&link);
    kernel.apply(&plan).await.expect("applying");
    let inside = Namespace::At(stage.netns(1));
    stage.remove_strangers_link(&link, Some((&inside, &name("eth0"))));
    let drifts = kernel.verify(&plan).await.expect("verifying");
    assert!(drifts.iter().any(|it| it.resource.contains("link stranger0")), "{drifts:?}");
    assert!(drifts.iter().all(|it| it.deviation == Deviation::Obstructed), "nothing of it can be mended: {drifts:?}");
    stage.destroy(&Resource::Loopback(Loopback { namespace: inside.clone() }));
    let restored = kernel.restore(std::slice::from_ref(&plan)).await.remove(0);
    assert!(restored.is_ok(), "{restored:?}");
    assert_intact(stage, &ground(stage)).await;
    kernel.remove(&plan).await.expect("removing");
    reap(stage, &plan).await;
    stage.remove_strangers_link(&link, None);
    assert_nothing_left(stage).await;
}

/// A sandbox with nothing in it.
fn ground(stage: &dyn Stage) -> Plan {
    let namespace = Namespace::At(stage.netns(1));
    Plan::from(vec![Resource::Netns(Netns { path: stage.netns(1) }), Resource::Loopback(Loopback { namespace })])
}

/// A sandbox with a stranger's link in it.
fn visitor(stage: &dyn Stage, source: &str) -> Plan {
    let namespace = Namespace::At(stage.netns(1));
    let moved = vec![
        Resource::Moved(Moved {
            source: name(source),
            namespace: namespace.clone(),
            name: name("eth0"),
            mac: Some("02:00:00:02:86:01".parse().expect("a MAC address")),
        }),
        Resource::Address(Address {
            namespace: namespace.clone(),
            link: name("eth0"),
            address: "10.87.0.1/24".parse().expect("an address"),
            announcements: Announcements::default(),
        }),
        Resource::Route(Route {
            namespace,
            table: MAIN_TABLE,
            destination: "10.88.0.0/16".parse().expect("a destination"),
            gateway: Some([10, 87, 0, 254].into()),
            link: name("eth0"),
        }),
    ];
    ground(stage).then(&Plan::from(moved))
}

/// A new namespace of somebody else's.
async fn given(stage: &dyn Stage) -> Namespace {
    stage.put_strangers_namespace();
    given_now(stage).await
}

async fn given_now(stage: &dyn Stage) -> Namespace {
    let path = stage.strangers_netns();
    let cookie = stage.kernel().cookie(&Namespace::At(path.clone())).await.expect("a namespace is there");
    Namespace::Given { path, cookie }
}

/// The same plan in a namespace that was given.
fn moved(plan: &Plan, to: &Namespace) -> Plan {
    let resources = plan.resources().iter().filter(|it| !matches!(it, Resource::Netns(_))).cloned();
    let moved = resources.map(|mut resource| {
        let namespace = match &mut resource {
            Resource::Loopback(it) => &mut it.namespace,
            Resource::Veth(it) => &mut it.peer.namespace,
            Resource::Address(it) => &mut it.namespace,
            Resource::Route(it) => &mut it.namespace,
            Resource::SourceRule(it) => &mut it.namespace,
            _ => return resource,
        };
        if *namespace != Namespace::Host {
            *namespace = to.clone();
        }
        resource
    });
    moved.collect()
}

/// A second endpoint in the sandbox of the first.
fn second_way(stage: &dyn Stage) -> Plan {
    let mut second = veth(stage, 2);
    second.peer.namespace = Namespace::At(stage.netns(1));
    second.peer.name = name("eth1");
    Plan::from(vec![
        Resource::Veth(second),
        Resource::Address(Address {
            namespace: Namespace::At(stage.netns(1)),
            link: name("eth1"),
            address: "10.86.0.2/24".parse().expect("an address"),
            announcements: Announcements::default(),
        }),
    ])
}

fn default_route(stage: &dyn Stage, gateway: [u8; 4]) -> Plan {
    Plan::from(vec![Resource::Route(Route {
        namespace: Namespace::At(stage.netns(1)),
        table: MAIN_TABLE,
        destination: "0.0.0.0/0".parse().expect("everywhere"),
        gateway: Some(gateway.into()),
        link: name("eth1"),
    })])
}

fn link_of(stage: &dyn Stage, number: u8) -> Option<u64> {
    stage.link(&Namespace::Host, &veth(stage, number).name)
}

/// What a drift over a resource must contain to name it.
fn marks(resource: &Resource) -> Vec<String> {
    match resource {
        Resource::Netns(it) => vec!["namespace".into(), it.path.display().to_string()],
        Resource::Loopback(_) => vec!["loopback".into()],
        Resource::Bridge(it) => vec!["bridge".into(), it.name.to_string()],
        Resource::Veth(it) => vec!["link".into(), it.name.to_string()],
        Resource::Address(it) => vec!["address".into(), it.address.to_string(), it.link.to_string()],
        Resource::Route(it) if it.destination.prefix_len() == 0 => vec!["default".into(), "route".into()],
        Resource::Route(it) => vec!["route".into(), it.destination.to_string()],
        Resource::SourceRule(it) => vec!["rule".into(), it.from.to_string()],
        Resource::PublishedPort(it) => vec!["port".into(), format!("{}/{}", it.host, it.protocol)],
        _ => Vec::new(),
    }
}

fn is_firewall(resource: &Resource) -> bool {
    matches!(
        resource,
        Resource::FirewallBase | Resource::FirewallNetwork(_) | Resource::OpenedPort(_) | Resource::Hairpin(_)
    )
}

/// What somebody can do away with by one command, and what a second apply of the same plan brings back.
fn can_be_destroyed(resource: &Resource) -> bool {
    matches!(
        resource,
        Resource::Loopback(_) | Resource::Veth(_) | Resource::Address(_) | Resource::Route(_) | Resource::SourceRule(_)
    )
}

fn name(text: &str) -> IfName {
    text.try_into().expect("a link's name")
}

/// The network, and one endpoint with a published port.
fn whole(stage: &dyn Stage) -> Plan {
    network().then(&endpoint(stage, 1)).then(&published(1))
}

/// The same, with another default route.
fn rerouted(stage: &dyn Stage) -> Plan {
    let plan = whole(stage);
    let resources = plan.resources().iter().cloned().map(|resource| match resource {
        Resource::Route(mut route) if route.table == MAIN_TABLE => {
            route.gateway = Some([10, 86, 0, 253].into());
            Resource::Route(route)
        }
        other => other,
    });
    resources.collect()
}

fn network() -> Plan {
    let bridge = name("br-contract");
    Plan::from(vec![
        Resource::FirewallBase,
        Resource::Bridge(Bridge {
            name: bridge.clone(),
            owner: Owner::Us,
            mac: "02:00:00:00:86:01".parse().expect("a MAC address"),
            mtu: 1400,
            filter_bridged: false,
            ipv6: false,
        }),
        Resource::Address(Address {
            namespace: Namespace::Host,
            link: bridge.clone(),
            address: "10.86.0.254/24".parse().expect("an address"),
            announcements: Announcements::default(),
        }),
        Resource::FirewallNetwork(FirewallNetwork {
            bridge,
            inside: Inside::Open,
            internal: false,
            gateway_v4: GatewayMode::Nat,
            gateway_v6: GatewayMode::Nat,
            trusted: vec![name("trusted0")],
            masquerade_v4: true,
            masquerade_v6: false,
            source_v4: Some([192, 0, 2, 86].into()),
            source_v6: None,
            filter_bridged: false,
        }),
    ])
}

fn veth(stage: &dyn Stage, number: u8) -> Veth {
    Veth {
        name: name(&format!("veth{number:010x}")),
        bridge: name("br-contract"),
        mtu: 1400,
        hairpin: false,
        peer: Peer {
            namespace: Namespace::At(stage.netns(number)),
            name: name("eth0"),
            mac: format!("02:00:00:01:86:{number:02x}").parse().expect("a MAC address"),
            ipv6: false,
        },
    }
}

fn endpoint(stage: &dyn Stage, number: u8) -> Plan {
    let namespace = Namespace::At(stage.netns(number));
    let route = |table, destination: &str, gateway: [u8; 4]| {
        Resource::Route(Route {
            namespace: namespace.clone(),
            table,
            destination: destination.parse().expect("a destination"),
            gateway: Some(gateway.into()),
            link: name("eth0"),
        })
    };
    Plan::from(vec![
        Resource::Netns(Netns { path: stage.netns(number) }),
        Resource::Loopback(Loopback { namespace: namespace.clone() }),
        Resource::Veth(veth(stage, number)),
        Resource::Address(Address {
            namespace: namespace.clone(),
            link: name("eth0"),
            address: format!("10.86.0.{number}/24").parse().expect("an address"),
            announcements: Announcements::default(),
        }),
        route(MAIN_TABLE, "0.0.0.0/0", [10, 86, 0, 254]),
        route(100, "10.99.0.0/16", [10, 86, 0, 254]),
        Resource::SourceRule(SourceRule { namespace, from: [10, 86, 0, number].into(), table: 100, priority: 1000 }),
    ])
}

fn published(number: u8) -> Plan {
    let port = |port: u16| PortRange::single(port).expect("a port");
    Plan::from(vec![
        Resource::PublishedPort(PublishedPort {
            protocol: Protocol::Tcp,
            address: None,
            host: port(8600 + u16::from(number)),
            container: port(80),
            to_v4: Some([10, 86, 0, number].into()),
            to_v6: None,
        }),
        Resource::OpenedPort(OpenedPort {
            protocol: Protocol::Tcp,
            address: [10, 86, 0, number].into(),
            ports: port(80),
        }),
        Resource::Hairpin(Hairpin { address: [10, 86, 0, number].into() }),
    ])
}
