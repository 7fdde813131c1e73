//! Kernel, store and address manager fail all at once and for a while, and the process lives on.

use std::future::Future;

use trestle_core::controller::Controller;
use trestle_core::controller::request::{EndpointRequest, NetnsRequest, SandboxRequest};
use trestle_core::error::Result;
use trestle_core::fake::Blow;
use trestle_core::port::Protocol;

use crate::crash::take_everything_away;
use crate::host::{Host, attached_twice, dual_stack, furnished, on};

/// Lets an outage begin at each step of an act, and end when the act was answered. What is owed is paid then: records,
/// kernel and leases agree, nothing stands in between, and all of it can be taken away.
async fn break_off_at_each_step<P, Q>(prepare: impl Fn(Controller) -> P, act: impl Fn(Controller) -> Q)
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
            let outcome = act(controller.clone()).await;
            struck |= host.fate.is_dead();
            let place = format!("{blow:?} at step {step} of {:#?}\n{outcome:?}", host.fate.told());
            host.fate.relent();
            controller.settle().await;
            controller.repair().await.unwrap();
            assert_eq!(controller.verify().await.unwrap(), [], "{place}");
            for endpoint in controller.endpoints() {
                let state = endpoint.state.name();
                assert!(["reserved", "attached"].contains(&state), "{state}: {place}");
            }
            // What the next process would find is what this one knows.
            let known = controller.endpoints();
            let next = host.boot().await.unwrap();
            assert_eq!(next.endpoints(), known, "{place}");
            take_everything_away(&host, &next, &place).await;
        }
        if !struck {
            assert!(step > 1, "the act took no steps");
            return;
        }
        step += 1;
    }
}

async fn nothing(_: Controller) -> Result<()> {
    Ok(())
}

#[tokio::test]
async fn an_outage_while_attaching_heals() {
    break_off_at_each_step(nothing, |it| async move { it.connect("box", on("front", &["8080:80"])).await.map(drop) })
        .await;
}

#[tokio::test]
async fn an_outage_while_detaching_one_of_two_networks_heals() {
    break_off_at_each_step(
        |it| async move {
            it.create_network(dual_stack("back")).await?;
            it.connect("box", on("back", &["53:53/udp"])).await?;
            it.connect("box", on("front", &["54:53/udp"])).await.map(drop)
        },
        |it| async move { it.disconnect("box", "back").await },
    )
    .await;
}

#[tokio::test]
async fn an_outage_while_publishing_heals() {
    break_off_at_each_step(
        |it| async move { it.connect("box", on("front", &["8080:80"])).await.map(drop) },
        |it| async move { it.publish("box", vec!["9090:90".parse()?]).await.map(drop) },
    )
    .await;
}

#[tokio::test]
async fn an_outage_while_networks_and_sandboxes_come_and_go_heals() {
    let other =
        || SandboxRequest { name: Some("other".try_into().unwrap()), ..SandboxRequest::new(NetnsRequest::Make) };
    break_off_at_each_step(nothing, |it| async move { it.create_network(dual_stack("back")).await.map(drop) }).await;
    break_off_at_each_step(nothing, |it| async move { it.create_sandbox(other()).await.map(drop) }).await;
    break_off_at_each_step(
        |it| async move {
            it.create_network(dual_stack("back")).await?;
            it.create_sandbox(other()).await.map(drop)
        },
        |it| async move { it.delete_network("back").await.and(it.delete_sandbox("other").await) },
    )
    .await;
}

#[tokio::test]
async fn an_outage_while_an_attached_sandbox_comes_and_goes_heals() {
    break_off_at_each_step(nothing, |it| async move { it.create_sandbox(attached_twice()).await.map(drop) }).await;
    break_off_at_each_step(
        |it| async move { it.create_sandbox(attached_twice()).await.map(drop) },
        |it| async move { it.delete_sandbox("twice").await },
    )
    .await;
}

#[tokio::test]
async fn an_outage_while_an_endpoint_is_reserved_or_given_up_heals() {
    break_off_at_each_step(nothing, |it| async move { it.create_endpoint(on("front", &["80"])).await.map(drop) }).await;
    break_off_at_each_step(
        |it| async move { it.create_endpoint(on("front", &["80"])).await.map(drop) },
        |it| async move { it.delete_endpoint(&it.endpoints()[0].id.to_string(), false).await },
    )
    .await;
}

/// Whatever step of giving an endpoint up fails: as long as it is there, nobody else gets its address.
#[tokio::test]
async fn an_address_is_never_two_endpoints() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    let first = controller.create_endpoint(on("front", &[])).await.unwrap();
    let v4 = first.lease.clone().unwrap().v4.map(|it| it.addr());
    for step in 0..8 {
        for blow in [Blow::FailBefore, Blow::FailAfter] {
            host.fate.strike(step, blow);
            let refused = controller.delete_endpoint(&first.id.to_string(), false).await.is_err();
            host.fate.relent();
            if !refused {
                assert!(step > 0, "no step of it was struck");
                return;
            }
            let wish = EndpointRequest { v4, ..on("front", &[]) };
            assert!(controller.create_endpoint(wish).await.is_err(), "{blow:?} at step {step}");
        }
    }
    panic!("it was never given up");
}

#[tokio::test]
async fn a_range_goes_on_to_the_next_port_when_another_program_has_the_first() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    host.kernel.occupy(Protocol::Tcp, [8000, 8001]);
    let endpoint = controller.connect("box", on("front", &["8000-8010:80"])).await.unwrap();
    assert_eq!(endpoint.state.attachment().unwrap().ports[0].to_string(), "8002:80/tcp");
    host.kernel.occupy(Protocol::Tcp, [8003]);
    let published = controller.publish("box", vec!["8003-8004:81".parse().unwrap()]).await.unwrap();
    assert_eq!(published[1].to_string(), "8004:81/tcp");
    host.kernel.occupy(Protocol::Tcp, [9000, 9001]);
    let refusal = controller.publish("box", vec!["9000-9001:82".parse().unwrap()]).await.unwrap_err();
    assert!(refusal.to_string().contains("another program"), "{refusal}");
}
