//! Whatever fails, before and after every step: nothing is left of what failed, and it can be done again.

use std::future::Future;

use trestle_core::controller::Controller;
use trestle_core::controller::request::{NetnsRequest, SandboxRequest};
use trestle_core::error::Result;
use trestle_core::fake::Blow;

use crate::host::{Host, attached_twice, dual_stack, foremost_on_back, furnished, given, on, web};

const FAILURES: [Blow; 2] = [Blow::FailBefore, Blow::FailAfter];

/// Strikes each step of an act in turn. Where the act is refused, everything must be as before; then it must succeed.
pub(crate) async fn strike_each_step<F: Future<Output = Result<()>>>(act: impl Fn(Controller) -> F) {
    strike_each_step_after(|_| async { Ok(()) }, act).await;
}

/// The same after something else was done.
pub(crate) async fn strike_each_step_after<P, Q>(prepare: impl Fn(Controller) -> P, act: impl Fn(Controller) -> Q)
where
    P: Future<Output = Result<()>>,
    Q: Future<Output = Result<()>>,
{
    let mut step = 0;
    loop {
        let mut struck = false;
        for blow in FAILURES {
            let mut host = Host::new();
            let controller = furnished(&mut host).await;
            prepare(controller.clone()).await.unwrap();
            let before = host.everything();
            host.fate.strike(step, blow);
            let outcome = act(controller.clone()).await;
            struck |= host.fate.steps() > step;
            let told = host.fate.told();
            host.fate.relent();
            controller.settle().await;
            if outcome.is_err() {
                let place = format!("{blow:?} at step {step} ({:?}) of {told:#?}", told.get(step));
                host.everything().must_be(&before, &format!("{place}\n{outcome:?}"));
                assert_eq!(controller.verify().await.unwrap(), [], "{place}\n{outcome:?}");
                act(controller).await.unwrap_or_else(|error| panic!("again after {place}: {error}"));
            }
        }
        if !struck {
            assert!(step > 0, "the act took no steps");
            return;
        }
        step += 1;
    }
}

#[tokio::test]
async fn failed_attach_leaves_nothing() {
    strike_each_step(|it| async move { it.connect("box", on("front", &["8080:80", "53/udp"])).await.map(drop) }).await;
}

/// The second takes the default route, so the first one's routes change with it.
#[tokio::test]
async fn failed_attach_of_a_second_network_leaves_the_first_as_it_was() {
    strike_each_step_after(
        |it| async move {
            it.create_network(dual_stack("back")).await?;
            it.connect("box", on("front", &["8080:80", "54:53/udp"])).await.map(drop)
        },
        |it| async move { it.connect("box", foremost_on_back()).await.map(drop) },
    )
    .await;
}

#[tokio::test]
async fn failed_join_leaves_the_endpoint_reserved() {
    strike_each_step_after(
        |it| async move { it.create_endpoint(web()).await.map(drop) },
        |it| async move { it.join("web", "box").await.map(drop) },
    )
    .await;
}

#[tokio::test]
async fn failed_unpublish_changes_nothing() {
    strike_each_step_after(
        |it| async move { it.connect("box", on("front", &["8080:80", "9090:90/udp"])).await.map(drop) },
        |it| async move { it.unpublish("box", vec!["90/udp".parse()?]).await.map(drop) },
    )
    .await;
}

#[tokio::test]
async fn failed_change_of_what_a_reserved_endpoint_will_publish_changes_nothing() {
    let reserved = |it: Controller| async move { it.create_endpoint(web()).await.map(drop) };
    strike_each_step_after(reserved, |it| async move { it.publish("web", vec!["9090:90".parse()?]).await.map(drop) })
        .await;
    strike_each_step_after(reserved, |it| async move { it.unpublish("web", vec!["80".parse()?]).await.map(drop) })
        .await;
}

#[tokio::test]
async fn failed_use_of_a_given_namespace_leaves_nothing() {
    strike_each_step(|it| async move { it.create_sandbox(given()).await.map(drop) }).await;
    strike_each_step_after(
        |it| async move { it.create_sandbox(given()).await.map(drop) },
        |it| async move { it.connect("given", on("front", &["8080:80"])).await.map(drop) },
    )
    .await;
}

#[tokio::test]
async fn failed_network_creation_leaves_nothing() {
    strike_each_step(|it| async move { it.create_network(dual_stack("back")).await.map(drop) }).await;
}

#[tokio::test]
async fn failed_endpoint_creation_leaves_nothing() {
    strike_each_step(|it| async move { it.create_endpoint(on("front", &["8080:80"])).await.map(drop) }).await;
}

#[tokio::test]
async fn failed_sandbox_creation_leaves_nothing() {
    strike_each_step(|it| async move {
        it.create_sandbox(SandboxRequest { name: Some("other".try_into()?), ..SandboxRequest::new(NetnsRequest::Make) })
            .await
            .map(drop)
    })
    .await;
}

#[tokio::test]
async fn failed_creation_of_an_attached_sandbox_leaves_nothing() {
    strike_each_step(|it| async move { it.create_sandbox(attached_twice()).await.map(drop) }).await;
}

/// Strikes each step of an act that takes away. Whether it was refused or not, doing it again, if it is not done,
/// succeeds, and then nothing is left.
pub(crate) async fn strike_each_step_of_removal<P, Q>(
    prepare: impl Fn(Controller) -> P,
    act: impl Fn(Controller) -> Q,
    is_done: impl Fn(&Controller) -> bool,
) where
    P: Future<Output = Result<()>>,
    Q: Future<Output = Result<()>>,
{
    strike_each_step_of_removal_beside(|_| async { Ok(()) }, prepare, act, is_done).await;
}

/// The same beside something that stays.
async fn strike_each_step_of_removal_beside<O, P, Q>(
    furnish: impl Fn(Controller) -> O,
    prepare: impl Fn(Controller) -> P,
    act: impl Fn(Controller) -> Q,
    is_done: impl Fn(&Controller) -> bool,
) where
    O: Future<Output = Result<()>>,
    P: Future<Output = Result<()>>,
    Q: Future<Output = Result<()>>,
{
    let mut step = 0;
    loop {
        let mut struck = false;
        for blow in FAILURES {
            let mut host = Host::new();
            let controller = furnished(&mut host).await;
            furnish(controller.clone()).await.unwrap();
            let before = host.everything();
            prepare(controller.clone()).await.unwrap();
            host.fate.strike(step, blow);
            let outcome = act(controller.clone()).await;
            struck |= host.fate.steps() > step;
            let told = host.fate.told();
            let place = format!("{blow:?} at step {step} ({:?}) of {told:#?}\n{outcome:?}", told.get(step));
            host.fate.relent();
            controller.settle().await;
            if !is_done(&controller) {
                act(controller.clone()).await.unwrap_or_else(|error| panic!("again after {place}: {error}"));
                controller.settle().await;
            }
            host.everything().must_be(&before, &place);
        }
        if !struck {
            assert!(step > 0, "the act took no steps");
            return;
        }
        step += 1;
    }
}

#[tokio::test]
async fn failed_detach_is_finished_later() {
    strike_each_step_of_removal(
        |it| async move { it.connect("box", on("front", &["8080:80"])).await.map(drop) },
        |it| async move { it.disconnect("box", "front").await },
        |it| it.endpoints().iter().all(|endpoint| endpoint.state.attachment().is_none()),
    )
    .await;
}

/// With the endpoint goes what the sandbox's own plan held because of it: its rule, its table, its masqueraded UDP.
#[tokio::test]
async fn failed_detach_of_one_of_two_networks_is_finished_later() {
    strike_each_step_of_removal_beside(
        |it| async move {
            it.create_network(dual_stack("back")).await?;
            it.connect("box", on("back", &["53:53/udp"])).await.map(drop)
        },
        |it| async move { it.connect("box", on("front", &["54:53/udp"])).await.map(drop) },
        |it| async move { it.disconnect("box", "front").await },
        |it| it.endpoints().iter().filter(|endpoint| endpoint.state.attachment().is_some()).count() == 1,
    )
    .await;
}

/// The one that goes had the default route, so the other one's routes change with it.
#[tokio::test]
async fn failed_detach_of_the_foremost_network_is_finished_later() {
    strike_each_step_of_removal_beside(
        |it| async move {
            it.create_network(dual_stack("back")).await?;
            it.connect("box", on("front", &["54:53/udp"])).await.map(drop)
        },
        |it| async move { it.connect("box", foremost_on_back()).await.map(drop) },
        |it| async move { it.disconnect("box", "back").await },
        |it| it.endpoints().iter().filter(|endpoint| endpoint.state.attachment().is_some()).count() == 1,
    )
    .await;
}

#[tokio::test]
async fn failed_leave_of_an_endpoint_that_stays_is_finished_later() {
    strike_each_step_of_removal_beside(
        |it| async move { it.create_endpoint(web()).await.map(drop) },
        |it| async move { it.join("web", "box").await.map(drop) },
        |it| async move { it.leave("web").await },
        |it| it.endpoints().iter().all(|endpoint| endpoint.state.attachment().is_none()),
    )
    .await;
}

#[tokio::test]
async fn failed_removal_from_a_given_namespace_is_finished_later() {
    strike_each_step_of_removal(
        |it| async move {
            it.create_sandbox(given()).await?;
            it.connect("given", on("front", &["8080:80"])).await.map(drop)
        },
        |it| async move { it.delete_sandbox("given").await },
        |it| it.sandbox("given").is_err(),
    )
    .await;
}

#[tokio::test]
async fn failed_network_removal_is_finished_later() {
    strike_each_step_of_removal(
        |it| async move { it.create_network(dual_stack("back")).await.map(drop) },
        |it| async move { it.delete_network("back").await },
        |it| it.network("back").is_err(),
    )
    .await;
}

#[tokio::test]
async fn failed_endpoint_removal_is_finished_later() {
    strike_each_step_of_removal(
        |it| async move { it.create_endpoint(on("front", &["8080:80"])).await.map(drop) },
        |it| async move { it.delete_endpoint(&it.endpoints()[0].id.to_string(), false).await },
        |it| it.endpoints().is_empty(),
    )
    .await;
}

#[tokio::test]
async fn failed_removal_of_a_full_sandbox_is_finished_later() {
    strike_each_step_of_removal(
        |it| async move {
            it.create_sandbox(SandboxRequest {
                name: Some("other".try_into()?),
                ..SandboxRequest::new(NetnsRequest::Make)
            })
            .await?;
            it.connect("other", on("front", &["8080:80"])).await.map(drop)
        },
        |it| async move { it.delete_sandbox("other").await },
        |it| it.sandbox("other").is_err(),
    )
    .await;
}

/// Strikes each step of a change of ports. Refused or not, the records tell what is in the kernel.
#[tokio::test]
async fn failed_publish_changes_nothing() {
    let mut step = 0;
    loop {
        let mut struck = false;
        for blow in FAILURES {
            let mut host = Host::new();
            let controller = furnished(&mut host).await;
            controller.connect("box", on("front", &["8080:80"])).await.unwrap();
            let before = host.everything();
            host.fate.strike(step, blow);
            let outcome = controller.publish("box", vec!["9090:90/udp".parse().unwrap()]).await;
            struck |= host.fate.steps() > step;
            let place = format!("{blow:?} at step {step} of {:#?}\n{outcome:?}", host.fate.told());
            host.fate.relent();
            assert!(controller.verify().await.unwrap().is_empty(), "{place}");
            if outcome.is_err() {
                host.everything().must_be(&before, &place);
                controller.publish("box", vec!["9090:90/udp".parse().unwrap()]).await.unwrap();
            }
            controller.unpublish("box", vec!["90/udp".parse().unwrap()]).await.unwrap();
            host.everything().must_be(&before, &place);
        }
        if !struck {
            return;
        }
        step += 1;
    }
}

#[tokio::test]
async fn another_ephemeral_port_is_tried_when_one_turns_out_to_be_taken() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let before = host.everything();
    host.kernel.occupy(trestle_core::port::Protocol::Tcp, 40000..40005);
    let endpoint = controller.connect("box", on("front", &["80"])).await.unwrap();
    assert_eq!(endpoint.state.attachment().unwrap().ports[0].to_string(), "40005:80/tcp");
    assert!(controller.verify().await.unwrap().is_empty());
    controller.disconnect("box", "front").await.unwrap();
    controller.settle().await;
    host.everything().must_be(&before, "afterwards");
}

#[tokio::test]
async fn a_fixed_port_that_is_taken_is_refused_with_its_holder() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let sandbox = SandboxRequest { name: Some("other".try_into().unwrap()), ..SandboxRequest::new(NetnsRequest::Make) };
    controller.create_sandbox(sandbox).await.unwrap();
    controller.connect("box", on("front", &["8080:80"])).await.unwrap();
    let before = host.everything();
    let refusal = controller.connect("other", on("front", &["8080:80"])).await.unwrap_err();
    assert!(refusal.to_string().contains("endpoint box on network front"), "{refusal}");
    host.kernel.occupy(trestle_core::port::Protocol::Tcp, [9090]);
    let refusal = controller.connect("other", on("front", &["9090:80"])).await.unwrap_err();
    assert!(refusal.to_string().contains("taken by another program"), "{refusal}");
    controller.settle().await;
    host.everything().must_be(&before, "afterwards");
}
