//! Names, addresses, ports and events of networks, endpoints and sandboxes.

use trestle_core::ErrorKind;
use trestle_core::controller::Controller;
use trestle_core::controller::request::{EndpointRequest, NetnsRequest, NetworkRequest, PoolWish, SandboxRequest};
use trestle_core::event::Action;
use trestle_core::port::PortBinding;
use trestle_core::resource::Resource;

use crate::host::{Host, dual_stack, furnished, on};

fn named(name: &str) -> EndpointRequest {
    EndpointRequest { name: Some(name.try_into().unwrap()), ..on("front", &[]) }
}

async fn sandbox(controller: &Controller, name: &str) {
    let request = SandboxRequest { name: Some(name.try_into().unwrap()), ..SandboxRequest::new(NetnsRequest::Make) };
    controller.create_sandbox(request).await.unwrap();
}

fn told(bindings: &[PortBinding]) -> Vec<String> {
    bindings.iter().map(PortBinding::to_string).collect()
}

#[tokio::test]
async fn names_are_unique_where_they_have_to_be() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller.create_network(dual_stack("back")).await.unwrap();
    controller.create_endpoint(named("web")).await.unwrap();
    let before = host.everything();
    assert_eq!(controller.create_network(dual_stack("front")).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(controller.create_endpoint(named("web")).await.unwrap_err().kind(), ErrorKind::Conflict);
    let twin = SandboxRequest { name: Some("box".try_into().unwrap()), ..SandboxRequest::new(NetnsRequest::Make) };
    assert_eq!(controller.create_sandbox(twin).await.unwrap_err().kind(), ErrorKind::Conflict);
    host.everything().must_be(&before, "refused");
    controller.create_endpoint(EndpointRequest { network: "back".into(), ..named("web") }).await.unwrap();
}

#[tokio::test]
async fn an_object_is_found_by_id_name_and_the_beginning_of_its_id() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller.create_network(dual_stack("back")).await.unwrap();
    let web = controller.create_endpoint(named("web")).await.unwrap();
    let twin = controller.create_endpoint(EndpointRequest { network: "back".into(), ..named("web") }).await.unwrap();
    for reference in [web.id.to_string(), web.id.short(), "front/web".to_owned()] {
        assert_eq!(controller.endpoint(&reference).unwrap().id, web.id, "{reference}");
    }
    assert_eq!(controller.endpoint("back/web").unwrap().id, twin.id);
    assert_eq!(controller.endpoint("web").unwrap_err().kind(), ErrorKind::Invalid, "two of that name");
    assert_eq!(controller.endpoint("back/none").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(controller.network("nowhere").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(controller.network("").unwrap_err().kind(), ErrorKind::NotFound);
    let ids: Vec<String> = [&web, &twin].map(|endpoint| endpoint.id.to_string()).into();
    let common = ids[0].chars().zip(ids[1].chars()).take_while(|(one, other)| one == other).count();
    if common > 0 {
        assert_eq!(controller.endpoint(&ids[0][..common]).unwrap_err().kind(), ErrorKind::Invalid, "two ids begin so");
    }
}

#[tokio::test]
async fn a_name_goes_before_the_beginning_of_an_id() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let first = controller.create_endpoint(named("web")).await.unwrap();
    let beginning = first.id.short()[..4].to_owned();
    let second = controller.create_endpoint(named(&beginning)).await.unwrap();
    assert_eq!(controller.endpoint(&beginning).unwrap().id, second.id);
}

#[tokio::test]
async fn a_static_address_is_kept_and_its_holder_named() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let wish = |name: &str| EndpointRequest { v4: Some("172.17.5.5".parse().unwrap()), ..named(name) };
    let web = controller.create_endpoint(wish("web")).await.unwrap();
    assert_eq!(web.lease.unwrap().v4.unwrap().to_string(), "172.17.5.5/16");
    let before = host.everything();
    let refusal = controller.create_endpoint(wish("other")).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Conflict);
    assert!(refusal.to_string().contains("endpoint web's"), "{refusal}");
    let outside = EndpointRequest { v4: Some("10.9.9.9".parse().unwrap()), ..named("other") };
    assert_eq!(controller.create_endpoint(outside).await.unwrap_err().kind(), ErrorKind::Invalid);
    let gateway = EndpointRequest { v4: Some("172.17.0.1".parse().unwrap()), ..named("other") };
    assert_eq!(controller.create_endpoint(gateway).await.unwrap_err().kind(), ErrorKind::Conflict);
    host.everything().must_be(&before, "refused");
}

#[tokio::test]
async fn a_mac_address_is_one_endpoint_s_on_a_network_and_stays_the_same() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let wish = |name: &str| EndpointRequest { mac: Some("02:00:00:00:00:05".parse().unwrap()), ..named(name) };
    let web = controller.create_endpoint(wish("web")).await.unwrap();
    let refusal = controller.create_endpoint(wish("other")).await.unwrap_err();
    assert!(refusal.to_string().contains("endpoint web's"), "{refusal}");
    for _ in 0..2 {
        assert_eq!(controller.join("web", "box").await.unwrap().mac, web.mac);
        controller.leave("web").await.unwrap();
    }
}

#[tokio::test]
async fn what_is_still_owed_is_waited_for_not_refused_for() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let wish = || EndpointRequest { v4: Some("172.17.5.5".parse().unwrap()), ..named("web") };
    for _ in 0..3 {
        // Nobody reaps in between: this controller is not run.
        controller.connect("box", wish()).await.unwrap();
        controller.disconnect("box", "front").await.unwrap();
    }
    controller.delete_network("front").await.unwrap();
    assert_eq!(controller.networks(), []);
}

#[tokio::test]
async fn a_network_in_use_is_not_removed_and_its_users_are_named() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller.connect("box", named("web")).await.unwrap();
    let refusal = controller.delete_network("front").await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Forbidden);
    assert!(refusal.to_string().contains("web"), "{refusal}");
}

#[tokio::test]
async fn an_endpoint_exists_without_a_sandbox_and_publishes_when_it_joins_one() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller
        .create_endpoint(EndpointRequest { name: Some("web".try_into().unwrap()), ..on("front", &["8080:80"]) })
        .await
        .unwrap();
    assert!(controller.publish("web", vec!["9090:90".parse().unwrap()]).await.unwrap().is_empty());
    let web = controller.join("web", "box").await.unwrap();
    assert_eq!(told(&web.state.attachment().unwrap().ports), ["8080:80/tcp", "9090:90/tcp"]);
    assert_eq!(controller.join("web", "box").await.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(controller.delete_endpoint("web", false).await.unwrap_err().kind(), ErrorKind::Forbidden);
    controller.leave("web").await.unwrap();
    controller.settle().await;
    let left = controller.endpoint("web").unwrap();
    assert_eq!((left.lease, left.state.name()), (web.lease, "reserved"), "its address stays its own");
    controller.join("web", "box").await.unwrap();
    controller.delete_endpoint("web", true).await.unwrap();
    controller.settle().await;
    assert_eq!(controller.endpoints(), []);
}

#[tokio::test]
async fn ports_come_and_go_while_attached() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller
        .connect("box", EndpointRequest { name: Some("web".try_into().unwrap()), ..on("front", &["8080:80"]) })
        .await
        .unwrap();
    let published = controller.publish("web", vec!["53:53/udp".parse().unwrap(), "90".parse().unwrap()]).await.unwrap();
    assert_eq!(told(&published), ["8080:80/tcp", "53:53/udp", "40000:90/tcp"]);
    assert_eq!(
        controller.publish("web", vec!["8080:81".parse().unwrap()]).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let dns = || vec!["53/udp".parse().unwrap()];
    assert_eq!(told(&controller.unpublish("web", dns()).await.unwrap()), ["8080:80/tcp", "40000:90/tcp"]);
    assert_eq!(controller.unpublish("web", dns()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(controller.verify().await.unwrap(), []);
    sandbox(&controller, "other").await;
    controller.connect("other", on("front", &["53:53/udp"])).await.unwrap();
}

#[tokio::test]
async fn one_of_two_ways_to_a_port_is_taken_back() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let request =
        EndpointRequest { name: Some("web".try_into().unwrap()), ..on("front", &["8801:80", "8802:80", "90-91"]) };
    controller.create_endpoint(request).await.unwrap();
    controller.join("web", "box").await.unwrap();
    let one = |text: &str| vec![text.parse().unwrap()];
    let left = controller.unpublish("web", one("8801:80")).await.unwrap();
    assert_eq!(told(&left), ["8802:80/tcp", "40000:90/tcp", "40001:91/tcp"]);
    assert_eq!(controller.unpublish("web", one("8801:80")).await.unwrap_err().kind(), ErrorKind::NotFound);
    let wanted = |controller: &Controller| {
        controller.endpoint("web").unwrap().wanted.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(wanted(&controller), ["8802:80/tcp", "90-91/tcp"], "and it is not wanted again at the next join");
    assert_eq!(told(&controller.unpublish("web", one("90-91")).await.unwrap()), ["8802:80/tcp"]);
    controller.leave("web").await.unwrap();
    controller.settle().await;
    controller.unpublish("web", one("80")).await.unwrap();
    assert!(wanted(&controller).is_empty());
    for twice in [["7001:80", "7001:81"], ["7002:80", "127.0.0.1:7002:80"]] {
        let request = on("front", &twice);
        assert_eq!(controller.create_endpoint(request).await.unwrap_err().kind(), ErrorKind::Invalid, "{twice:?}");
    }
}

#[tokio::test]
async fn a_plan_is_told_without_a_trace() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let before = host.everything();
    let (network, plan) = controller.plan_network(dual_stack("back")).await.unwrap();
    assert!(!plan.is_empty() && network.pools.len() == 2);
    let planned = controller.plan_connect("box", on("front", &["8080:80"])).await.unwrap();
    host.everything().must_be(&before, "a dry run");
    controller.connect("box", on("front", &["8080:80"])).await.unwrap();
    assert_eq!(
        planned.resources().len(),
        host.everything().kernel.len() - before.kernel.len() + 2,
        "and two that stand already"
    );
}

#[tokio::test]
async fn every_change_is_told_in_order() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let mut events = controller.events();
    controller.create_network(dual_stack("back")).await.unwrap();
    controller.create_endpoint(EndpointRequest { network: "back".into(), ..named("web") }).await.unwrap();
    controller.join("web", "box").await.unwrap();
    controller.publish("web", vec!["80".parse().unwrap()]).await.unwrap();
    host.kernel.lose(&controller.whole_plan("back").unwrap().resources()[3]);
    controller.repair().await.unwrap();
    controller.leave("web").await.unwrap();
    controller.settle().await;
    controller.delete_endpoint("web", false).await.unwrap();
    controller.delete_network("back").await.unwrap();
    controller.delete_sandbox("box").await.unwrap();
    let mut actions = Vec::new();
    while let Ok(event) = events.try_recv() {
        actions.push((event.action, event.name));
    }
    let expected = [
        (Action::Create, "back"),
        (Action::Create, "web"),
        (Action::Connect, "web"),
        (Action::Publish, "web"),
        (Action::Repair, "back"),
        (Action::Disconnect, "web"),
        (Action::Destroy, "web"),
        (Action::Destroy, "back"),
        (Action::Destroy, "box"),
    ];
    assert_eq!(actions, expected.map(|(action, name)| (action, name.to_owned())));
}

#[tokio::test]
async fn wrong_requests_change_nothing() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let before = host.everything();
    let network = |change: &dyn Fn(&mut NetworkRequest)| {
        let mut request = dual_stack("back");
        change(&mut request);
        request
    };
    let pool = |subnet: &str| PoolWish {
        subnet: subnet.parse().unwrap(),
        range: None,
        gateway: None,
        auxiliary: Default::default(),
    };
    let wrong = [
        (network(&|it| it.driver = "overlay".into()), ErrorKind::NotFound),
        (network(&|it| it.ipam = "dhcp".into()), ErrorKind::NotFound),
        (network(&|it| it.pools = vec![pool("172.17.9.0/24")]), ErrorKind::Conflict),
        (network(&|it| it.pools = vec![pool("10.0.0.0/24"), pool("10.0.1.0/24")]), ErrorKind::Invalid),
        (network(&|it| (it.ipv4, it.ipv6) = (false, false)), ErrorKind::Invalid),
        (network(&|it| (it.ipv4, it.pools) = (false, vec![pool("10.0.0.0/24")])), ErrorKind::Invalid),
        (
            network(&|it| {
                it.pools = vec![PoolWish { gateway: Some("10.1.0.1".parse().unwrap()), ..pool("10.0.0.0/24") }]
            }),
            ErrorKind::Invalid,
        ),
        (
            network(&|it| {
                it.pools = vec![PoolWish { range: Some("10.1.0.0/25".parse().unwrap()), ..pool("10.0.0.0/24") }]
            }),
            ErrorKind::Invalid,
        ),
        (
            network(&|it| {
                let auxiliary = [("router".to_owned(), "10.0.0.1".parse().unwrap())].into();
                it.pools =
                    vec![PoolWish { auxiliary, gateway: Some("10.0.0.1".parse().unwrap()), ..pool("10.0.0.0/24") }];
            }),
            ErrorKind::Conflict,
        ),
        (
            network(&|it| drop(it.options.insert("com.docker.network.bridge.nonsense".into(), "1".into()))),
            ErrorKind::Invalid,
        ),
        (
            network(&|it| drop(it.options.insert("com.docker.network.bridge.enable_icc".into(), "maybe".into()))),
            ErrorKind::Invalid,
        ),
    ];
    for (request, kind) in wrong {
        let refusal = controller.create_network(request.clone()).await.expect_err(&format!("{request:?}"));
        assert_eq!(refusal.kind(), kind, "{refusal}");
        host.everything().must_be(&before, &refusal.to_string());
    }
}

#[tokio::test]
async fn the_host_s_network_is_one_and_for_the_host_s_namespace() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let of_driver = |name: &str, driver: &str| NetworkRequest::new(name.try_into().unwrap(), driver);
    controller.create_network(of_driver("host", "host")).await.unwrap();
    controller.create_network(of_driver("none", "null")).await.unwrap();
    assert_eq!(controller.create_network(of_driver("again", "host")).await.unwrap_err().kind(), ErrorKind::Forbidden);
    let in_host = SandboxRequest { name: Some("bare".try_into().unwrap()), ..SandboxRequest::new(NetnsRequest::Host) };
    controller.create_sandbox(in_host).await.unwrap();
    controller.connect("bare", on("host", &[])).await.unwrap();
    assert_eq!(controller.connect("bare", on("front", &[])).await.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(controller.connect("box", on("host", &[])).await.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(controller.connect("box", on("none", &["80"])).await.unwrap_err().kind(), ErrorKind::Invalid);
    let alone = controller.connect("box", on("none", &[])).await.unwrap();
    assert_eq!(alone.lease, None);
}

/// Many at once, on few names: whatever is refused or done, nothing is left in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attaching_and_detaching_in_parallel_leaves_nothing() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    for number in 0..4 {
        sandbox(&controller, &format!("box{number}")).await;
    }
    let before = host.everything();
    let tasks: Vec<_> = (0..400)
        .map(|number| {
            let controller = controller.clone();
            tokio::spawn(async move {
                let name = format!("box{}", number % 4);
                let request = EndpointRequest {
                    name: Some(format!("web{number}").as_str().try_into().unwrap()),
                    ..on("front", &["80"])
                };
                let endpoint = controller.connect(&name, request).await.unwrap();
                controller.leave(&endpoint.id.to_string()).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    controller.settle().await;
    host.everything().must_be(&before, "after the churn");
}

/// Somebody keeps taking our rules away, and we keep mending, while others attach and detach.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mending_in_the_middle_of_changes_brings_nothing_back_that_is_gone() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    for number in 0..4 {
        sandbox(&controller, &format!("box{number}")).await;
    }
    let before = host.everything();
    let churn: Vec<_> = (0..4)
        .map(|number| {
            let controller = controller.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    let name = format!("box{number}");
                    controller.connect(&name, on("front", &["80"])).await.unwrap();
                    controller.disconnect(&name, "front").await.unwrap();
                }
            })
        })
        .collect();
    while churn.iter().any(|task| !task.is_finished()) {
        host.kernel.lose(&Resource::FirewallBase);
        controller.repair().await.unwrap();
        tokio::task::yield_now().await;
    }
    for task in churn {
        task.await.unwrap();
    }
    controller.settle().await;
    controller.repair().await.unwrap();
    host.everything().must_be(&before, "after mending and churning");
}

const DEFAULT: &str = "com.docker.network.bridge.default_bridge";
const MODE_V4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
const MODE_V6: &str = "com.docker.network.bridge.gateway_mode_ipv6";

fn with_options(name: &str, options: &[(&str, &str)]) -> NetworkRequest {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    NetworkRequest { options, ..dual_stack(name) }
}

#[tokio::test]
async fn there_is_one_default_network_and_it_stays() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller.create_network(with_options("main", &[(DEFAULT, "true")])).await.unwrap();
    let before = host.everything();
    let second = with_options("other", &[(DEFAULT, "true")]);
    for refused in
        [controller.plan_network(second.clone()).await.map(drop), controller.create_network(second).await.map(drop)]
    {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains("network main is the default network"), "{refused}");
    }
    let refused = controller.delete_network("main").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    assert!(refused.to_string().contains("network main is the default network"), "{refused}");
    host.everything().must_be(&before, "refused");
    assert_eq!(controller.network("main").unwrap().options[DEFAULT], "true");
    controller.create_network(with_options("plain", &[(DEFAULT, "false")])).await.unwrap();
    controller.delete_network("plain").await.unwrap();
}

#[tokio::test]
async fn ports_of_a_routed_network_are_opened_and_none_of_the_host_are_promised() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller.create_network(with_options("routed", &[(MODE_V4, "routed"), (MODE_V6, "routed")])).await.unwrap();
    let first = controller.connect("box", on("front", &["8080:80"])).await.unwrap();
    let place = EndpointRequest { name: Some("open".try_into().unwrap()), ..on("routed", &["8080:80", "8080:81"]) };
    let open = controller.connect("box", place).await.unwrap();
    assert_eq!(told(&open.state.attachment().unwrap().ports), ["80/tcp", "81/tcp"], "8080 is {}'s", first.name);
    let published = controller.publish("routed/open", vec!["[::]::53/udp".parse().unwrap()]).await.unwrap();
    assert_eq!(told(&published), ["80/tcp", "81/tcp", "[::]::53/udp"]);
    let left = controller.unpublish("routed/open", vec!["8080:80".parse().unwrap()]).await.unwrap();
    assert_eq!(told(&left), ["81/tcp", "[::]::53/udp"]);
    let plans = controller.endpoint("routed/open").unwrap().state.footprint();
    let opened: Vec<String> = plans.resources().iter().filter(|it| it.is_firewall()).map(ToString::to_string).collect();
    assert!(opened.iter().all(|it| it.starts_with("opened port ")) && opened.len() == 3, "{opened:?}");
}
