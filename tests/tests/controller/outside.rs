//! Drivers outside of the process: what they did is undone whoever fails or dies, and nobody waits for one that hangs.

use trestle_core::controller::Controller;
use trestle_core::controller::request::{EndpointRequest, NetnsRequest, NetworkRequest, SandboxRequest};
use trestle_core::error::{ErrorKind, Result};
use trestle_core::fake::Blow;

use crate::crash::{die_at_each_step, take_everything_away};
use crate::failure::{strike_each_step, strike_each_step_after, strike_each_step_of_removal};
use crate::host::{Host, dual_stack, furnished, on};

fn away() -> NetworkRequest {
    NetworkRequest { ipv6: true, ..NetworkRequest::new("away".try_into().unwrap(), "outsider") }
}

async fn make_away(controller: Controller) -> Result<()> {
    controller.create_network(away()).await.map(drop)
}

async fn connect(controller: Controller) -> Result<()> {
    controller.connect("box", on("away", &["8080:80"])).await.map(drop)
}

/// A place `far` on `away` that stays when it is detached.
async fn reserve(controller: Controller) -> Result<()> {
    let request = EndpointRequest { name: Some("far".try_into()?), ..on("away", &[]) };
    controller.create_endpoint(request).await.map(drop)
}

async fn make_attached(controller: Controller) -> Result<()> {
    let endpoints = vec![on("away", &[]), on("front", &["9090:90"])];
    let request =
        SandboxRequest { name: Some("both".try_into()?), endpoints, ..SandboxRequest::new(NetnsRequest::Make) };
    controller.create_sandbox(request).await.map(drop)
}

async fn make_away_and_reserve(controller: Controller) -> Result<()> {
    make_away(controller.clone()).await?;
    reserve(controller).await
}

#[tokio::test]
async fn whatever_fails_outside_leaves_nothing() {
    strike_each_step(make_away).await;
    strike_each_step_after(make_away, connect).await;
    strike_each_step_after(make_away, reserve).await;
    strike_each_step_after(make_away, make_attached).await;
    strike_each_step_after(make_away_and_reserve, |it| async move { it.join("far", "box").await.map(drop) }).await;
}

#[tokio::test]
async fn what_could_not_be_taken_back_outside_is_taken_back_later() {
    let attach = |it: Controller| async move {
        make_away(it.clone()).await?;
        connect(it).await
    };
    let take_back = |it: Controller| async move {
        it.disconnect("box", "away").await.or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        it.settle().await;
        it.delete_network("away").await
    };
    strike_each_step_of_removal(attach, take_back, |it| it.network("away").is_err()).await;
}

#[tokio::test]
async fn a_death_at_any_step_outside_loses_nothing() {
    die_at_each_step(|_| async { Ok(()) }, make_away).await;
    die_at_each_step(make_away, connect).await;
    die_at_each_step(make_away, reserve).await;
    die_at_each_step(make_away, make_attached).await;
    die_at_each_step(make_away_and_reserve, |it| async move { it.join("far", "box").await.map(drop) }).await;
    die_at_each_step(
        |it| async move {
            make_away(it.clone()).await?;
            connect(it).await
        },
        |it| async move {
            it.disconnect("box", "away").await?;
            it.settle().await;
            it.delete_network("away").await
        },
    )
    .await;
}

/// What a driver asks us while we ask it is answered, whatever it is about.
#[tokio::test]
async fn while_a_driver_outside_is_asked_nothing_waits_for_it() {
    for call in ["CreateNetwork", "CreateEndpoint", "Join", "ProgramExternalConnectivity", "Leave", "DeleteEndpoint"] {
        let mut host = Host::new();
        let controller = furnished(&mut host).await;
        host.outsider.hang_at(call);
        let asking = tokio::spawn({
            let controller = controller.clone();
            async move {
                make_away(controller.clone()).await?;
                connect(controller.clone()).await?;
                controller.disconnect("box", "away").await?;
                controller.settle().await;
                Ok(())
            }
        });
        host.outsider.hangs().await;
        let elsewhere = controller.create_network(dual_stack("back")).await.unwrap();
        controller.connect("box", on("back", &["9090:90"])).await.unwrap_or_else(|error| panic!("{call}: {error}"));
        assert_eq!(controller.verify().await.unwrap(), [], "{call}");
        controller.disconnect("box", "back").await.unwrap();
        // One round of the reaper, which cuts and deletes what is ours.
        controller.delete_network(&elsewhere.id.to_string()).await.unwrap_or_else(|error| panic!("{call}: {error}"));
        host.outsider.go_on();
        let outcome: Result<()> = asking.await.unwrap();
        outcome.unwrap_or_else(|error| panic!("{call}: {error}"));
        take_everything_away(&host, &controller, call).await;
    }
}

#[tokio::test]
async fn a_driver_outside_that_hangs_keeps_no_start_waiting() {
    let mut host = Host::new();
    let controller = furnished(&mut host).await;
    make_away(controller.clone()).await.unwrap();
    host.fate.relent();
    connect(controller.clone()).await.unwrap();
    let join = host.fate.told().iter().position(|step| step == "Join").unwrap();
    controller.disconnect("box", "away").await.unwrap();
    controller.settle().await;
    host.fate.strike(join, Blow::DieAfter);
    connect(controller).await.unwrap_err();
    host.fate.relent();
    host.outsider.hang_at("Leave");
    let next = host.boot().await.unwrap();
    host.outsider.hangs().await;
    next.connect("box", on("front", &["9090:90"])).await.unwrap();
    host.outsider.go_on();
    next.settle().await;
    assert!(next.endpoints().iter().all(|endpoint| endpoint.state.name() == "attached"), "{:?}", next.endpoints());
    assert_eq!(host.outsider.has().len(), 1, "only the network is left: {:?}", host.outsider.has());
}

#[tokio::test]
async fn a_driver_that_nobody_knows_is_refused_with_those_that_are_known() {
    let mut host = Host::new();
    let controller = host.boot().await.unwrap();
    let request = NetworkRequest::new("x".try_into().unwrap(), "nobody");
    let error = controller.create_network(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().ends_with("known are: bridge, host, null, outsider"), "{error}");
}
