//! The process dies before or after any step; the next one makes kernel and records agree.

use std::future::Future;
use std::sync::Arc;

use trestle_core::Plan;
use trestle_core::controller::Controller;
use trestle_core::controller::request::{NetnsRequest, SandboxRequest};
use trestle_core::error::Result;
use trestle_core::fake::Blow;
use trestle_core::kernel::{Deviation, Kernel};
use trestle_core::port::PortRequest;
use trestle_core::resource::{Netns, Resource};

use crate::host::{Host, attached_twice, dual_stack, foremost_on_back, furnished, given, on, web};

/// Lets the process die at each step of an act. The next process finds things whole: no drift, nothing that belongs to
/// nothing, every lease accounted for; and all of it can be taken away again.
pub(crate) async fn die_at_each_step<P, Q>(prepare: impl Fn(Controller) -> P, act: impl Fn(Controller) -> Q)
where
    P: Future<Output = Result<()>>,
    Q: Future<Output = Result<()>>,
{
    let mut step = 0;
    loop {
        let mut struck = false;
        for blow in [Blow::DieBefore, Blow::DieAfter] {
            let mut host = Host::new();
            let controller = furnished(&mut host).await;
            prepare(controller.clone()).await.unwrap();
            host.fate.strike(step, blow);
            let outcome = act(controller).await;
            struck |= host.fate.is_dead();
            let place = format!("{blow:?} at step {step} of {:#?}\n{outcome:?}", host.fate.told());
            host.fate.relent();
            let next = host.boot().await.unwrap_or_else(|error| panic!("{place}: {error}"));
            // What is owed outside keeps no start waiting.
            next.settle().await;
            assert_eq!(next.verify().await.unwrap(), [], "{place}");
            for endpoint in next.endpoints() {
                let state = endpoint.state.name();
                assert!(["reserved", "attached"].contains(&state), "{state}: {place}");
                if let Some(attachment) = endpoint.state.attachment() {
                    let (wanted, published) = (&endpoint.wanted, &attachment.ports);
                    let is_published = |it: &PortRequest| published.iter().any(|port| it.covers(port));
                    let all = wanted.len() == published.len() && wanted.iter().all(is_published);
                    assert!(all, "{wanted:?} is wanted, {published:?} is published: {place}");
                }
            }
            let twice = next.sandbox("twice").map(|sandbox| next.endpoints_in(sandbox.id).len());
            assert!(twice.as_ref().map_or(true, |count| *count == 2), "made by half: {twice:?}: {place}");
            let whole = host.everything();
            host.boot().await.unwrap();
            host.everything().must_be(&whole, &format!("starting once more changes nothing: {place}"));
            let next = host.boot().await.unwrap();
            take_everything_away(&host, &next, &place).await;
        }
        if !struck {
            assert!(step > 1, "the act took no steps");
            return;
        }
        step += 1;
    }
}

/// Everything can be removed, and then nothing is left but the settings of the host.
pub(crate) async fn take_everything_away(host: &Host, controller: &Controller, place: &str) {
    for sandbox in controller.sandboxes() {
        controller.delete_sandbox(&sandbox.id.to_string()).await.unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    controller.settle().await;
    for endpoint in controller.endpoints() {
        let id = endpoint.id.to_string();
        controller.delete_endpoint(&id, true).await.unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    for network in controller.networks() {
        controller.delete_network(&network.id.to_string()).await.unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    controller.settle().await;
    let left = host.everything();
    let is_empty = left.records.is_empty() && left.leases.is_empty() && left.outside.is_empty();
    assert!(is_empty, "{left:#?}: {place}");
    let is_ours = |it: &&String| !it.starts_with("Sysctl");
    assert_eq!(left.kernel.iter().find(is_ours), None, "{place}");
}

async fn nothing(_: Controller) -> Result<()> {
    Ok(())
}

#[tokio::test]
async fn a_death_while_attaching_loses_nothing() {
    die_at_each_step(
        nothing,
        |it| async move { it.connect("box", on("front", &["8080:80", "53/udp"])).await.map(drop) },
    )
    .await;
}

#[tokio::test]
async fn a_death_while_an_attached_sandbox_is_made_makes_all_of_it_or_nothing() {
    die_at_each_step(nothing, |it| async move { it.create_sandbox(attached_twice()).await.map(drop) }).await;
}

#[tokio::test]
async fn a_death_while_attaching_a_second_network_loses_nothing() {
    die_at_each_step(
        |it| async move {
            it.create_network(dual_stack("back")).await?;
            it.connect("box", on("front", &["8080:80"])).await.map(drop)
        },
        |it| async move { it.connect("box", on("back", &["53:53/udp"])).await.map(drop) },
    )
    .await;
}

#[tokio::test]
async fn a_death_while_detaching_loses_nothing() {
    die_at_each_step(
        |it| async move { it.connect("box", on("front", &["8080:80"])).await.map(drop) },
        |it| async move {
            it.disconnect("box", "front").await?;
            it.settle().await;
            Ok(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_death_while_the_foremost_network_comes_or_goes_loses_nothing() {
    let first = |it: Controller| async move {
        it.create_network(dual_stack("back")).await?;
        it.connect("box", on("front", &["54:53/udp"])).await.map(drop)
    };
    die_at_each_step(first, |it| async move { it.connect("box", foremost_on_back()).await.map(drop) }).await;
    die_at_each_step(
        |it| async move {
            first(it.clone()).await?;
            it.connect("box", foremost_on_back()).await.map(drop)
        },
        |it| async move { it.disconnect("box", "back").await },
    )
    .await;
}

#[tokio::test]
async fn a_death_while_a_given_namespace_is_taken_or_left_loses_nothing() {
    die_at_each_step(nothing, |it| async move { it.create_sandbox(given()).await.map(drop) }).await;
    die_at_each_step(
        |it| async move {
            it.create_sandbox(given()).await?;
            it.connect("given", on("front", &["8080:80"])).await.map(drop)
        },
        |it| async move { it.delete_sandbox("given").await },
    )
    .await;
}

#[tokio::test]
async fn a_death_while_an_endpoint_that_stays_leaves_loses_nothing() {
    die_at_each_step(
        |it| async move {
            it.create_endpoint(web()).await?;
            it.join("web", "box").await.map(drop)
        },
        |it| async move { it.leave("web").await },
    )
    .await;
}

#[tokio::test]
async fn a_death_while_publishing_loses_nothing() {
    die_at_each_step(
        |it| async move { it.connect("box", on("front", &["8080:80"])).await.map(drop) },
        |it| async move { it.publish("box", vec!["9090:90".parse()?]).await.map(drop) },
    )
    .await;
}

#[tokio::test]
async fn a_death_while_unpublishing_loses_nothing() {
    die_at_each_step(
        |it| async move { it.connect("box", on("front", &["8080:80", "9090:90"])).await.map(drop) },
        |it| async move { it.unpublish("box", vec!["9090:90".parse()?]).await.map(drop) },
    )
    .await;
}

#[tokio::test]
async fn a_death_while_creating_or_removing_a_network_loses_nothing() {
    die_at_each_step(nothing, |it| async move { it.create_network(dual_stack("back")).await.map(drop) }).await;
    die_at_each_step(
        |it| async move { it.create_network(dual_stack("back")).await.map(drop) },
        |it| async move { it.delete_network("back").await },
    )
    .await;
}

#[tokio::test]
async fn a_death_with_a_reserved_endpoint_keeps_its_addresses() {
    die_at_each_step(
        |it| async move {
            let mut request = on("front", &["8080:80"]);
            request.name = Some("web".try_into()?);
            it.create_endpoint(request).await.map(drop)
        },
        |it| async move { it.join("web", "box").await.map(drop) },
    )
    .await;
}

#[tokio::test]
async fn a_death_while_making_or_removing_a_sandbox_loses_nothing() {
    let other =
        || SandboxRequest { name: Some("other".try_into().unwrap()), ..SandboxRequest::new(NetnsRequest::Make) };
    die_at_each_step(nothing, |it| async move { it.create_sandbox(other()).await.map(drop) }).await;
    die_at_each_step(
        |it| async move {
            it.create_sandbox(other()).await?;
            it.connect("other", on("front", &["8080:80"])).await.map(drop)
        },
        |it| async move { it.delete_sandbox("other").await },
    )
    .await;
}

#[tokio::test]
async fn after_a_restart_of_the_machine_explicit_endpoints_have_their_addresses_and_nothing_else_is_left() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let mut request = on("front", &["8080:80"]);
    request.name = Some("web".try_into().unwrap());
    let web = controller.create_endpoint(request).await.unwrap();
    controller.join("web", "box").await.unwrap();
    controller.create_network(dual_stack("back")).await.unwrap();
    controller.connect("box", on("back", &[])).await.unwrap();
    host.kernel.restart();
    host.store.restart();
    let controller = host.boot().await.unwrap();
    assert_eq!(controller.endpoints(), [Arc::new(web)]);
    assert_eq!(controller.sandboxes(), []);
    assert_eq!(controller.networks().len(), 2);
    assert_eq!(controller.verify().await.unwrap(), []);
}

#[tokio::test]
async fn after_a_restart_a_published_port_is_still_its_endpoint_s() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller.connect("box", on("front", &["8080:80", "90"])).await.unwrap();
    let controller = host.boot().await.unwrap();
    let other = SandboxRequest { name: Some("other".try_into().unwrap()), ..SandboxRequest::new(NetnsRequest::Make) };
    controller.create_sandbox(other).await.unwrap();
    for taken in ["8080:80", "40000:80"] {
        let refusal = controller.connect("other", on("front", &[taken])).await.unwrap_err();
        assert!(refusal.to_string().contains("endpoint box on network front"), "{refusal}");
    }
    let ephemeral = controller.connect("other", on("front", &["90"])).await.unwrap();
    assert_eq!(ephemeral.state.attachment().unwrap().ports[0].to_string(), "40001:90/tcp");
}

#[tokio::test]
async fn what_somebody_took_away_is_repaired() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller.connect("box", on("front", &["8080:80"])).await.unwrap();
    let whole = host.everything();
    for resource in controller.whole_plan("front").unwrap().resources() {
        host.kernel.lose(resource);
    }
    assert!(!controller.verify().await.unwrap().is_empty());
    controller.repair().await.unwrap();
    host.everything().must_be(&whole, "afterwards");
    assert_eq!(controller.verify().await.unwrap(), []);
}

#[tokio::test]
async fn what_bears_our_mark_and_belongs_to_nothing_is_told_and_removed() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    controller.connect("box", on("front", &["8080:80"])).await.unwrap();
    let whole = host.everything();
    let stray = Resource::Netns(Netns { path: "/run/netns/stray".into() });
    host.kernel.apply(&Plan::from(vec![stray])).await.unwrap();
    let drifts = controller.verify().await.unwrap();
    assert_eq!(drifts.iter().map(|it| it.deviation).collect::<Vec<_>>(), [Deviation::Stray]);
    assert!(drifts[0].resource.contains("/run/netns/stray"));
    controller.repair().await.unwrap();
    host.everything().must_be(&whole, "afterwards");
}
